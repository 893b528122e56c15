"""How raw labels are read, for every head: texts that hold lists, spellings, and the mapping ``data.labels``."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.descriptions import HeadDescription, TargetKind
from taskgraft.contract.targets import is_missing, raise_invalid
from taskgraft.files.json_text import parse_json
from taskgraft.labels import label_key, tidy_label
from taskgraft.reading.errors import DataError
from taskgraft.reading.known_labels import match_label
from taskgraft.recipe import DataConfig

LABEL_KINDS = frozenset({TargetKind.CATEGORY, TargetKind.CATEGORIES, TargetKind.ELEMENT_CATEGORIES})
"""Kinds of target whose raw values are labels, or lists of them."""

IGNORE_INDEX = "-100"
"""The label of elements without one, as PyTorch's losses have it (``ignore_index``)."""

_BRACKETS = {"[": "]", "(": ")", "{": "}"}

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?|True|False")
"""One value of a NumPy array, as it is printed: ``[0 1 0]``, ``[0. 1.]``, ``[True False]``."""


@dataclass(frozen=True)
class LabelReader:
    """Reads the target columns of one head.

    Attributes:
        kind: of the target, one of :data:`LABEL_KINDS`.
        separator: of the labels in a text; None for white space; empty where the head splits.
        lists: whether a cell holds several labels, and so a text may hold a list.
        names: label key → the label to use instead; empty: the label is missing.
    """

    kind: TargetKind
    separator: str | None
    lists: bool
    names: Mapping[str, str]

    @classmethod
    def of(cls, head: HeadDescription, data: DataConfig) -> "LabelReader | None":
        """Return the reader of a head's targets; None where they are not labels.

        Raises:
            DataError: for a mapping of labels that is ambiguous, or without labels to map.
        """
        names = _label_names(data.labels)
        if head.target not in LABEL_KINDS or head.files:
            if names:
                raise DataError(f"data.labels maps labels, but this head predicts {head.target}. Leave it out.")
            return None
        elements = head.target == TargetKind.ELEMENT_CATEGORIES
        lists = elements or (head.target == TargetKind.CATEGORIES and len(data.target) == 1)
        return cls(head.target, None if elements else head.separator, lists, names)

    def read(self, column: str, values: Sequence[Any]) -> list[Any]:
        """Return the values with lists as lists, and each label as it is used. Raises InvalidTargets."""
        known: dict[type, dict[Any, Any]] = {kind: _Known(self.label) for kind in (str, bool, int, float)}
        return [self._read(value, known) for value in self.cells(column, values)]

    def cells(self, column: str, values: Sequence[Any]) -> list[Any]:
        """Return the values with texts that hold several labels as lists, and labels as they were written.

        Raises:
            InvalidTargets: naming rows with a text that looks like a list, but cannot be read as one.
        """
        if not self.lists:
            return list(values)
        cells, reasons = [], {}
        for row, value in enumerate(values):
            try:
                cells.append(self._split(value) if isinstance(value, str) else value)
            except ValueError:
                reasons[row] = (
                    f"the target column '{column}' is {value!r:.60}, which looks like a list but cannot be read as one; "
                    'write it as JSON (["a", "b"])'
                )
        raise_invalid(reasons)
        return cells

    def label(self, value: Any) -> Any:
        """Return one label as it is used; None if it is missing."""
        if is_missing(value) or (isinstance(value, str) and not label_key(value)):
            return self.names.get("") or None
        name = self.names.get(label_key(value))
        if name is None and self.names and not isinstance(value, str):
            index = match_label(value, tuple(self.names))
            name = None if index is None else [*self.names.values()][index]
        if name is not None:
            return _of_type(value, name) if name else None
        if self.kind == TargetKind.ELEMENT_CATEGORIES and label_key(value) == IGNORE_INDEX:
            return None
        return tidy_label(value) if isinstance(value, str) else value

    def _read(self, value: Any, known: Mapping[type, Mapping[Any, Any]]) -> Any:
        """Read one cell. ``known`` remembers labels by type and value."""
        if type(value) in known:
            return known[type(value)][value]
        if isinstance(value, list | tuple):
            return [self._read(one, known) for one in value]
        if isinstance(value, Mapping):
            return {self._read(key, known): self._read(one, known) for key, one in value.items()}
        return self.label(value)

    def _split(self, text: str) -> Any:
        """Split a text of labels. Raises ValueError if it looks like a list, but cannot be read as one."""
        listed = parse_list(text)
        if listed is not None:
            return listed
        if self.separator == "" or not text.strip():
            return text
        return [part.strip() for part in text.split(self.separator) if part.strip()]


class _Known(dict[Any, Any]):
    """Labels of one type that were read, by value; others are read when they are looked up."""

    def __init__(self, read: Callable[[Any], Any]):
        super().__init__()
        self._read = read

    def __missing__(self, value: Any) -> Any:
        self[value] = self._read(value)
        return self[value]


def parse_list(text: str) -> Any:
    """Read a list, or label → value, that was written as a text: JSON, or as Python or NumPy print it. None for other texts.

    Raises:
        ValueError: if it looks like a list, but cannot be read as one.
    """
    text = text.strip()
    if len(text) < 2 or _BRACKETS.get(text[0]) != text[-1]:
        return None
    inner = text[1:-1].split()
    if text[0] == "[" and inner and all(map(_NUMBER.fullmatch, inner)):
        try:
            return [ast.literal_eval(one.lstrip("+")) for one in inner]
        except SyntaxError:  # of too many digits
            raise ValueError(text) from None
    for parse in (parse_json, _literal):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, set):
            return sorted(value, key=str)
        return [*value] if isinstance(value, tuple) else value if isinstance(value, list | dict) else None
    if text[1:].lstrip()[:1] in ("'", '"') or (text[0] != "(" and "," in text):
        raise ValueError(text)
    return None


def _literal(text: str) -> Any:
    """Read a Python literal. Texts without a comma between them, as NumPy prints them, are an error: Python joins them."""
    if re.search(r"""['"]\s+['"]""", text):
        raise ValueError(text)
    return ast.literal_eval(text)


def flat_labels(cells: Iterable[Any]) -> Iterator[Any]:
    """Iterate over the labels of cells, without missing ones."""
    for cell in cells:
        labels = cell if isinstance(cell, list | tuple) else cell.keys() if isinstance(cell, Mapping) else (cell,)
        yield from (label for label in labels if not is_missing(label))


def _label_names(labels: Mapping[str, str]) -> dict[str, str]:
    """Return label key → tidy name. Raises DataError for a chain of names."""
    names = {label_key(written): tidy_label(name) for written, name in labels.items()}
    for key, name in names.items():
        last = names.get(label_key(name), name) if name else name
        if last != name:
            end = f"'{last}'" if last else "missing"
            raise DataError(
                f"data.labels maps '{key}' to '{name}', and '{name}' to {end}. Map each label to its final name."
            )
    return names


def _of_type(value: Any, name: str) -> Any:
    """Return a name as a label of the type of the value it replaces, or as text where that is impossible."""
    if isinstance(value, str | bool):
        return name
    try:
        number = type(value)(name)
    except (TypeError, ValueError):
        return name
    return number if label_key(number) == label_key(name) else name
