"""The result of an evaluation: metrics with intervals, baselines, scores per class, and how it is printed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.labels import label_key
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction
from taskgraft.errors import join_words
from taskgraft.evaluation.bootstrap import Bootstrap, finite_only
from taskgraft.evaluation.per_class import Confusion, confusion, per_class

_MOST_CLASSES = 20
"""With more classes no table per class is printed; :meth:`Evaluation.to_json` has them all."""

NO_VALUE = "–"
"""Printed where a metric is undefined."""


class Evaluation(Mapping[str, float]):
    """Metrics by name. Intervals and scores per class are computed when they are first read.

    Attributes:
        rows: the number of evaluated rows.
        resamples: the number of resamples behind the intervals; 0 if there are none.
        groups: the column whose equal values are drawn together, or None.
        baselines: name of a baseline → its metrics on the same rows.
        figures: the files that metrics drew.
    """

    def __init__(
        self,
        kind: TargetKind,
        predictions: Predictions,
        truth: Sequence[Any],
        metrics: MetricFunction,
        bootstrap: Bootstrap | None = None,
        baselines: Mapping[str, Mapping[str, float]] | None = None,
        figures: Sequence[Path] = (),
    ):
        """Compute the metrics of all rows.

        Args:
            kind: of the target.
            truth: as the head's ``decode_targets`` returns it.
            metrics: computes the metrics of any rows.
            bootstrap: for the intervals; None takes the default.
        """
        self._kind, self._predictions, self._truth = kind, predictions, truth
        self._metrics, self._bootstrap = metrics, bootstrap or Bootstrap()
        self.rows, self.resamples, self.groups = len(truth), self._bootstrap.count, self._bootstrap.groups
        self.baselines: Mapping[str, Mapping[str, float]] = baselines or {}
        self.figures = tuple(figures)
        self._values = finite_only(metrics(np.arange(self.rows)))

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        values = "".join(f"{name}={value:.4f}, " for name, value in self.items())
        return f"Evaluation({values}rows={self.rows})"

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """The 95 % interval of each metric, by the bootstrap. See :meth:`Bootstrap.intervals`.

        With fewer than about 30 rows or groups they are too narrow. They estimate the variation between samples of rows, not
        between training runs.
        """
        return self._bootstrap.intervals(self._metrics, list(self), self.rows)

    @cached_property
    def confusion(self) -> Confusion | None:
        """The confusion matrix; None unless each row has one label."""
        return confusion(self._kind, self._predictions, self._truth)

    @cached_property
    def per_class(self) -> Mapping[str, Mapping[str, float]]:
        """Text of a label → precision, recall, f1 and support of its class. Empty for numeric targets."""
        return per_class(self._kind, self._predictions, self._truth)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON. A metric without interval has None for its ends."""
        matrix = self.confusion
        bounds = {name: self.intervals.get(name, (None, None)) for name in self}
        return {
            "rows": self.rows,
            "metrics": {
                name: {"value": value, "low": bounds[name][0], "high": bounds[name][1]} for name, value in self.items()
            },
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
            "per_class": {label: dict(values) for label, values in self.per_class.items()},
            "confusion": None
            if matrix is None
            else {"classes": list(matrix.classes), "counts": [list(row) for row in matrix.counts]},
            "resamples": self.resamples,
            "groups": self.groups,
            "figures": [str(path) for path in self.figures],
        }

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [_metrics_table(self), Text(_caption(self))]
        if 2 <= len(self.per_class) <= _MOST_CLASSES:
            parts += [Text(""), _class_table(self)]
            if self.confusion is not None:
                title = "\nrows by true class (down) and predicted class (across)"
                parts += [Text(title), _confusion_table(self.confusion)]
        if self.figures:
            parts.append(Text(f"\nFigures: {join_words(self.figures)}."))
        return Group(*parts)


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> Table:
    """Make a table without markup; the first ``texts`` columns are text, the others are numbers."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def format_number(value: float | None) -> str:
    """Format with four decimals, or with four digits where that is too large or too small."""
    if value is None:
        return NO_VALUE
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def format_interval(low: float | None, high: float | None) -> str:
    """Format the ends of an interval; None if there is none."""
    return NO_VALUE if low is None or high is None else f"{format_number(low)} to {format_number(high)}"


def _metrics_table(evaluation: Evaluation) -> Table:
    intervals, baselines = evaluation.intervals, evaluation.baselines
    rows = []
    for name, value in evaluation.items():
        interval = [format_interval(*intervals.get(name, (None, None)))] if intervals else []
        rows.append([name, format_number(value), *interval, *(format_number(b.get(name)) for b in baselines.values())])
    return text_table(["metric", "value", *(["95 % interval"] if intervals else []), *baselines], rows)


def _caption(evaluation: Evaluation) -> str:
    if not evaluation.intervals:
        return f"{evaluation.rows:,} rows."
    groups = f" of whole groups by '{evaluation.groups}'" if evaluation.groups is not None else ""
    return f"{evaluation.rows:,} rows; intervals from {evaluation.resamples:,} resamples{groups}."


def _class_table(evaluation: Evaluation) -> Table:
    names = ("precision", "recall", "f1")
    rows = [
        [label, *(format_number(values.get(name)) for name in names), f"{values['support']:,}"]
        for label, values in evaluation.per_class.items()
    ]
    return text_table(["class", *names, "support"], rows)


def _confusion_table(matrix: Confusion) -> Table:
    labels = [label_key(label) for label in matrix.classes]
    rows = [[label, *(f"{count:,}" for count in counts)] for label, counts in zip(labels, matrix.counts, strict=True)]
    return text_table(["", *labels], rows)
