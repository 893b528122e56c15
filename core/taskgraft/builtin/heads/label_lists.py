"""Lists of labels: what heads with several labels per row, or one per element, have in common."""

from collections.abc import Iterable, Sequence
from typing import Any

from taskgraft.contract.targets import is_missing, raise_invalid
from taskgraft.labels import Label, label_indices, label_key, to_json_label
from taskgraft.reading.known_labels import find_label


def encode_label_lists(rows: Iterable[Iterable[Any]], vocabulary: Sequence[Label]) -> list[list[int]]:
    """Return the indices of each row's labels in the vocabulary, -1 for a missing one.

    Raises:
        InvalidTargets: for each row with a label that is not in the vocabulary, naming the first.
    """
    index_of = label_indices(vocabulary)
    found: dict[str, int | str] = {}
    encoded: list[list[int]] = []
    reasons: dict[int, str] = {}
    for number, row in enumerate(rows):
        encoded.append([])
        for label in row:
            if is_missing(label):
                encoded[-1].append(-1)
                continue
            key = label_key(to_json_label(label))
            if key not in found:
                found[key] = find_label(label, index_of, vocabulary)
            index = found[key]
            if isinstance(index, int):
                encoded[-1].append(index)
            else:
                reasons.setdefault(number, index)
    raise_invalid(reasons)
    return encoded


def check_label_lists(column: str, values: Sequence[Any]) -> None:
    """Raise InvalidTargets for cells that hold neither a list of labels nor a text that can be split. Empty cells pass."""
    raise_invalid(
        {
            row: f"the target column '{column}' is {value!r}, not a list of labels"
            for row, value in enumerate(values)
            if not isinstance(value, Iterable) and not is_missing(value)
        }
    )
