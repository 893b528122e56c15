"""Gradient descent over epochs: the loop that every stage without a solver runs, from its start or from a kept state."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from taskgraft.data.batching import Order, limit_of, training_batches
from taskgraft.data.examples import EncodedDataset, EpochSeed, LocalBatch, iter_training_batches
from taskgraft.engine.forward import evaluate_loss
from taskgraft.training.lr_schedule import LearningRateSchedule
from taskgraft.training.tracking import MetricsLogger
from taskgraft.training.train_step import TrainStep

BEST, OPTIMIZER = "best", "optimizer"
"""First words of the names of tensors in the state of a descent."""


@dataclass
class TrainerState:
    """How far a descent is.

    Attributes:
        epoch: the present one, from 0.
        within: steps done in it.
        step: steps done in all.
        total: the loss of the present epoch so far, summed, and ``weight`` what it is summed over.
        losses: the mean training loss of each epoch.
        best: the lowest validation loss, None before there is one.
        waited: epochs since then.
    """

    epoch: int = 0
    within: int = 0
    step: int = 0
    total: float = 0.0
    weight: float = 0.0
    losses: list[float] = field(default_factory=list)
    best: float | None = None
    waited: int = 0


@dataclass
class EpochLoop:
    """Trains one stage.

    Attributes:
        patience: epochs without a lower validation loss before it stops at its best.
        before: steps of earlier stages.
    """

    stepper: TrainStep
    training: EncodedDataset
    validation: EncodedDataset | None
    patience: int | None
    journal: MetricsLogger
    before: int = 0
    progress: TrainerState = field(default_factory=TrainerState)

    def __post_init__(self) -> None:
        self._best: dict[str, Tensor] = {}

    def run(self, keep: Callable[[], None] | None = None) -> None:
        """Train until the last epoch or step, or until patience ends; then restore the best epoch if there is patience.

        Args:
            keep: called without arguments whenever the state may be kept.

        Raises:
            NonFiniteLoss, NonFiniteGradient, NotEnoughMemory: when training cannot go on.
        """
        settings, now, steps = self.stepper.settings, self.progress, self._steps()
        schedule = LearningRateSchedule(settings.schedule, steps, settings.warmup)
        every, stage = settings.checkpoint_every, self.stepper.stage
        if stage.on_stage_start is not None:
            stage.on_stage_start(self.stepper.task.backbone, steps)
        while (now.step < steps or now.within) and not self._impatient():
            for piece in self._track(self._batches(now.epoch)[now.within :][: steps - now.step]):
                self._step(piece, schedule.factor(now.step))
                if keep is not None and every is not None and now.step % every == 0:
                    keep()
            self._end_epoch()
            if keep is not None:
                keep()
        self.stepper.guard.finish()
        if self._best:
            self._restore(self._best)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Give what is needed to go on, apart from the weights."""
        optimizer = self.stepper.optimizer.state_dict()["state"]
        tensors = {
            f"{OPTIMIZER}.{index}.{key}": torch.as_tensor(value)
            for index, state in optimizer.items()
            for key, value in state.items()
        }
        tensors |= {f"{BEST}.{name}": tensor for name, tensor in self._best.items()}
        values = {
            "progress": dict(vars(self.progress)),
            "micro_batch": self.stepper.micro_batch,
            "scaler": self.stepper.scaler.state_dict(),
            "guard": self.stepper.guard.state(),
        }
        return values, tensors

    def resume(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from a state that :meth:`state` gave."""
        self.progress = TrainerState(**values["progress"])
        self.stepper.micro_batch = values["micro_batch"]
        if values["scaler"]:
            self.stepper.scaler.load_state_dict(values["scaler"])
        self.stepper.guard.resume(values["guard"])
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == OPTIMIZER:
                index, _, key = rest.partition(".")
                states.setdefault(int(index), {})[key] = tensor
            else:
                self._best[rest] = tensor
        groups = self.stepper.optimizer.state_dict()["param_groups"]
        self.stepper.optimizer.load_state_dict({"state": states, "param_groups": groups})

    def _step(self, piece: LocalBatch, factor: float) -> None:
        now = self.progress
        now.step, now.within = now.step + 1, now.within + 1
        loss, weight = self.stepper.step(piece, now.step, factor)
        now.total, now.weight = now.total + loss, now.weight + weight
        line = {"stage": self.stepper.stage.name, "epoch": now.epoch + 1, "step": now.step, "rate_factor": factor}
        self.journal.note(self.before + now.step, line | {"loss": loss / weight if weight else 0.0})

    def _end_epoch(self) -> None:
        now = self.progress
        now.losses.append(now.total / max(now.weight, 1e-12))
        line = {"stage": self.stepper.stage.name, "epoch": now.epoch + 1, "training_loss": now.losses[-1]}
        now.epoch, now.within, now.total, now.weight = now.epoch + 1, 0, 0.0, 0.0
        if self.patience is not None and self.validation is not None:
            score = self._validated(self.validation)
            line["validation_loss"] = score
            if now.best is None or score < now.best:
                now.best, now.waited, self._best = score, 0, self._kept()
            else:
                now.waited += 1
        self.journal.note(self.before + now.step, line)

    def _impatient(self) -> bool:
        return self.patience is not None and self.progress.waited >= self.patience

    def _steps(self) -> int:
        stage, settings = self.stepper.stage, self.stepper.settings
        if settings.steps is not None and stage.epochs is None:
            return settings.steps
        epochs = stage.epochs or settings.epochs
        if self.stepper.task.padding_invariant:
            return epochs * len(self._batches(0))
        return sum(len(self._batches(epoch)) for epoch in range(epochs))

    def _batches(self, epoch: int) -> list[Order]:
        return training_batches(
            self.training.inputs.sizes(),
            limit_of(self.stepper.settings),
            self.stepper.settings.seed,
            epoch,
            even=not self.stepper.task.padding_invariant,
            no_single=self.stepper.no_single,
        )

    def _track(self, batches: list[Order]) -> Iterator[LocalBatch]:
        accelerator, settings = self.stepper.accelerator, self.stepper.settings
        turn = EpochSeed(settings.seed, self.progress.epoch)
        index, count = accelerator.process_index, accelerator.num_processes
        loader = iter_training_batches(self.training, batches, turn, settings.workers, index, count)
        what = f"{self.stepper.stage.name}, epoch {self.progress.epoch + 1}"
        return self.stepper.reporter.track(loader, what, len(batches))

    def _validated(self, validation: EncodedDataset) -> float:
        stepper = self.stepper
        settings = stepper.settings
        score = evaluate_loss(
            stepper.task, stepper.cut, validation.inputs, validation.targets, limit_of(settings), settings.workers
        )
        stepper.learning.set_train_modes()
        return score

    def _kept(self) -> dict[str, Tensor]:
        now = self.stepper.learning.tensors()
        return {name: now[name].detach().clone() for name in self.stepper.learning.declared}

    @torch.no_grad()
    def _restore(self, kept: Mapping[str, Tensor]) -> None:
        now = self.stepper.learning.tensors()
        for name, tensor in kept.items():
            now[name].copy_(tensor)
