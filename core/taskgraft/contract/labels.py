"""Vocabularies: the labels of a task, as the user writes them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.targets import is_missing, raise_invalid
from taskgraft.errors import TaskgraftError, join_words

Label = str | bool | int | float


@dataclass(eq=False)
class TooFewLabels(TaskgraftError):
    """Fewer than two labels to tell apart."""

    column: str
    vocabulary: tuple[Label, ...]

    def __str__(self) -> str:
        have = f"only the label {self.vocabulary[0]!r}" if self.vocabulary else "no label at all"
        return f"The target column '{self.column}' has {have} in the training split; a head needs two or more to tell apart."


def to_json_label(value: Any) -> Label:
    """Give a label as a plain JSON value. A number of numpy or torch becomes Python's."""
    if isinstance(value, str | bool | int | float):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def label_key(label: Label) -> str:
    """Give the text by which a label is found: 7, "7" and 7.0 are one label, as they are in a file."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def build_vocabulary(labels: Iterable[Label], column: str) -> tuple[Label, ...]:
    """Collect the different labels, sorted as :func:`sort_labels` does.

    Raises:
        TooFewLabels: with fewer than two.
    """
    unique: dict[str, Label] = {label_key(label): label for label in labels}
    found = sort_labels(unique.values())
    if len(found) < 2:
        raise TooFewLabels(column, found)
    return found


def sort_labels(labels: Collection[Label]) -> tuple[Label, ...]:
    """Sort labels; numbers by value, anything else by its text."""
    numbers = all(isinstance(label, int | float) for label in labels)
    return tuple(sorted(labels, key=float if numbers else str))


def label_indices(labels: Sequence[Label]) -> dict[str, int]:
    """Number the labels of a vocabulary. A label is found by its text."""
    return {label_key(label): index for index, label in enumerate(labels)}


def unseen_label_message(label: object, vocabulary: Sequence[object]) -> str:
    """Say that a label is not in the vocabulary."""
    return f"the label {label!r} does not occur in the training split, which has {join_words(map(repr, vocabulary), 6)}"


def find_label(label: Any, numbers: Mapping[str, int], known: Sequence[Label]) -> int | str:
    """Find the number of a label, or say why there is none."""
    found = numbers.get(label_key(to_json_label(label)))
    return unseen_label_message(to_json_label(label), known) if found is None else found


def check_labels_present(column: str, values: Sequence[Any]) -> None:
    """Raise when a cell is empty, or holds something that is no single label."""
    reasons = {}
    for row, value in enumerate(values):
        if is_missing(value):
            reasons[row] = f"the target column '{column}' is empty"
        elif isinstance(value, list | tuple | dict | bytes):
            reasons[row] = f"the target column '{column}' is {value!r:.60}, not one label"
    raise_invalid(reasons)


def check_label_lists(column: str, values: Sequence[Any]) -> None:
    """Raise when a cell holds neither a list of labels nor a text that can be taken apart. Empty cells pass."""
    raise_invalid(
        {
            row: f"the target column '{column}' is {value!r}, not a list of labels"
            for row, value in enumerate(values)
            if not isinstance(value, Iterable) and not is_missing(value)
        }
    )
