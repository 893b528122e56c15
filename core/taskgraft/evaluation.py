"""How good predictions are: numbers, how far they may be off, and what honest rivals reach on the same rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.description import TargetKind
from taskgraft.error import TaskgraftError
from taskgraft.head import Predictions, is_missing
from taskgraft.metrics.per_class import Confusion, confusion, per_class
from taskgraft.spec import Judge

if TYPE_CHECKING:
    from rich.console import RenderableType

RESAMPLES = 1000
"""How many resamples intervals are taken from, unless someone says otherwise."""

LEVEL = 0.95
"""The share of data sets whose interval holds the true value."""


@dataclass(frozen=True)
class Resampling:
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
            raise BadResamples(self.count)

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
        judge: Judge,
        resampling: Resampling = Resampling(),
        baselines: Mapping[str, Mapping[str, float]] | None = None,
        figures: Sequence[Path] = (),
    ):
        """Judge.

        Args:
            kind: what one row's target is.
            truth: as the head's ``truth`` gives it.
            judge: makes the numbers of any rows.
        """
        self._kind, self._predictions, self._truth = kind, predictions, truth
        self._judge, self._resampling = judge, resampling
        self.rows, self.resamples, self.groups = len(truth), resampling.count, resampling.groups
        self.baselines: Mapping[str, Mapping[str, float]] = baselines or {}
        self.figures = tuple(figures)
        self._numbers = finite(judge(np.arange(self.rows)))

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
            found = finite(self._judge(rows))
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
        from taskgraft.evaluation_table import drawn

        return drawn(self)


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Take the numbers that can be had, as Python's."""
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


@dataclass(eq=False)
class BadResamples(TaskgraftError):
    """A number of resamples that cannot be drawn."""

    count: object

    def __str__(self) -> str:
        return f"resamples is {self.count!r}. Give a whole number from 0 on; 0 gives no intervals, 1000 is usual."
