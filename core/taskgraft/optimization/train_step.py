"""One optimizer step: micro-batches, mixed precision, gradients summed and clipped, and halving on out-of-memory."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache
from torch import Tensor, nn

from taskgraft.adaptation.guard import WeightGuard
from taskgraft.adaptation.trainable import TrainableTensors, restore_tensors
from taskgraft.contract.plan import Stage
from taskgraft.data.examples import LocalBatch
from taskgraft.engine.memory import NotEnoughMemory, is_out_of_memory
from taskgraft.engine.precision import autocast
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError
from taskgraft.optimization.batch_norms import ROWS_PER_PASS, trains_batch_norm
from taskgraft.optimization.optimizer import make_optimizer
from taskgraft.progress import ProgressReporter
from taskgraft.recipe import TrainingConfig

_MIN_LOSS_SCALE = 1e-4
"""Below this scale of fp16 losses, a gradient that is not finite is not the fault of the number format."""


@dataclass(eq=False)
class TrainingDiverged(TaskgraftError):
    """A step whose loss, or whose gradient, is not finite."""

    stage: str
    step: int
    loss: float

    def __str__(self) -> str:
        problem = f"became {self.loss} at step {self.step:,}"
        if math.isfinite(self.loss):
            problem = f"is {self.loss:g} at step {self.step:,}, but its gradient is not finite"
        return (
            f"The loss of stage '{self.stage}' {problem}. The model keeps the weights of the step before. "
            "Lower the learning rate, or look for inputs that are not finite."
        )


@dataclass
class TrainStep:
    """Takes the steps of one stage, whose inputs were cached at a cut (None: as features).

    ``micro_batch`` are the rows per forward and backward pass; it is halved when memory runs out, down to ``fewest``.
    """

    stage: Stage
    task: TaskModule
    trainable: TrainableTensors
    guard: WeightGuard
    cut: int | None
    settings: TrainingConfig
    accelerator: Accelerator
    reporter: ProgressReporter
    micro_batch: int = field(init=False)
    fewest: int = field(init=False)

    def __post_init__(self) -> None:
        tensors, declared = self.trainable.tensors(), self.trainable.declared
        self._buffers = {name: tensors[name] for name in declared if not isinstance(tensors[name], nn.Parameter)}
        self._parameters = [parameter for parameter in self.task.parameters() if parameter.requires_grad]
        self.micro_batch = self.settings.micro_batch or self.settings.batch_size
        device = self.task.device.type
        self.optimizer = make_optimizer(self.trainable, self.settings, device)
        self._peak_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(device, enabled=self.settings.precision == "fp16")
        self.fewest = ROWS_PER_PASS if trains_batch_norm(self.task) else 1
        self._module = self.accelerator.prepare_model(self.task)

    def step(self, batch: LocalBatch, number: int, factor: float) -> tuple[float, float]:
        """Take a step on the rows of this process.

        Args:
            number: of the step, from 1.
            factor: of the peak learning rates.

        Returns:
            the loss summed over the batch of all processes, and its weight.

        Raises:
            TrainingDiverged: the weights are those of the step before.
            NotEnoughMemory: when a single row does not fit.
        """
        statistics = {name: buffer.clone() for name, buffer in self._buffers.items()}
        while (sums := self._try_passes(batch, number)) is None:
            self._undo(statistics)
            self._halve()
        whole_loss, whole_weight = (float(value) for value in self.accelerator.reduce(sums, "sum"))
        if not math.isfinite(whole_loss):
            self._undo(statistics)
            raise TrainingDiverged(self.stage.name, number, whole_loss)
        for group, peak in zip(self.optimizer.param_groups, self._peak_rates, strict=True):
            group["lr"] = peak * factor
        if whole_weight > 0 and not self._apply(whole_weight):
            self._undo(statistics)
            raise TrainingDiverged(self.stage.name, number, whole_loss / whole_weight)
        if self.stage.on_step_end is not None:
            self.stage.on_step_end(self.task.backbone, number)
        self.guard.after_step()
        return whole_loss, whole_weight

    def _try_passes(self, batch: LocalBatch, number: int) -> Tensor | None:
        """Sum losses, weights and gradients over micro-batches; None when memory ran out."""
        try:
            return self._passes(batch, number)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _passes(self, batch: LocalBatch, number: int) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        seed = (self.settings.seed * 1_000_003 + number) * 1_009 + self.accelerator.process_index
        device, sums = self.task.device, torch.zeros(2, device=self.task.device)
        seed_device(seed % 2**63, device)
        micros = batch.split(self.micro_batch, self.fewest)
        for micro in micros:
            is_last = micro is micros[-1]
            with nullcontext() if is_last else self.accelerator.no_sync(self._module):
                with autocast(self.settings.precision, device):
                    inputs, targets = micro.inputs.to(device), micro.targets.to(device)
                    total, weight = self._module(self.cut, inputs, targets, self.stage)
                if micro.counted == 0:
                    total, weight = total * 0.0, weight * 0.0
                sums += torch.stack([total.detach(), weight.detach()])
                self.accelerator.backward(self.scaler.scale(total / self.settings.batch_size))
        return sums

    def _apply(self, whole_weight: float) -> bool:
        """Turn summed gradients into a mean and step; return whether they were finite."""
        self.scaler.unscale_(self.optimizer)
        factor = self.settings.batch_size * self.accelerator.num_processes / whole_weight
        if factor != 1.0:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.guard.after_backward()
        norm = self.accelerator.clip_grad_norm_(self._parameters, self.settings.clip or math.inf)
        finite = norm is None or math.isfinite(norm)
        if not finite and not (self.scaler.is_enabled() and self.scaler.get_scale() > _MIN_LOSS_SCALE):
            return False
        self.scaler.step(self.optimizer)  # skips the step if fp16 overflowed,
        self.scaler.update()  # and then lowers the scale
        return True

    def _halve(self) -> None:
        """Halve the micro-batches from now on."""
        if self.accelerator.num_processes > 1 or self.micro_batch <= self.fewest:
            amount = "a single row" if self.micro_batch == 1 else f"{self.micro_batch:,} rows at once"
            raise NotEnoughMemory(
                f"There is not enough memory for training the stage '{self.stage.name}' with {amount}. "
                "Lower training.micro_batch, shorten the inputs, or train fewer parts."
            )
        clear_device_cache()
        before, self.micro_batch = self.micro_batch, max(self.micro_batch // 2, self.fewest)
        self.reporter.message(
            f"Out of memory with {before:,} rows per pass. Continuing with {self.micro_batch:,}; gradients still add up to "
            f"batches of {self.settings.batch_size:,} (set training.micro_batch = {self.micro_batch} to start like this)."
        )

    def _undo(self, statistics: dict[str, Tensor]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        restore_tensors(self._buffers, statistics)


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generators that passes on a device use.

    torch.manual_seed would seed every kind of device, and records a stack trace for each that is missing: a millisecond a step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
