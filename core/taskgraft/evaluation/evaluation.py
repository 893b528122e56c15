"""How good predictions are: numbers, how far they may be off, and what honest rivals reach on the same rows."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.labels import label_key
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction
from taskgraft.contract.targets import is_missing
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.per_class import Confusion, confusion, per_class

RESAMPLES = 1000
"""How many resamples intervals are taken from, unless someone says otherwise."""

LEVEL = 0.95
"""The share of data sets whose interval holds the true value."""


@dataclass(frozen=True)
class Bootstrap:
    """How rows are drawn again for the intervals.

    Attributes:
        count: how often; 0 gives no intervals.
        seed: the same data and seed give the same intervals.
        groups: what the groups are called (a column), or None when each row is drawn by itself.
        members: the group of each row, when there are groups. Rows of one group are drawn together. A row whose group is
            missing stands alone.
    """

    count: int = RESAMPLES
    seed: int = 0
    groups: str | None = None
    members: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 0:
            raise InvalidResamples(self.count)

    def draws(self, rows: int) -> Iterator[NDArray[np.int64]]:
        """Draw as many rows, or groups, as there are, with replacement.

        Yields:
            row numbers, ``(row,)``, a row as often as it was drawn. Nothing when there are no two to draw from.
        """
        unit, units = self._units(rows)
        if units < 2:
            return
        chance = np.random.default_rng(self.seed)
        for _ in range(self.count):
            times = np.bincount(chance.integers(units, size=units), minlength=units)
            yield np.repeat(np.arange(rows), times[unit])

    def _units(self, rows: int) -> tuple[NDArray[np.int64], int]:
        if self.members is None:
            return np.arange(rows), rows
        numbers: dict[Any, int] = {}
        keys = (row if is_missing(value) else repr(value) for row, value in enumerate(self.members))
        unit = [numbers.setdefault(key, len(numbers)) for key in keys]
        return np.array(unit, dtype=np.int64), len(numbers)


class Evaluation(Mapping[str, float]):
    """The numbers by name, and what belongs to them. What takes time is computed when it is first asked for.

    Attributes:
        rows: how many were judged.
        resamples: how many the intervals are taken from; 0 when there are none.
        groups: the column whose equal values are drawn together, or None.
        baselines: name of a baseline → its numbers for the same rows.
        figures: the files that its metrics drew.
    """

    def __init__(
        self,
        kind: TargetKind,
        predictions: Predictions,
        truth: Sequence[Any],
        judge: MetricFunction,
        resampling: Bootstrap = Bootstrap(),
        baselines: Mapping[str, Mapping[str, float]] | None = None,
        figures: Sequence[Path] = (),
    ):
        """Judge.

        Args:
            kind: what one row's target is.
            truth: as the head's ``decode_targets`` gives it.
            judge: makes the numbers of any rows.
        """
        self._kind, self._predictions, self._truth = kind, predictions, truth
        self._judge, self._resampling = judge, resampling
        self.rows, self.resamples, self.groups = len(truth), resampling.count, resampling.groups
        self.baselines: Mapping[str, Mapping[str, float]] = baselines or {}
        self.figures = tuple(figures)
        self._numbers = finite_only(judge(np.arange(self.rows)))

    def __getitem__(self, name: str) -> float:
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        numbers = "".join(f"{name}={value:.4f}, " for name, value in self.items())
        return f"Evaluation({numbers}rows={self.rows})"

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Estimate for each number from where to where it may be, at 95 %.

        The 2.5th and the 97.5th percentile over resamples of the rows, or of whole groups (Efron and Tibshirani, 1993, An
        introduction to the bootstrap, chapter 13). With fewer than about 30 rows or groups they are too narrow. They say how
        far other rows of the same kind may lie, not how far another training may.

        Returns:
            name → lowest and highest. A number that fewer than half of the resamples have is left out.
        """
        drawn: dict[str, list[float]] = {name: [] for name in self}
        for rows in self._resampling.draws(self.rows):
            found = finite_only(self._judge(rows))
            for name in drawn.keys() & found.keys():
                drawn[name].append(found[name])
        enough = {name: values for name, values in drawn.items() if values and 2 * len(values) >= self.resamples}
        ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
        bounds = {name: np.quantile(values, ends).tolist() for name, values in enough.items()}
        return {name: (low, high) for name, (low, high) in bounds.items()}

    @cached_property
    def confusion(self) -> Confusion | None:
        """Count which class was taken for which; None unless each row has one label."""
        return confusion(self._kind, self._predictions, self._truth)

    @cached_property
    def per_class(self) -> Mapping[str, Mapping[str, float]]:
        """Judge each class by itself: text of its label → precision, recall, f1, support. Empty for numbers."""
        return per_class(self._kind, self._predictions, self._truth)

    def to_json(self) -> dict[str, Any]:
        """Give everything as plain JSON. A number without interval has None for its ends."""
        table = self.confusion
        bounds = {name: self.intervals.get(name, (None, None)) for name in self}
        return {
            "rows": self.rows,
            "metrics": {
                name: {"value": value, "low": bounds[name][0], "high": bounds[name][1]} for name, value in self.items()
            },
            "baselines": {name: dict(numbers) for name, numbers in self.baselines.items()},
            "per_class": {label: dict(numbers) for label, numbers in self.per_class.items()},
            "confusion": None
            if table is None
            else {"classes": list(table.classes), "counts": [list(row) for row in table.counts]},
            "resamples": self.resamples,
            "groups": self.groups,
            "figures": [str(path) for path in self.figures],
        }

    def __rich__(self) -> "RenderableType":
        return render_evaluation(self)


def finite_only(numbers: Mapping[str, float]) -> dict[str, float]:
    """Take the numbers that can be had, as Python's."""
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


@dataclass(eq=False)
class InvalidResamples(TaskgraftError):
    """A number of resamples that cannot be drawn."""

    count: object

    def __str__(self) -> str:
        return f"resamples is {self.count!r}. Give a whole number from 0 on; 0 gives no intervals, 1000 is usual."


# --- as a person reads it


MOST_CLASSES = 20
"""Of more classes no table is shown; :meth:`Evaluation.to_json` has them."""

NOTHING = "–"
"""Stands where there is no number."""


def render_evaluation(evaluation: "Evaluation") -> RenderableType:
    """Draw the numbers, and of a few classes how each fares and which is taken for which."""
    pieces: list[RenderableType] = [_numbers(evaluation), Text(_about(evaluation))]
    if 2 <= len(evaluation.per_class) <= MOST_CLASSES:
        pieces += [Text(""), _classes(evaluation)]
        if evaluation.confusion is not None:
            pieces += [
                Text("\nrows by true class (down) and predicted class (across)"),
                _confusion(evaluation.confusion),
            ]
    if evaluation.figures:
        pieces += [Text(f"\nFigures: {join_words(evaluation.figures)}.")]
    return Group(*pieces)


def _numbers(evaluation: "Evaluation") -> Table:
    intervals, rivals = evaluation.intervals, evaluation.baselines
    interval = ["95 % interval"] if intervals else []
    rows = []
    for name, value in evaluation.items():
        between = [_between(intervals.get(name))] if intervals else []
        rows.append([name, number_text(value), *between, *(number_text(rival.get(name)) for rival in rivals.values())])
    return _table(["metric", "value", *interval, *rivals], rows)


def _about(evaluation: "Evaluation") -> str:
    said = f"{evaluation.rows:,} rows"
    if evaluation.intervals:
        drawn_together = f" of whole groups by '{evaluation.groups}'" if evaluation.groups is not None else ""
        said += f"; intervals from {evaluation.resamples:,} resamples{drawn_together}"
    return f"{said}."


def _classes(evaluation: "Evaluation") -> Table:
    names = ("precision", "recall", "f1")
    rows = [
        [label, *(number_text(numbers.get(name)) for name in names), f"{numbers['support']:,}"]
        for label, numbers in evaluation.per_class.items()
    ]
    return _table(["class", *names, "support"], rows)


def _confusion(confusion: "Confusion") -> Table:
    labels = [label_key(label) for label in confusion.classes]
    rows = [
        [label, *(f"{count:,}" for count in counts)] for label, counts in zip(labels, confusion.counts, strict=True)
    ]
    return _table(["", *labels], rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make a table whose cells are shown as they are; the first column is text, the others are numbers."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, column in enumerate(columns):
        made.add_column(Text(column), justify="right" if place else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def _between(ends: tuple[float, float] | None) -> str:
    return NOTHING if ends is None else f"{number_text(ends[0])} to {number_text(ends[1])}"


def number_text(value: float | None) -> str:
    """Write four decimals, or four digits of what is too small or too large for that."""
    if value is None:
        return NOTHING
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"
