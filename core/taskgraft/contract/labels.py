"""Vocabularies: the labels of a task, as the user writes them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.columns import Columns
from taskgraft.contract.head import BadTargets, is_missing, unseen
from taskgraft.errors import TaskgraftError

Label = str | bool | int | float


@dataclass(eq=False)
class NothingToTell(TaskgraftError):
    """Fewer than two labels to tell apart."""

    column: str
    vocabulary: tuple[Label, ...]

    def __str__(self) -> str:
        have = f"only the label {self.vocabulary[0]!r}" if self.vocabulary else "no label at all"
        return f"The target column '{self.column}' has {have} in the training split; a head needs two or more to tell apart."


def plain(value: Any) -> Label:
    """Give a label as a plain JSON value. A number of numpy or torch becomes Python's."""
    if isinstance(value, str | bool | int | float):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def text_of(label: Label) -> str:
    """Give the text by which a label is found: 7, "7" and 7.0 are one label, as they are in a file."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def vocabulary(labels: Iterable[Label], column: str) -> tuple[Label, ...]:
    """Collect the different labels, sorted as :func:`ordered` does.

    Raises:
        NothingToTell: with fewer than two.
    """
    unique: dict[str, Label] = {text_of(label): label for label in labels}
    found = ordered(unique.values())
    if len(found) < 2:
        raise NothingToTell(column, found)
    return found


def ordered(labels: Collection[Label]) -> tuple[Label, ...]:
    """Sort labels; numbers by value, anything else by its text."""
    numbers = all(isinstance(label, int | float) for label in labels)
    return tuple(sorted(labels, key=float if numbers else str))


def indices(labels: Sequence[Label]) -> dict[str, int]:
    """Number the labels of a vocabulary. A label is found by its text."""
    return {text_of(label): index for index, label in enumerate(labels)}


def index_of(label: Any, numbers: Mapping[str, int], known: Sequence[Label]) -> int | str:
    """Find the number of a label, or say why there is none."""
    found = numbers.get(text_of(plain(label)))
    return unseen(plain(label), known) if found is None else found


def only_column(targets: Columns, head: str) -> tuple[str, Sequence[Any]]:
    """Give the one target column of a head that reads one."""
    if len(targets) != 1:
        raise OneColumn(head, tuple(targets))
    return next(iter(targets.items()))


@dataclass(eq=False)
class OneColumn(TaskgraftError):
    """A head that reads one target column was given another number."""

    head: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"'{self.head}' reads one target column, but was given {len(self.columns)}: {', '.join(self.columns)}."


def refuse(reasons: Mapping[int, str]) -> None:
    """Raise when there is a bad row."""
    if reasons:
        raise BadTargets(reasons)


def refuse_missing(column: str, values: Sequence[Any]) -> None:
    """Raise when a cell is empty, or holds something that is no single label."""
    reasons = {}
    for row, value in enumerate(values):
        if is_missing(value):
            reasons[row] = f"the target column '{column}' is empty"
        elif isinstance(value, list | tuple | dict | bytes):
            reasons[row] = f"the target column '{column}' is {value!r:.60}, not one label"
    refuse(reasons)


def refuse_unlisted(column: str, values: Sequence[Any]) -> None:
    """Raise when a cell holds neither a list of labels nor a text that can be taken apart. Empty cells pass."""
    refuse(
        {
            row: f"the target column '{column}' is {value!r}, not a list of labels"
            for row, value in enumerate(values)
            if not isinstance(value, Iterable) and not is_missing(value)
        }
    )
