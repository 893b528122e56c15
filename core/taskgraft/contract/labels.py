"""Label vocabularies: the labels of a task, as the user writes them. Imports no torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from taskgraft.contract.targets import TargetError, is_missing, raise_invalid
from taskgraft.errors import join_words

Label = str | bool | int | float
"""A label as JSON holds it."""


def to_json_label(value: Any) -> Label:
    """Return a label as a plain JSON value. A numpy or torch number becomes a Python number."""
    if isinstance(value, str | bool | int | float):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def label_key(label: Label) -> str:
    """Return the text that identifies a label: 7, "7" and 7.0 are one label, as they are in a file."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def build_vocabulary(labels: Iterable[Label], column: str) -> tuple[Label, ...]:
    """Collect the distinct labels, sorted as :func:`sort_labels` does.

    Raises:
        TargetError: with fewer than two.
    """
    unique: dict[str, Label] = {label_key(label): label for label in labels}
    vocabulary = sort_labels(unique.values())
    if len(vocabulary) < 2:
        only = f"only the label {vocabulary[0]!r}" if vocabulary else "no label at all"
        raise TargetError(
            f"The target column '{column}' has {only} in the training split; a head needs two or more to tell apart."
        )
    return vocabulary


def sort_labels(labels: Collection[Label]) -> tuple[Label, ...]:
    """Sort labels: by value if all are numbers, otherwise by text."""
    numeric = all(isinstance(label, int | float) for label in labels)
    return tuple(sorted(labels, key=float if numeric else str))


def label_indices(labels: Sequence[Label]) -> dict[str, int]:
    """Return label key → index in the vocabulary."""
    return {label_key(label): index for index, label in enumerate(labels)}


def find_label(label: Any, numbers: Mapping[str, int], known: Sequence[Label]) -> int | str:
    """Return the index of a label, or the reason why it has none."""
    index = numbers.get(label_key(to_json_label(label)))
    return unseen_label_message(to_json_label(label), known) if index is None else index


def encode_label_lists(rows: Iterable[Iterable[Any]], vocabulary: Sequence[Label]) -> list[list[int]]:
    """Return the indices of each row's labels in the vocabulary, -1 for a missing one.

    Raises:
        InvalidTargets: for each row with a label that is not in the vocabulary, naming the first.
    """
    index_of = label_indices(vocabulary)
    encoded: list[list[int]] = []
    reasons: dict[int, str] = {}
    for number, row in enumerate(rows):
        encoded.append([])
        for label in row:
            index = -1 if is_missing(label) else find_label(label, index_of, vocabulary)
            if isinstance(index, int):
                encoded[-1].append(index)
            else:
                reasons.setdefault(number, index)
    raise_invalid(reasons)
    return encoded


def unseen_label_message(label: object, vocabulary: Sequence[object]) -> str:
    """Return the reason for a label that is not in the vocabulary."""
    return f"the label {label!r} does not occur in the training split, which has {join_words(map(repr, vocabulary), 6)}"


def check_labels_present(column: str, values: Sequence[Any]) -> None:
    """Raise InvalidTargets for cells that are empty or hold something other than a single label."""
    reasons = {}
    for row, value in enumerate(values):
        if is_missing(value):
            reasons[row] = f"the target column '{column}' is empty"
        elif isinstance(value, list | tuple | dict | bytes):
            reasons[row] = f"the target column '{column}' is {value!r:.60}, not one label"
    raise_invalid(reasons)


def check_label_lists(column: str, values: Sequence[Any]) -> None:
    """Raise InvalidTargets for cells that hold neither a list of labels nor a text that can be split. Empty cells pass."""
    raise_invalid(
        {
            row: f"the target column '{column}' is {value!r}, not a list of labels"
            for row, value in enumerate(values)
            if not isinstance(value, Iterable) and not is_missing(value)
        }
    )
