"""What the caller of a fit passes as objects, which no recipe can name: callbacks and an augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.callback import Callback, MakeCallback
from taskgraft.contract.descriptions import TargetKind
from taskgraft.data.augmentation import Augmentation, function_name
from taskgraft.preparation.errors import TrainingError

_POSITIONS = {
    TargetKind.ELEMENT_CATEGORIES: "element",
    TargetKind.PAIR_CATEGORIES: "pair of elements",
    TargetKind.GRID_CATEGORIES: "position",
}


@dataclass(frozen=True)
class FitFunctions:
    """Callbacks, which run in every stage of gradient descent, and an augmentation of the training rows.

    Raises:
        TrainingError: for something that is neither the class of a callback nor a function, or cannot be called.
    """

    callbacks: Sequence[MakeCallback] = ()
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if isinstance(self.callbacks, str) or not isinstance(self.callbacks, Sequence):
            raise TrainingError(f"callbacks is {self.callbacks!r:.60}. Give a list of classes of callbacks.")
        for callback in self.callbacks:
            if isinstance(callback, Callback):
                raise TrainingError(
                    f"callbacks has an object of the class {type(callback).__name__}. Give the class itself, or a function "
                    "that makes one: each stage makes its own."
                )
            if not callable(callback):
                raise TrainingError(
                    f"callbacks has {callback!r:.60}. Give the class of a callback, or a function that makes one."
                )
        if self.augmentation is not None and not callable(self.augmentation):
            raise TrainingError(
                f"augmentation is {self.augmentation!r:.60}. Give a function of an example, a dict of input → raw value, and a "
                "numpy generator, which returns the changed example."
            )

    def identity(self) -> dict[str, Any]:
        """Name them for the identity of a run; nothing says what is in a function."""
        named: dict[str, Any] = {"callbacks": [function_name(one) for one in self.callbacks]} if self.callbacks else {}
        return named if self.augmentation is None else named | {"augmentation": function_name(self.augmentation)}


NO_FUNCTIONS = FitFunctions()
"""Neither callbacks nor an augmentation."""


def augmentation_note(function: Augmentation | None, target: TargetKind) -> str:
    """Say what a user's augmentation must leave as it is, since it does not see the targets; empty if there is nothing."""
    if function is None or target not in _POSITIONS:
        return ""
    return (
        f"The augmentation '{function_name(function)}' does not see the targets, of which there is one per "
        f"{_POSITIONS[target]}: it must leave everything in its place."
    )
