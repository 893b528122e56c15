"""The callbacks that average weights. Floating-point buffers, such as statistics of BatchNorm, are averaged like parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from taskgraft.contract.callback import Callback, StageRun


class _Average(Callback, ABC):
    """A running average, in float32 or more, of all trainable tensors; of those that are not floating point the latest."""

    def __init__(self, run: StageRun):
        super().__init__(run)
        self._count = 0
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
        trainable = self.run.trainable
        return {name: value.to(trainable[name].dtype) for name, value in self._average.items()} or None

    def state_dict(self) -> Mapping[str, Any]:
        return {"count": self._count, "average": self._average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._count = state["count"]
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


class EpochAverage(_Average):
    """The equal mean of the weights at the ends of epochs: stochastic weight averaging (Izmailov et al. 2018).

    There the learning rate is constant or cyclic in these epochs: choose such a schedule (``training.schedule = "constant"``).
    """

    def __init__(self, run: StageRun, start: float):
        """Start with nothing.

        Args:
            start: share of the steps before the first weights are added.
        """
        super().__init__(run)
        self._first, self._step = start * run.steps, 0

    def on_step_end(self, step: int) -> None:
        self._step = step

    def on_epoch_end(self, epoch: int, scores: Mapping[str, float]) -> None:
        if self._step > self._first:
            self._add()

    def _weight(self) -> float:
        return 1.0 / self._count


def _wide(tensor: Tensor) -> torch.dtype:
    """Return the dtype to average in: small changes are lost in half precision."""
    return torch.promote_types(tensor.dtype, torch.float32) if tensor.is_floating_point() else tensor.dtype
