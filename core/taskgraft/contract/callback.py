"""Callbacks: what follows a stage of training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from taskgraft.contract.head import HeadModule


@dataclass(frozen=True)
class StageRun:
    """A stage that starts, as its callbacks see it.

    Attributes:
        backbone: with everything inserted.
        steps: the optimizer steps of the stage, unless it stops early.
        trainable: name → parameter or buffer that the stage may change, the same objects throughout. No others may be changed.
    """

    stage: str
    backbone: nn.Module
    head: HeadModule
    steps: int
    trainable: Mapping[str, Tensor]


class Callback:
    """Follows one stage. It is created at the start, and again when a killed run is resumed. Every method may be left out.

    With several processes each has its own, over equal weights. So it changes weights alike everywhere: without random numbers,
    and without what only one process sees.
    """

    def __init__(self, run: StageRun):
        """Called before the first step of the stage; in a resumed run before the next, with the weights of the checkpoint.

        Args:
            run: the stage; kept as ``self.run``.
        """
        self.run = run

    def on_step_end(self, step: int) -> None:
        """Called after every optimizer step, before gradients are cleared, with the step, from 1."""

    def on_epoch_end(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Called after every epoch, from 1, with what is logged: ``training_loss``, ``validation_loss``, …."""

    def on_stage_end(self) -> None:
        """Called once after the last step, before the guard compares the weights."""

    def validation_weights(self) -> Mapping[str, Tensor] | None:
        """Return values of trainable tensors, by name, for validation and the end of the stage; None keeps the trained ones.

        With early stopping, the best epoch is that of these values.
        """
        return None

    def state_dict(self) -> Mapping[str, Any]:
        """Return what it remembers, as tensors and JSON values, for the checkpoint of the run. Artifacts do not hold it."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of :meth:`state_dict`, in a resumed run. Its tensors are on the CPU, with equal bits."""


MakeCallback = Callable[[StageRun], Callback]
"""The class of a callback, or a function that makes one."""
