"""Training a stage by gradient descent, on one process or several."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from taskgraft.error import TaskgraftError
from taskgraft.examples import Examples, Piece, load
from taskgraft.guard import Guard
from taskgraft.learning import Learning
from taskgraft.ordering import training_batches
from taskgraft.plan import Stage
from taskgraft.progress import Reporter
from taskgraft.recipe import TrainingConfig
from taskgraft.task import Task, mean_loss

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Modules that cannot learn from a batch of one row."""

EPSILON = 1e-6
"""AdamW's, as BERT was trained with. A gradient that is zero but for rounding (a softmax does not feel the bias of the keys)
must stay small beside it, or the step follows the rounding, which differs with the number of processes."""


@dataclass(eq=False)
class LossNotFinite(TaskgraftError):
    """Training diverged."""

    stage: str
    step: int
    loss: float

    def __str__(self) -> str:
        return f"The loss of stage '{self.stage}' became {self.loss} at step {self.step:,}. {_ADVICE}"


@dataclass(eq=False)
class GradientNotFinite(TaskgraftError):
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
class Descent:
    """What one stage trains on, and how.

    Attributes:
        cut: the cut at which the stored inputs lie; None when they are features.
        losses: the mean training loss of each epoch.
    """

    stage: Stage
    task: Task
    learning: Learning
    guard: Guard
    cut: int | None
    training: Examples
    validation: Examples | None
    settings: TrainingConfig
    accelerator: Accelerator
    reporter: Reporter
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = self.learning.tensors()
        self._buffers = {name: now[name] for name in self.learning.declared if not isinstance(now[name], nn.Parameter)}

    def run(self) -> None:
        """Train all epochs; restore the best epoch when the stage has patience.

        Raises:
            LossNotFinite, GradientNotFinite: when training diverges.
        """
        epochs = self.stage.epochs or self.settings.epochs
        plan = [self._batches(epoch) for epoch in range(epochs)]
        optimizer = AdamW(
            _parameter_groups(self.learning, self.settings),
            eps=EPSILON,
            fused=self.task.device.type in ("cpu", "cuda"),
        )
        schedule = LambdaLR(optimizer, _Shape(sum(map(len, plan)), self.settings.warmup))
        module = self.accelerator.prepare_model(self.task)
        best: tuple[float, dict[str, Tensor]] | None = None
        waited, step = 0, 0
        for batches in plan:
            total, weight = 0.0, 0.0
            for piece in self._track(batches):
                step += 1
                loss, share = self._step(module, optimizer, schedule, piece, step)
                total, weight = total + loss, weight + share
            self.losses.append(total / max(weight, 1e-12))
            if self.stage.patience is None or self.validation is None:
                continue
            score = self._validated()
            if best is None or score < best[0]:
                best, waited = (score, self._kept()), 0
            else:
                waited += 1
            if waited >= self.stage.patience:
                break
        self.guard.finish()
        if best is not None:
            self._restore(best[1])

    def _step(
        self, module: nn.Module, optimizer: AdamW, schedule: LambdaLR, piece: Piece, step: int
    ) -> tuple[float, float]:
        seed = (self.settings.seed * 1_000_003 + step) * 1_009 + self.accelerator.process_index
        torch.manual_seed(seed % 2**63)
        device, statistics = self.task.device, self._statistics()
        with self._arithmetic():
            total, weight = module(self.cut, piece.inputs.to(device), piece.targets.to(device), self.stage.loss)
        if piece.counted == 0:
            total, weight = total * 0.0, weight * 0.0
        sums = self.accelerator.reduce(torch.stack([total.detach(), weight.detach()]), "sum")
        whole_loss, whole_weight = float(sums[0]), float(sums[1])
        if not math.isfinite(whole_loss):
            self._restore(statistics)
            raise LossNotFinite(self.stage.name, step, whole_loss)
        optimizer.zero_grad(set_to_none=True)
        if whole_weight > 0:
            self.accelerator.backward(total * (self.accelerator.num_processes / whole_weight))
            self.guard.after_backward()
            norm = self.accelerator.clip_grad_norm_(self._learning_parameters(), self.settings.clip or math.inf)
            if norm is not None and not math.isfinite(norm):
                optimizer.zero_grad(set_to_none=True)
                self._restore(statistics)
                raise GradientNotFinite(self.stage.name, step, whole_loss / whole_weight)
            optimizer.step()
        schedule.step()
        if self.stage.after_step is not None:
            self.stage.after_step(self.task.backbone, step)
        self.guard.after_step()
        return whole_loss, whole_weight

    def _batches(self, epoch: int) -> list[list[int]]:
        return training_batches(
            self.training.inputs.sizes(),
            self.settings.batch_size,
            self.settings.seed,
            epoch,
            even=not self.task.pads,
            no_single=any(isinstance(module, BATCH_NORMS) and module.training for module in self.task.modules()),
        )

    def _track(self, batches: list[list[int]]) -> Iterator[Piece]:
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        loader = load(self.training, batches, self.settings.workers, process, processes)
        what = f"{self.stage.name}, epoch {len(self.losses) + 1}"
        return self.reporter.track(loader, what, len(batches))

    def _validated(self) -> float:
        assert self.validation is not None
        score = mean_loss(
            self.task, self.cut, self.validation.inputs, self.validation.targets, self.settings.batch_size
        )
        self.learning.set_modes()
        return score

    def _kept(self) -> dict[str, Tensor]:
        now = self.learning.tensors()
        return {name: now[name].detach().clone() for name in self.learning.declared}

    def _statistics(self) -> dict[str, Tensor]:
        """Copy what a forward pass changes: the buffers that learn."""
        return {name: buffer.clone() for name, buffer in self._buffers.items()}

    @torch.no_grad()
    def _restore(self, kept: dict[str, Tensor]) -> None:
        now = self.learning.tensors()
        for name, tensor in kept.items():
            now[name].copy_(tensor)

    def _learning_parameters(self) -> list[Tensor]:
        return [parameter for parameter in self.task.parameters() if parameter.requires_grad]

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.task.device.type, torch.bfloat16)


def _parameter_groups(learning: Learning, settings: TrainingConfig) -> list[dict[str, object]]:
    now = learning.tensors()
    groups: list[dict[str, object]] = []
    for group in learning.groups:
        names = [name for name in group.tensors if isinstance(now[name], nn.Parameter)]
        matrices = [name for name in names if now[name].dim() > 1 and not name.endswith("bias")]
        for decay, some in (
            (settings.weight_decay, matrices),
            (0.0, [name for name in names if name not in matrices]),
        ):
            if some:
                groups.append({"params": [now[name] for name in some], "lr": group.rate, "weight_decay": decay})
    return groups


class _Shape:
    """Rates rise linearly over the warm-up, then fall linearly to zero."""

    def __init__(self, steps: int, warmup: float):
        self._steps, self._rise = steps, round(steps * warmup)

    def __call__(self, step: int) -> float:
        if step < self._rise:
            return (step + 1) / (self._rise + 1)
        return max(0.0, (self._steps - step) / max(1, self._steps - self._rise))
