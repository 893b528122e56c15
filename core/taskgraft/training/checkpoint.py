"""The checkpoint of a run: reports of finished stages, the state of the current one, and the trained weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from taskgraft.storage.run_directory import RunDirectory

_WEIGHTS = "weights."
"""Starts the names of the model's own tensors; the others are those of the epoch loop."""


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
        validation_losses: the same of the validation rows, of each epoch; a solver has one. Empty without validation rows.
        chosen: what the validation rows decided: the ``penalty``, or the ``epoch`` whose weights were restored, from 1.
    """

    name: str
    seconds: float
    trained: int
    losses: tuple[float, ...]
    stored_at: int | None
    penalty: float | None
    excused: dict[str, str]
    validation_losses: tuple[float, ...] = ()
    chosen: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read a report of a checkpoint."""
        tuples = {name: tuple(values.get(name, ())) for name in ("losses", "validation_losses")}
        return cls(**{**values, **tuples})


@dataclass(frozen=True)
class TrainingCheckpoint:
    """State from which an interrupted run is resumed.

    Attributes:
        steps: optimizer steps of the finished stages.
        seconds: wall-clock seconds of the current stage so far.
        epoch_loop: the state of its epoch loop, with ``tensors``; None at its start.
        weights: the tensors trained so far, and the head's.
    """

    finished: tuple[StageReport, ...]
    steps: int
    seconds: float
    epoch_loop: Mapping[str, Any] | None
    tensors: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]

    @classmethod
    def load(cls, directory: RunDirectory) -> Self | None:
        """Read the checkpoint of a run; None if there is none."""
        state = directory.load_state()
        if state is None:
            return None
        values, tensors = state
        finished = tuple(StageReport.from_json(report) for report in values["finished"])
        weights = {name.removeprefix(_WEIGHTS): tensors[name] for name in tensors if name.startswith(_WEIGHTS)}
        return cls(finished, values["steps"], values["seconds"], values["descent"], tensors, weights)

    def save(self, directory: RunDirectory) -> None:
        """Replace the checkpoint of a run."""
        finished = [asdict(report) for report in self.finished]
        values = {"finished": finished, "steps": self.steps, "seconds": self.seconds, "descent": self.epoch_loop}
        weights = {f"{_WEIGHTS}{name}": tensor for name, tensor in self.weights.items()}
        directory.save_state(values, {**self.tensors, **weights})


@torch.no_grad()
def restore_tensors(tensors: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into the present ones of the same names."""
    for name, tensor in saved.items():
        tensors[name].copy_(tensor)
