"""The epoch loop of a stage: epochs of train steps, early stopping, checkpoints."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from taskgraft.adaptation.trainable import restore_tensors
from taskgraft.contract.callback import MakeCallback, StageRun
from taskgraft.data.batching import IndexArray, batch_budget, training_batches
from taskgraft.data.examples import EncodedDataset, EpochSeed, LocalBatch, iter_training_batches
from taskgraft.errors import join_words
from taskgraft.optimization.lr_schedule import LearningRates
from taskgraft.optimization.optimizer import restore_optimizer
from taskgraft.optimization.saved_state import pack_state, unpack_state
from taskgraft.optimization.train_step import TrainStep
from taskgraft.storage.run_directory import RunDirectory
from taskgraft.training.checkpoint import EpochProgress, LoopState, check_saved, tensors_of
from taskgraft.training.epoch_validation import EpochScores, EpochValidation
from taskgraft.training.stage_callbacks import StageCallbacks
from taskgraft.training.tracking import log_metrics

_BEST, _OPTIMIZER, _CALLBACKS = "best", "optimizer", "callbacks"
"""First words of the names of tensors in a checkpoint."""

_PRINTED_EPOCHS = 20
"""Of a stage with more epochs, not every one is printed."""


@dataclass
class EpochLoop:
    """Trains one stage.

    Attributes:
        steps_before: the optimizer steps of earlier stages.
        of_user: callbacks besides those of the stage.
    """

    stepper: TrainStep
    training: EncodedDataset
    validation: EpochValidation | None
    directory: RunDirectory | None
    steps_before: int = 0
    of_user: Sequence[MakeCallback] = ()
    progress: EpochProgress = field(default_factory=EpochProgress)
    _best: dict[str, Tensor] = field(default_factory=dict)
    _callback_states: Sequence[Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        self._callbacks = StageCallbacks(self.stepper.stage, self.of_user)

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
        every, stage = settings.checkpoint_every, self.stepper.stage
        rates = LearningRates.of(stage, settings, steps)
        self._start_callbacks(steps)
        while (progress.step < steps or progress.within) and not self._stops_early():
            for batch in self._load(self._batches(progress.epoch)[progress.within :][: steps - progress.step]):
                self._step(batch, rates.factor(progress.step))
                if save_checkpoint is not None and every is not None and progress.step % every == 0:
                    save_checkpoint()
            self._end_epoch()
            if save_checkpoint is not None:
                save_checkpoint()
        self._callbacks.on_stage_end()
        self.stepper.guard.finish(callbacks=self._callbacks.names)
        if self._best:
            restore_tensors(self.stepper.trainable.tensors(), self._best)
            best, last = self.best_epoch, progress.epoch
            if best != last:
                restored = f"restored the weights of epoch {best} of {last}, which have the lowest validation loss"
                self.stepper.reporter.message(f"{stage.name}: {restored}.")
        else:
            self._callbacks.keep_validation_weights()

    def state(self) -> tuple[LoopState, dict[str, Tensor]]:
        """Return what a checkpoint needs besides the weights."""
        stepper, best = self.stepper, {f"{_BEST}.{name}": tensor for name, tensor in self._best.items()}
        optimizer, moments = pack_state(stepper.optimizer.state_dict(), stepper.maker.label)
        callbacks, remembered = self._callbacks.pack_states()
        tensors = best | {f"{_OPTIMIZER}.{name}": tensor for name, tensor in moments.items()}
        state = LoopState(
            progress=self.progress,
            micro_batch=stepper.micro_batch,
            scaler=stepper.scaler.state_dict(),
            guard=stepper.guard.state(),
            optimizer=optimizer,
            callbacks=callbacks,
        )
        return state, tensors | {f"{_CALLBACKS}.{name}": tensor for name, tensor in remembered.items()}

    def resume(self, state: LoopState, tensors: Mapping[str, Tensor]) -> None:
        """Continue from the result of :meth:`state`. Raises RunDirectoryError unless the tensors are those of this stage."""
        self._check(state, tensors)
        self.progress = state.progress
        self.stepper.micro_batch = state.micro_batch
        if state.scaler:
            self.stepper.scaler.load_state_dict(state.scaler)
        self.stepper.guard.resume(state.guard)
        self._best = tensors_of(_BEST, tensors)
        assert self.directory is not None
        try:
            optimizer = unpack_state(state.optimizer, tensors_of(_OPTIMIZER, tensors))
            restore_optimizer(self.stepper.maker, self.stepper.optimizer, optimizer)
            remembered = tensors_of(_CALLBACKS, tensors)
            self._callback_states = self._callbacks.unpack_states(state.callbacks, remembered)
        except ValueError as error:
            raise self.directory.damaged(str(error)) from None

    def _check(self, state: LoopState, tensors: Mapping[str, Tensor]) -> None:
        """Check that a checkpoint has the best weights of this stage, if there are any, and nothing unknown."""
        assert self.directory is not None
        progress, scaler = state.progress, self.stepper.scaler.state_dict()
        if len(progress.losses) != progress.epoch:
            raise self.directory.damaged(f"it has {len(progress.losses)} losses of {progress.epoch} epochs")
        if state.scaler.keys() != scaler.keys():
            raise self.directory.damaged("its loss scale does not fit the precision")
        best, now = tensors_of(_BEST, tensors), self.stepper.trainable.tensors()
        has_best = self.patience is not None and progress.best is not None
        declared = {name: now[name] for name in self.stepper.trainable.declared} if has_best else {}
        check_saved(self.directory, "weights of the best epoch", best, declared)
        if foreign := sorted({name.partition(".")[0] for name in tensors} - {_BEST, _OPTIMIZER, _CALLBACKS}):
            raise self.directory.damaged(f"it has tensors of an unknown kind: {join_words(foreign, 3)}")

    def _start_callbacks(self, steps: int) -> None:
        stepper, states, self._callback_states = self.stepper, self._callback_states, None
        tensors, declared = stepper.trainable.tensors(), stepper.trainable.declared
        trainable = {name: tensor for name, tensor in tensors.items() if name in declared}
        run = StageRun(stepper.stage.name, stepper.task.backbone, stepper.task.head, steps, trainable)
        self._callbacks.start(run, states, self.progress.step)

    def _step(self, batch: LocalBatch, factor: float) -> None:
        progress = self.progress
        progress.step, progress.within = progress.step + 1, progress.within + 1
        loss, weight = self.stepper.step(batch, progress.step, factor)
        self._callbacks.on_step_end(progress.step)
        self.stepper.guard.after_step()
        progress.total, progress.weight = progress.total + loss, progress.weight + weight
        self._log({"step": progress.step, "rate_factor": factor, "loss": loss / weight if weight else 0.0})

    def _end_epoch(self) -> None:
        progress = self.progress
        progress.losses.append(progress.total / max(progress.weight, 1e-12))
        line: dict[str, float] = {"training_loss": progress.losses[-1]}
        if self.validation is not None:
            with self._callbacks.validation_weights():
                scores = self._validate(self.validation)
                if self.patience is not None:
                    self._keep_best(scores.loss)
            progress.validation_losses.append(scores.loss)
            line |= scores.to_line()
        self._log(line)
        self._callbacks.on_epoch_end(progress.epoch + 1, line)
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
