"""The callbacks that average weights.

Floating-point buffers, such as statistics of BatchNorm, are averaged like parameters, as torch's AveragedModel does with
``use_buffers``. Izmailov et al. compute those anew from the training rows; tests/benchmarks/averages.py compares the two.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from taskgraft.contract.callback import Callback, StageRun
from taskgraft.preparation.errors import TrainingError


class _Average(Callback, ABC):
    """A running average, in float32 or more, of all trainable tensors; of those that are not floating point the latest.

    A value that training has set to exactly 0, such as a rank that AdaLoRA has removed, is 0.
    """

    def __init__(self, run: StageRun):
        super().__init__(run)
        self._count = self._step = 0
        self._average: dict[str, Tensor] = {}

    @abstractmethod
    def _weight(self) -> float:
        """Return the weight of the present values in the average, from their number."""

    @torch.no_grad()
    def _add(self) -> None:
        self._count += 1
        weight = 1.0 if self._count == 1 else self._weight()
        for name, tensor in self.run.trainable.items():
            if not tensor.is_floating_point() or name not in self._average:
                self._average[name] = tensor.detach().to(_wide(tensor), copy=True)
            else:
                self._average[name].lerp_(tensor.to(_wide(tensor)), weight)

    def validation_weights(self) -> Mapping[str, Tensor] | None:
        trained = {name: self.run.trainable[name].detach() for name in self._average}
        averages = {name: value.to(trained[name].dtype) for name, value in self._average.items()}
        return {name: torch.where(trained[name] == 0, trained[name], averages[name]) for name in averages} or None

    def state_dict(self) -> Mapping[str, Any]:
        return {"count": self._count, "step": self._step, "average": self._average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._count, self._step = state["count"], state["step"]
        self._average = {name: value.to(self.run.trainable[name].device) for name, value in state["average"].items()}


class MovingAverage(_Average):
    """The exponential moving average over steps (Polyak and Juditsky 1992).

    In the first steps its decay is (1 + n) / (10 + n) after n steps, if that is smaller, as in TensorFlow's
    ``ExponentialMovingAverage``, so that it forgets the weights before training.
    """

    def __init__(self, run: StageRun, decay: float):
        """Start with the weights before training.

        Args:
            decay: per step.
        """
        super().__init__(run)
        self._decay = decay
        self._add()

    def on_step_end(self, step: int) -> None:
        self._add()

    def _weight(self) -> float:
        steps = self._count - 1
        return 1.0 - min(self._decay, (1 + steps) / (10 + steps))


class EqualAverage(_Average):
    """The equal mean of weights late in training: stochastic weight averaging (Izmailov et al. 2018, algorithm 1).

    There the learning rate is constant or cyclic from the start of the mean on. Under a schedule that falls to 0 the weights
    hardly differ, so choose ``training.schedule = "constant"``.
    """

    def __init__(self, run: StageRun, start: float, every: int | None):
        """Start with nothing.

        Args:
            start: share of the steps before the first weights are added.
            every: steps between weights; None adds those at the ends of epochs.

        Raises:
            TrainingError: when the stage has too few steps.
        """
        super().__init__(run)
        self._first, self._every = start * run.steps, every
        if every is not None and every > run.steps - math.floor(self._first):
            raise TrainingError(
                f"The stage '{run.stage}' has {run.steps:,} steps, so 'average' with start = {start:g} and every = {every:,} "
                "has nothing to average. Lower one of them."
            )

    def on_step_end(self, step: int) -> None:
        self._step, after = step, step - math.floor(self._first)
        if self._every is not None and after > 0 and after % self._every == 0:
            self._add()

    def on_epoch_end(self, epoch: int, scores: Mapping[str, float]) -> None:
        if self._every is None and self._step > self._first:
            self._add()

    def _weight(self) -> float:
        return 1.0 / self._count


def _wide(tensor: Tensor) -> torch.dtype:
    """Return the dtype to average in: small changes are lost in half precision."""
    return torch.promote_types(tensor.dtype, torch.float32) if tensor.is_floating_point() else tensor.dtype
