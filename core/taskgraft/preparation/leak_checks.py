"""Possible leaks: columns that alone predict a target almost perfectly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from taskgraft.contract.descriptions import TargetKind
from taskgraft.labels import label_key
from taskgraft.preparation.single_column import (
    LEAST,
    ColumnScore,
    Indices,
    Numbers,
    score_classes,
    score_numbers,
    to_numbers,
)

_SAMPLE = 4_000
"""Rows that a score is computed on."""

_MOST_LABELS = 10
"""Labels of a multi-label target that are looked at, the most frequent ones."""


@dataclass(frozen=True)
class Leak:
    """A column that predicts a target, which is named in words ("'price'")."""

    column: str
    target: str
    score: ColumnScore


class _Scorer(Protocol):
    def __call__(self, numbers: Numbers) -> ColumnScore | None: ...


@dataclass(frozen=True)
class _Question:
    """What a column may predict: a target in words, the rows to score, and how."""

    target: str
    rows: Indices
    score: _Scorer


def find_leaks(
    cells: Mapping[str, pa.ChunkedArray], targets: Mapping[str, Sequence[Any]], kind: TargetKind
) -> list[Leak]:
    """Find columns that alone predict a target almost perfectly, for targets of labels and numbers. The same in every call.

    Args:
        cells: input column → its cells.
        targets: target column → raw values, one per row.
        kind: of the target.
    """
    leaks = []
    for target, values in targets.items():
        for question in _questions(target, values, kind):
            rows = pa.array(question.rows)
            for name, column in cells.items():
                numbers = to_numbers(column.take(rows).combine_chunks())
                score = None if numbers is None else question.score(numbers)
                if score is not None:
                    leaks.append(Leak(name, question.target, score))
    return leaks


def _questions(target: str, values: Sequence[Any], kind: TargetKind) -> Iterator[_Question]:
    if kind == TargetKind.CATEGORY:
        rows, classes = _sample_classes(values)
        if len(rows):
            yield _Question(f"'{target}'", rows, partial(score_classes, classes=classes))
    elif kind == TargetKind.NUMBERS:
        rows, numbers = _sample_numbers(values)
        if len(rows):
            yield _Question(f"'{target}'", rows, partial(score_numbers, targets=numbers))
    elif kind == TargetKind.CATEGORIES:
        labels = [{label_key(label) for label in value} if isinstance(value, list) else set() for value in values]
        counts: dict[str, int] = {}
        for label in (label for some in labels for label in some):
            counts[label] = counts.get(label, 0) + 1
        for label in sorted(counts, key=lambda label: -counts[label])[:_MOST_LABELS]:
            rows, classes = _sample_classes([label in some for some in labels])
            if len(rows):
                yield _Question(f"the label '{label}' of '{target}'", rows, partial(score_classes, classes=classes))


def _sample_classes(values: Sequence[Any]) -> tuple[Indices, Indices]:
    """Choose rows of the frequent classes, as many of each as there are, up to a limit.

    Returns:
        row numbers, ascending, and the class of each: ``(row,)`` int64. No rows if fewer than two classes are frequent.
    """
    index: dict[Any, int] = {}
    codes = np.array([index.setdefault(value, len(index)) for value in values], dtype=np.int64)
    frequent = np.flatnonzero(np.bincount(codes) >= LEAST)[: _SAMPLE // LEAST]
    if len(frequent) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    most, random = _SAMPLE // len(frequent), np.random.default_rng(0)
    members = (np.flatnonzero(codes == code) for code in frequent)
    chosen = [some if len(some) <= most else random.choice(some, most, replace=False) for some in members]
    rows = np.sort(np.concatenate(chosen))
    return rows, np.unique(codes[rows], return_inverse=True)[1]


def _sample_numbers(values: Sequence[Any]) -> tuple[Indices, Numbers]:
    """Choose rows whose target is a finite number. Returns row numbers, ascending, and the number of each."""
    numbers = to_numbers(pa.array(map(str, values), pa.large_string()))
    rows = np.zeros(0, np.int64) if numbers is None else np.flatnonzero(np.isfinite(numbers))
    if len(rows) > _SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, _SAMPLE, replace=False))
    return rows, np.zeros(0) if numbers is None else numbers[rows]
