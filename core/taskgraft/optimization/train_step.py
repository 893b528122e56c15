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
from taskgraft.contract.plan import GradientRule, Stage
from taskgraft.data.examples import LocalBatch
from taskgraft.engine.memory import NotEnoughMemory, is_out_of_memory
from taskgraft.engine.precision import autocast, is_finite
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError
from taskgraft.optimization.batch_norms import ROWS_PER_PASS, trains_batch_norm
from taskgraft.optimization.optimizer import OptimizerMaker, make_optimizer
from taskgraft.preparation.errors import TrainingError
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


class _GradientOverflow(Exception):
    """A gradient that fp16 cannot hold at the present loss scale."""


@dataclass
class TrainStep:
    """Takes the steps of one stage, whose inputs were cached at a cut (None: as features).

    ``micro_batch`` are the rows per forward and backward pass; it is halved when memory runs out, down to ``fewest``, unless
    batches are not ``divisible``, since the loss compares their rows with each other.
    """

    stage: Stage
    task: TaskModule
    trainable: TrainableTensors
    guard: WeightGuard
    cut: int | None
    settings: TrainingConfig
    accelerator: Accelerator
    reporter: ProgressReporter
    divisible: bool = True
    micro_batch: int = field(init=False)
    fewest: int = field(init=False)

    def __post_init__(self) -> None:
        tensors, declared = self.trainable.tensors(), self.trainable.declared
        self._buffers = {name: tensors[name] for name in declared if not isinstance(tensors[name], nn.Parameter)}
        self._parameters = [parameter for parameter in self.task.parameters() if parameter.requires_grad]
        self.micro_batch = self.settings.micro_batch or self.settings.batch_size
        device = self.task.device.type
        self.maker = OptimizerMaker.of(self.stage, self.settings)
        self.optimizer = make_optimizer(self.maker, self.trainable, self.settings)
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
        try:
            while (sums := self._try_gradient(batch, number)) is None:
                self._undo(statistics)
                self._halve()
            whole_loss, whole_weight = sums
            for group, peak in zip(self.optimizer.param_groups, self._peak_rates, strict=True):
                group["lr"] = peak * factor
            if whole_weight > 0 and not self._apply():
                raise TrainingDiverged(self.stage.name, number, whole_loss / whole_weight)
        except TrainingDiverged:
            self._undo(statistics)
            raise
        return whole_loss, whole_weight

    def _try_gradient(self, batch: LocalBatch, number: int) -> tuple[float, float] | None:
        """Compute the gradient of the step; return the loss, summed, and its weight; None when memory ran out."""
        try:
            if self.stage.gradient is not None:
                return self._follow(self.stage.gradient, batch, number)
            return self._evaluate(batch, number)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _follow(self, rule: GradientRule, batch: LocalBatch, number: int) -> tuple[float, float]:
        """Let a rule compute the gradient from evaluations of the loss; return the result of the first."""
        trained = [parameter.detach().clone() for parameter in self._parameters]
        found: list[tuple[float, float]] = []
        inside = False

        @torch.enable_grad()
        def evaluate() -> Tensor:
            nonlocal inside
            statistics = {name: buffer.clone() for name, buffer in self._buffers.items()} if found else {}
            inside = True
            found.append(self._evaluate(batch, number))
            inside = False
            restore_tensors(self._buffers, statistics)
            self._scale_gradients(1 / self._loss_scale)
            if self.scaler.is_enabled() and not all(map(is_finite, self._gradients())):
                raise _GradientOverflow
            loss, weight = found[-1]
            return torch.tensor(loss / weight if weight else 0.0, device=self.task.device)

        try:
            rule(evaluate, self._parameters)
        except _GradientOverflow:
            pass  # the scaler skips the step
        except Exception as error:
            if not inside and not is_out_of_memory(error):
                error.add_note(f"The gradient rule of the stage '{self.stage.name}' raised this at step {number:,}.")
            raise
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters, trained, strict=True):
                    parameter.copy_(value)
        rule_of = f"The gradient rule of the stage '{self.stage.name}'"
        if not found:
            raise TrainingError(f"{rule_of} did not evaluate the loss. Let it call its first argument.")
        if not self._gradients():
            raise TrainingError(f"{rule_of} left no gradient. Let it leave one in 'grad' of the parameters.")
        self._scale_gradients(self._loss_scale)
        return found[0]

    def _evaluate(self, batch: LocalBatch, number: int) -> tuple[float, float]:
        """Compute the gradient of the mean loss, times the loss scale; return the loss, summed over processes, and its weight.

        Raises:
            TrainingDiverged: when the loss is not finite.
        """
        loss, weight = (float(value) for value in self.accelerator.reduce(self._passes(batch, number), "sum"))
        if not math.isfinite(loss):
            raise TrainingDiverged(self.stage.name, number, loss)
        if weight > 0:  # gradients are sums so far
            self._scale_gradients(self.settings.batch_size * self.accelerator.num_processes / weight)
        return loss, weight

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

    def _scale_gradients(self, factor: float) -> None:
        if factor != 1.0:
            for gradient in self._gradients():
                gradient.mul_(factor)

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]

    @property
    def _loss_scale(self) -> float:
        return self.scaler.get_scale() if self.scaler.is_enabled() else 1.0

    def _apply(self) -> bool:
        """Clip the gradients and step; return whether they were finite."""
        self.scaler.unscale_(self.optimizer)
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
        if not self.divisible:
            raise NotEnoughMemory(
                f"There is not enough memory for training the stage '{self.stage.name}' with {self.micro_batch:,} rows at "
                "once, and they cannot be divided: its loss compares them. Lower training.batch_size, or shorten the inputs."
            )
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
