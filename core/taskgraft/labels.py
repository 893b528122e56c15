"""Label vocabularies: the labels of a task, as the user writes them. Imports no torch."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from taskgraft.contract.targets import TargetError, is_missing, raise_invalid

Label = str | bool | int | float
"""A label as JSON holds it."""

_JOINERS, _JOINED = "\u200c\u200d", frozenset({"Lo", "Mn", "Mc", "So", "Sk"})
"""Invisible characters that shape emoji and the letters of Indic and Arabic script; the categories of these."""

_TAGS = range(0xE0020, 0xE0080)
"""Invisible characters that spell the region of a flag."""


def to_json_label(value: Any) -> Label:
    """Return a label as a plain JSON value. A numpy or torch number becomes a Python number."""
    if isinstance(value, str | bool | int | float):
        return value
    return value.item() if hasattr(value, "item") else str(value)


@lru_cache(maxsize=65_536)
def tidy_label(text: str) -> str:
    """Return the text of a label as it is used: Unicode NFC, single spaces, trimmed, without invisible characters.

    Those that shape their neighbours stay.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        kept = (character for index, character in enumerate(text) if _is_visible(text, index, character))
        text = unicodedata.normalize("NFC", "".join(kept))
    return " ".join(text.split())


def label_key(label: Label) -> str:
    """Return the text that identifies a label: 7, "7" and 7.0 are one label, as they are in a file.

    White space, Unicode form and invisible characters do not distinguish labels; case does.
    """
    if isinstance(label, str):
        return tidy_label(label)
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def by_label_key(value: Any) -> Any:
    """Return a setting by label key if it is a mapping of labels of any type. Raises ValueError for two keys of one label."""
    if not isinstance(value, Mapping):
        return value
    by_key = {label_key(to_json_label(label)): one for label, one in value.items()}
    if len(by_key) < len(value):
        raise ValueError("two keys name the same label")
    return by_key


def build_vocabulary(labels: Iterable[Label], column: str) -> tuple[Label, ...]:
    """Collect the distinct labels, sorted as :func:`sort_labels` does. Of several spellings, the shortest is used.

    Raises:
        TargetError: with fewer than two.
    """
    unique: dict[str, Label] = {}
    for label in labels:
        spelling = tidy_label(label) if isinstance(label, str) else label
        known = unique.setdefault(label_key(label), spelling)
        if _spelling_order(spelling) < _spelling_order(known):
            unique[label_key(label)] = spelling
    texts = {key: str(label) if isinstance(label, str) else key for key, label in unique.items()}
    mixed = any(isinstance(label, str) for label in unique.values())
    vocabulary = sort_labels(texts.values() if mixed else unique.values())
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
    return {label_key(label): index for index, label in reversed([*enumerate(labels)])}


def check_labels_present(column: str, values: Sequence[Any]) -> None:
    """Raise InvalidTargets for cells that are empty or hold something other than a single label."""
    reasons = {}
    for row, value in enumerate(values):
        if is_missing(value):
            reasons[row] = f"the target column '{column}' is empty"
        elif isinstance(value, list | tuple | dict | bytes):
            reasons[row] = f"the target column '{column}' is {value!r:.60}, not one label"
    raise_invalid(reasons)


def _spelling_order(label: Label) -> tuple[int, str, str]:
    return len(str(label)), str(label), type(label).__name__


def _is_visible(text: str, index: int, character: str) -> bool:
    if unicodedata.category(character) != "Cf" or ord(character) in _TAGS:
        return True
    neighbours = text[max(index - 1, 0) : index + 2]
    joined = len(neighbours) == 3 and {unicodedata.category(one) for one in neighbours} <= {"Cf", *_JOINED}
    return character in _JOINERS and joined
