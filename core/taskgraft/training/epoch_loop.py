"""The epoch loop of a stage: epochs of train steps, early stopping, checkpoints."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from taskgraft.adaptation.trainable import restore_tensors
from taskgraft.data.batching import IndexArray, batch_budget, training_batches
from taskgraft.data.examples import EncodedDataset, EpochSeed, LocalBatch, iter_training_batches
from taskgraft.errors import join_words
from taskgraft.optimization.lr_schedule import LearningRateSchedule
from taskgraft.optimization.train_step import TrainStep
from taskgraft.storage.run_directory import RunDirectory
from taskgraft.training.checkpoint import EpochProgress, LoopState, check_saved, tensors_of
from taskgraft.training.epoch_validation import EpochScores, EpochValidation
from taskgraft.training.tracking import log_metrics

_BEST, _OPTIMIZER = "best", "optimizer"
"""First words of the names of tensors in a checkpoint."""

_MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter, in its shape."""

_PRINTED_EPOCHS = 20
"""Of a stage with more epochs, not every one is printed."""


@dataclass
class EpochLoop:
    """Trains one stage; ``steps_before`` are those of earlier stages."""

    stepper: TrainStep
    training: EncodedDataset
    validation: EpochValidation | None
    directory: RunDirectory | None
    steps_before: int = 0
    progress: EpochProgress = field(default_factory=EpochProgress)
    _best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def patience(self) -> int | None:
        """Epochs without a lower validation loss before it stops at its best; None trains to the end."""
        return self.stepper.stage.patience or self.stepper.settings.patience

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the lowest validation loss, from 1; None without early stopping."""
        return len(self.progress.losses) - self.progress.waited if self._best else None

    def run(self, save_checkpoint: Callable[[], None] | None = None) -> None:
        """Train until the last epoch or step, or until early stopping; with patience, restore the best epoch at the end.

        Raises:
            TrainingDiverged, NotEnoughMemory: when training cannot continue.
        """
        settings, progress, steps = self.stepper.settings, self.progress, self._count_steps()
        schedule = LearningRateSchedule(settings.schedule, steps, settings.warmup)
        every, stage = settings.checkpoint_every, self.stepper.stage
        if stage.on_stage_start is not None:
            stage.on_stage_start(self.stepper.task.backbone, steps)
        while (progress.step < steps or progress.within) and not self._stops_early():
            for batch in self._load(self._batches(progress.epoch)[progress.within :][: steps - progress.step]):
                self._step(batch, schedule.factor(progress.step))
                if save_checkpoint is not None and every is not None and progress.step % every == 0:
                    save_checkpoint()
            self._end_epoch()
            if save_checkpoint is not None:
                save_checkpoint()
        self.stepper.guard.finish()
        if self._best:
            restore_tensors(self.stepper.trainable.tensors(), self._best)
            best, last = self.best_epoch, progress.epoch
            if best != last:
                restored = f"restored the weights of epoch {best} of {last}, which have the lowest validation loss"
                self.stepper.reporter.message(f"{stage.name}: {restored}.")

    def state(self) -> tuple[LoopState, dict[str, Tensor]]:
        """Return what a checkpoint needs besides the weights."""
        optimizer = self.stepper.optimizer.state_dict()["state"]
        tensors = {f"{_BEST}.{name}": tensor for name, tensor in self._best.items()}
        for index, state in optimizer.items():
            tensors |= {f"{_OPTIMIZER}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        micro_batch, scaler = self.stepper.micro_batch, self.stepper.scaler.state_dict()
        guard = self.stepper.guard.state()
        return LoopState(progress=self.progress, micro_batch=micro_batch, scaler=scaler, guard=guard), tensors

    def resume(self, state: LoopState, tensors: Mapping[str, Tensor]) -> None:
        """Continue from the result of :meth:`state`. Raises RunDirectoryError unless the tensors are those of this stage."""
        self._check(state, tensors)
        self.progress = state.progress
        self.stepper.micro_batch = state.micro_batch
        if state.scaler:
            self.stepper.scaler.load_state_dict(state.scaler)
        self.stepper.guard.resume(state.guard)
        self._best = tensors_of(_BEST, tensors)
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors_of(_OPTIMIZER, tensors).items():
            index, _, key = name.partition(".")
            states.setdefault(int(index), {})[key] = tensor
        groups = self.stepper.optimizer.state_dict()["param_groups"]
        self.stepper.optimizer.load_state_dict({"state": states, "param_groups": groups})

    def _check(self, state: LoopState, tensors: Mapping[str, Tensor]) -> None:
        """Check that a checkpoint has the tensors of this stage: its best weights, if there are any, and AdamW's moments."""
        assert self.directory is not None
        progress, scaler = state.progress, self.stepper.scaler.state_dict()
        if len(progress.losses) != progress.epoch:
            raise self.directory.damaged(f"it has {len(progress.losses)} losses of {progress.epoch} epochs")
        if state.scaler.keys() != scaler.keys():
            raise self.directory.damaged("its loss scale does not fit the precision")
        saved = tensors_of(_OPTIMIZER, tensors)
        expected: dict[str, Tensor] = {}
        parameters = [one for group in self.stepper.optimizer.param_groups for one in group["params"]]
        for index, parameter in enumerate(parameters):
            if any(name.startswith(f"{index}.") for name in saved):  # one without a gradient so far has none
                expected |= {f"{index}.step": torch.zeros(())} | {f"{index}.{key}": parameter for key in _MOMENTS}
        check_saved(self.directory, "optimizer's moments", saved, expected)
        best, now = tensors_of(_BEST, tensors), self.stepper.trainable.tensors()
        has_best = self.patience is not None and progress.best is not None
        declared = {name: now[name] for name in self.stepper.trainable.declared} if has_best else {}
        check_saved(self.directory, "weights of the best epoch", best, declared)
        if foreign := sorted({name.partition(".")[0] for name in tensors} - {_BEST, _OPTIMIZER}):
            raise self.directory.damaged(f"it has tensors of an unknown kind: {join_words(foreign, 3)}")

    def _step(self, batch: LocalBatch, factor: float) -> None:
        progress = self.progress
        progress.step, progress.within = progress.step + 1, progress.within + 1
        loss, weight = self.stepper.step(batch, progress.step, factor)
        progress.total, progress.weight = progress.total + loss, progress.weight + weight
        self._log({"step": progress.step, "rate_factor": factor, "loss": loss / weight if weight else 0.0})

    def _end_epoch(self) -> None:
        progress = self.progress
        progress.losses.append(progress.total / max(progress.weight, 1e-12))
        line: dict[str, float] = {"training_loss": progress.losses[-1]}
        if self.validation is not None:
            scores = self._validate(self.validation)
            progress.validation_losses.append(scores.loss)
            line |= scores.to_line()
            if self.patience is not None:
                self._keep_best(scores.loss)
        self._log(line)
        progress.epoch, progress.within, progress.total, progress.weight = progress.epoch + 1, 0, 0.0, 0.0

    def _keep_best(self, loss: float) -> None:
        progress = self.progress
        if progress.best is None or loss < progress.best:
            progress.best, progress.waited, self._best = loss, 0, self._copy_trained()
        else:
            progress.waited += 1

    def _log(self, values: Mapping[str, Any]) -> None:
        line = {"stage": self.stepper.stage.name, "epoch": self.progress.epoch + 1, **values}
        log_metrics(self.stepper.accelerator, self.directory, self.steps_before + self.progress.step, line)

    def _stops_early(self) -> bool:
        return self.patience is not None and self.progress.waited >= self.patience

    @cached_property
    def _epochs(self) -> int:
        """How many epochs there are without early stopping; the last may be incomplete."""
        stage, settings = self.stepper.stage, self.stepper.settings
        if settings.steps is not None and stage.epochs is None:
            return math.ceil(settings.steps / len(self._batches(0)))
        return stage.epochs or settings.epochs

    def _count_steps(self) -> int:
        stage, settings = self.stepper.stage, self.stepper.settings
        if settings.steps is not None and stage.epochs is None:
            return settings.steps
        epochs = stage.epochs or settings.epochs
        if self.stepper.task.padding_invariant:
            return epochs * len(self._batches(0))
        return sum(len(self._batches(epoch)) for epoch in range(epochs))

    def _batches(self, epoch: int) -> list[IndexArray]:
        stepper, settings = self.stepper, self.stepper.settings
        sizes, even = self.training.inputs.sizes(), not stepper.task.padding_invariant
        budget, fewest = batch_budget(settings), stepper.fewest
        if fewest > 1:  # each process needs as many of its own
            fewest *= stepper.accelerator.num_processes
        return training_batches(sizes, budget, settings.seed, epoch, even=even, fewest=fewest)

    def _load(self, batches: list[IndexArray]) -> Iterator[LocalBatch]:
        accelerator, settings = self.stepper.accelerator, self.stepper.settings
        seed = EpochSeed(settings.seed, self.progress.epoch)
        index, count = accelerator.process_index, accelerator.num_processes
        loader = iter_training_batches(self.training, batches, seed, settings.workers, index, count)
        description = f"{self.stepper.stage.name}, epoch {self.progress.epoch + 1}"
        return self.stepper.reporter.track(loader, description, len(batches))

    def _validate(self, validation: EpochValidation) -> EpochScores:
        """Evaluate the validation rows, and print the scores of the epoch, of at most about twenty epochs."""
        epoch, epochs = self.progress.epoch + 1, self._epochs
        scores = validation.evaluate(self.stepper.task, self.stepper.cut)
        self.stepper.trainable.set_train_modes()
        if epoch % math.ceil(epochs / _PRINTED_EPOCHS) == 0 or epoch == epochs:
            text = f"training loss {self.progress.losses[-1]:.4g}, {scores}{validation.count}"
            self.stepper.reporter.message(f"{self.stepper.stage.name}, epoch {epoch} of {epochs}: {text}")
        return scores

    def _copy_trained(self) -> dict[str, Tensor]:
        tensors = self.stepper.trainable.tensors()
        return {name: tensors[name].detach().clone() for name in self.stepper.trainable.declared}
