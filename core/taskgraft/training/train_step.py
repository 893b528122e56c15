"""One optimizer step: passes over as many rows as memory holds, their gradients summed, clipped and applied."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache
from torch import Tensor, nn
from torch.optim import AdamW

from taskgraft.adaptation.guard import WeightGuard
from taskgraft.adaptation.trainable import TrainableTensors
from taskgraft.contract.plan import Stage
from taskgraft.contract.recipe import TrainingConfig
from taskgraft.data.examples import LocalBatch
from taskgraft.engine.memory import NotEnoughMemory, is_out_of_memory
from taskgraft.engine.precision import autocast
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError
from taskgraft.progress import ProgressReporter

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Modules that cannot learn from a batch of one row."""

EPSILON = 1e-6
"""AdamW's, as BERT was trained with. A gradient that is zero but for rounding (a softmax does not feel the bias of the keys)
must stay small beside it, or the step follows the rounding, which differs with the number of processes."""

LEAST_SCALE = 1e-4
"""The scale of fp16 gradients below which the gradient itself, and not the number format, must be at fault."""


@dataclass(eq=False)
class NonFiniteLoss(TaskgraftError):
    """Training diverged."""

    stage: str
    step: int
    loss: float

    def __str__(self) -> str:
        return f"The loss of stage '{self.stage}' became {self.loss} at step {self.step:,}. {_ADVICE}"


@dataclass(eq=False)
class NonFiniteGradient(TaskgraftError):
    """Training would have diverged with this step."""

    stage: str
    step: int
    loss: float

    def __str__(self) -> str:
        return (
            f"The loss of stage '{self.stage}' is {self.loss:g} at step {self.step:,}, but its gradient is not finite. "
            f"{_ADVICE}"
        )


_ADVICE = (
    "The model keeps the weights of the step before. Lower the learning rate, or look for inputs that are not finite."
)


@dataclass
class TrainStep:
    """Takes the steps of one stage.

    Attributes:
        cut: the cut at which the stored inputs lie; None when they are features.
        micro_batch: rows per pass; halved when memory runs out.
    """

    stage: Stage
    task: TaskModule
    learning: TrainableTensors
    guard: WeightGuard
    cut: int | None
    settings: TrainingConfig
    accelerator: Accelerator
    reporter: ProgressReporter
    micro_batch: int = field(init=False)

    def __post_init__(self) -> None:
        now = self.learning.tensors()
        self._buffers = {name: now[name] for name in self.learning.declared if not isinstance(now[name], nn.Parameter)}
        self._parameters = [parameter for parameter in self.task.parameters() if parameter.requires_grad]
        self.micro_batch = self.settings.micro_batch or self.settings.batch_size
        device = self.task.device.type
        self.optimizer = AdamW(
            parameter_groups(self.learning, self.settings), eps=EPSILON, fused=device in ("cpu", "cuda")
        )
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(device, enabled=self.settings.precision == "fp16")
        self.no_single = any(isinstance(module, BATCH_NORMS) and module.training for module in self.task.modules())
        self._module = self.accelerator.prepare_model(self.task)

    def step(self, piece: LocalBatch, number: int, factor: float) -> tuple[float, float]:
        """Learn from one batch.

        Args:
            number: of the step, from 1.
            factor: of the peak rates.

        Returns:
            the loss summed over the whole batch, of all processes, and its weight.

        Raises:
            NonFiniteLoss, NonFiniteGradient: when training diverges; the weights are those of the step before.
            NotEnoughMemory: when a single row is too much.
        """
        statistics = {name: buffer.clone() for name, buffer in self._buffers.items()}
        sums = self._summed(piece, number)
        while sums is None:
            self._restore(statistics)
            self._halve()
            sums = self._summed(piece, number)
        whole_loss, whole_weight = (float(value) for value in self.accelerator.reduce(sums, "sum"))
        if not math.isfinite(whole_loss):
            self._undo(statistics)
            raise NonFiniteLoss(self.stage.name, number, whole_loss)
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        if whole_weight > 0 and not self._apply(whole_weight):
            self._undo(statistics)
            raise NonFiniteGradient(self.stage.name, number, whole_loss / whole_weight)
        if self.stage.on_step_end is not None:
            self.stage.on_step_end(self.task.backbone, number)
        self.guard.after_step()
        return whole_loss, whole_weight

    def _summed(self, piece: LocalBatch, number: int) -> Tensor | None:
        """Sum losses, weights and gradients over micro-batches; None when memory ran out."""
        try:
            return self._passes(piece, number)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _passes(self, piece: LocalBatch, number: int) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        seed = (self.settings.seed * 1_000_003 + number) * 1_009 + self.accelerator.process_index
        device, sums = self.task.device, torch.zeros(2, device=self.task.device)
        seed_device(seed % 2**63, device)
        micros = piece.split(self.micro_batch, no_single=self.no_single)
        for micro in micros:
            waits = micro is not micros[-1]
            with self.accelerator.no_sync(self._module) if waits else nullcontext():
                with autocast(self.settings.precision, device):
                    inputs, targets = micro.inputs.to(device), micro.targets.to(device)
                    total, weight = self._module(self.cut, inputs, targets, self.stage)
                if micro.counted == 0:
                    total, weight = total * 0.0, weight * 0.0
                sums += torch.stack([total.detach(), weight.detach()])
                self.accelerator.backward(self.scaler.scale(total / self.settings.batch_size))
        return sums

    def _apply(self, whole_weight: float) -> bool:
        """Turn summed gradients into a mean and step; say whether they were finite."""
        self.scaler.unscale_(self.optimizer)
        factor = self.settings.batch_size * self.accelerator.num_processes / whole_weight
        if factor != 1.0:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.guard.after_backward()
        norm = self.accelerator.clip_grad_norm_(self._parameters, self.settings.clip or math.inf)
        finite = norm is None or math.isfinite(norm)
        if not finite and not (self.scaler.is_enabled() and self.scaler.get_scale() > LEAST_SCALE):
            return False
        self.scaler.step(self.optimizer)  # skips the step when fp16 overflowed,
        self.scaler.update()  # and then takes a smaller scale
        return True

    def _halve(self) -> None:
        """Take half the rows per pass from now on."""
        advice = "Lower training.micro_batch, shorten the inputs, or let fewer parts learn."
        if self.accelerator.num_processes > 1 or self.micro_batch == 1:
            raise NotEnoughMemory(f"training the stage '{self.stage.name}'", self.micro_batch, advice)
        self.optimizer.zero_grad(set_to_none=True)
        clear_device_cache()
        before, self.micro_batch = self.micro_batch, self.micro_batch // 2
        self.reporter.message(
            f"Out of memory with {before:,} rows per pass. Going on with {self.micro_batch:,}, the gradients summed to "
            f"the same batches of {self.settings.batch_size:,} (set training.micro_batch = {self.micro_batch} to begin so)."
        )

    def _undo(self, statistics: dict[str, Tensor]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self._restore(statistics)

    @torch.no_grad()
    def _restore(self, statistics: dict[str, Tensor]) -> None:
        for name, before in statistics.items():
            self._buffers[name].copy_(before)


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generators that passes on a device draw from, as torch.manual_seed does.

    That seeds every kind of device, and where one is not there notes a whole stack for the day it is: a millisecond each step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def parameter_groups(learning: TrainableTensors, settings: TrainingConfig) -> list[dict[str, object]]:
    """Sort what learns by rate, and by whether it decays: matrices do, biases and norms do not."""
    now = learning.tensors()
    groups: list[dict[str, object]] = []
    for group in learning.groups:
        names = [name for name in group.tensors if isinstance(now[name], nn.Parameter)]
        sorted_by: dict[tuple[float, bool], list[Tensor]] = {}
        for name in names:
            matrix = now[name].dim() > 1 and not name.endswith("bias")
            sorted_by.setdefault((group.factors.get(name, 1.0), matrix), []).append(now[name])
        for (factor, matrix), some in sorted(sorted_by.items(), key=lambda one: one[0], reverse=True):
            decay = settings.weight_decay if matrix else 0.0
            groups.append({"params": some, "lr": group.rate * factor, "weight_decay": decay})
    return groups
