"""The checkpoint of a run: finished stages, the state of the current one, and the trained weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from taskgraft.storage.run_directory import RunDirectory

_WEIGHTS = "weights."
"""Starts the names of the model's own tensors."""


@dataclass(frozen=True)
class StageReport:
    """What one stage did.

    Attributes:
        seconds: wall-clock, caching included. Of a resumed stage, also the time before, up to its last checkpoint.
        trained: the number of trained parameters, counted as elements of tensors.
        losses: the mean training loss of each epoch, in the head's unit.
        stored_at: the cut at which states were cached; None when features were cached, or nothing was.
        penalty: the L2 penalty of the solver, given or chosen.
        excused: parameters whose gradient was always zero, with the reason.
    """

    name: str
    seconds: float
    trained: int
    losses: tuple[float, ...]
    stored_at: int | None
    penalty: float | None
    excused: dict[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """State from which an interrupted run is resumed.

    Attributes:
        steps: optimizer steps of the finished stages.
        seconds: wall-clock seconds of the current stage so far.
        epoch_loop: state of the current stage, as plain JSON; None at its start.
        tensors: of the epoch loop, and the model's own.
    """

    finished: Sequence[StageReport] = ()
    steps: int = 0
    seconds: float = 0.0
    epoch_loop: Mapping[str, Any] | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: RunDirectory) -> Self | None:
        """Read the checkpoint of a run; None if there is none."""
        state = directory.load_state()
        if state is None:
            return None
        values, tensors = state
        finished = [StageReport(**report | {"losses": tuple(report["losses"])}) for report in values["finished"]]
        return cls(finished, values["steps"], values["seconds"], values["descent"], tensors)

    def save(self, directory: RunDirectory, weights: Mapping[str, Tensor]) -> None:
        """Write the checkpoint of a run.

        Args:
            weights: the model's own tensors, by name.
        """
        values = {
            "finished": [asdict(report) for report in self.finished],
            "steps": self.steps,
            "seconds": self.seconds,
            "descent": self.epoch_loop,
        }
        own = {f"{_WEIGHTS}{name}": tensor for name, tensor in weights.items()}
        directory.save_state(values, {**self.tensors, **own})

    def holds(self, name: str) -> bool:
        """Return whether a tensor of the model is in the checkpoint."""
        return f"{_WEIGHTS}{name}" in self.tensors

    @torch.no_grad()
    def restore_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the saved weights into the model's tensors, given by name."""
        for name, saved in self.tensors.items():
            if name.startswith(_WEIGHTS):
                tensors[name.removeprefix(_WEIGHTS)].copy_(saved)
