"""The checkpoint of a run: reports of finished stages, the state of the current one, and the trained weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt
from torch import Tensor

from taskgraft.adaptation.guard import GuardState
from taskgraft.contract.config import Config
from taskgraft.errors import join_words
from taskgraft.storage.documents import validate
from taskgraft.storage.run_directory import RunDirectory

_WEIGHTS = "weights"
"""First word of the names of the model's own tensors; the others are those of the epoch loop."""


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

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    name: str
    seconds: float
    trained: int
    losses: tuple[float, ...]
    stored_at: int | None
    penalty: float | None
    excused: dict[str, str]
    validation_losses: tuple[float, ...] = ()
    chosen: dict[str, float] = field(default_factory=dict)


@dataclass
class EpochProgress:
    """How far an epoch loop is.

    Attributes:
        epoch: the current one, from 0; ``within`` are the steps done in it, ``step`` those done in all.
        total: the loss of the current epoch so far, summed; ``weight`` is what it is summed over.
        losses: the mean training loss of each epoch; ``validation_losses`` are those of the validation rows.
        best: the lowest validation loss; None before the first. ``waited`` are the epochs since then.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    epoch: NonNegativeInt = 0
    within: NonNegativeInt = 0
    step: NonNegativeInt = 0
    total: float = 0.0
    weight: float = 0.0
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    best: float | None = None
    waited: NonNegativeInt = 0


class LoopState(Config):
    """The state of an epoch loop. The tensors of ``optimizer`` and ``callbacks`` are beside it."""

    progress: EpochProgress
    micro_batch: PositiveInt
    scaler: dict[str, int | float]
    guard: GuardState
    optimizer: Any
    callbacks: Any


class _Values(Config):
    """The document of a checkpoint. Its keys stay as they are."""

    finished: tuple[StageReport, ...]
    steps: NonNegativeInt
    seconds: float = Field(ge=0)
    descent: LoopState | None
    base: dict[str, str]


@dataclass(frozen=True)
class TrainingCheckpoint:
    """State from which an interrupted run is resumed.

    Attributes:
        steps: optimizer steps of the finished stages.
        seconds: wall-clock seconds of the current stage so far.
        epoch_loop: the state of its epoch loop, with ``tensors``; None at its start.
        weights: the tensors trained so far, and the head's.
        base: digests of the other tensors of a backbone object, which nothing else identifies; empty for one given by name.
    """

    finished: tuple[StageReport, ...]
    steps: int
    seconds: float
    epoch_loop: LoopState | None
    tensors: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    base: Mapping[str, str]

    @classmethod
    def load(cls, directory: RunDirectory, stages: int) -> Self | None:
        """Read the checkpoint of a run with so many stages; None if there is none. Raises RunDirectoryError."""
        state = directory.load_state()
        if state is None:
            return None
        document, tensors = state
        try:
            values = validate(_Values, document)
            if len(values.finished) >= stages:
                raise ValueError(f"it has {len(values.finished)} finished stages, but the strategy has {stages}")
        except ValueError as error:
            raise directory.damaged(str(error)) from None
        weights = tensors_of(_WEIGHTS, tensors)
        others = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{_WEIGHTS}.")}
        return cls(values.finished, values.steps, values.seconds, values.descent, others, weights, values.base)

    def save(self, directory: RunDirectory) -> None:
        """Replace the checkpoint of a run."""
        finished = [asdict(report) for report in self.finished]
        values: dict[str, Any] = {"finished": finished, "steps": self.steps, "seconds": self.seconds}
        loop = None if self.epoch_loop is None else self.epoch_loop.model_dump(mode="python")
        base = {name: digest for name, digest in self.base.items() if name not in self.weights}
        weights = {f"{_WEIGHTS}.{name}": tensor for name, tensor in self.weights.items()}
        directory.save_state(values | {"descent": loop, "base": base}, {**self.tensors, **weights})


def tensors_of(word: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Select the tensors whose names start with a word, and drop it from their names."""
    return {name.removeprefix(f"{word}."): tensors[name] for name in tensors if name.startswith(f"{word}.")}


def check_saved(
    directory: RunDirectory, kind: str, saved: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Check that saved tensors are those expected, by name, dtype and shape. Raises RunDirectoryError.

    Args:
        kind: what they are, for the message ("weights").
    """
    if missing := sorted(expected.keys() - saved.keys()):
        raise directory.damaged(f"the {kind} lack {join_words(missing, 3)}")
    if foreign := sorted(saved.keys() - expected.keys()):
        raise directory.damaged(f"the {kind} have the unexpected {join_words(foreign, 3)}")
    for name, tensor in saved.items():
        found, needed = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, expected[name]))
        if found != needed:
            raise directory.damaged(f"of the {kind}, {name} is {found}, but the model has {needed}")
