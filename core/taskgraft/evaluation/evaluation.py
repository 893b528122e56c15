"""The result of an evaluation: metrics with intervals, baselines, scores per class, and how it is printed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.specs import MetricFunction
from taskgraft.errors import join_words, printable
from taskgraft.evaluation.better_baselines import BaselineComparison, Differences
from taskgraft.evaluation.bootstrap import Bootstrap, finite_only
from taskgraft.evaluation.intervals import Intervals, estimate_intervals
from taskgraft.evaluation.per_class import Confusion, confusion, per_class
from taskgraft.evaluation.tables import class_tables, format_number, metric_label, metrics_table
from taskgraft.labels import to_json_label


class Evaluation(Mapping[str, float]):
    """Metrics by name. Intervals and scores per class are computed when they are first read.

    Attributes:
        rows: the number of evaluated rows.
        resamples: the number of resamples behind the intervals; 0 if there are none.
        groups: the column whose equal values are drawn together, or None.
        baselines: name of a baseline → its metrics on the same rows.
        figures: the files that metrics drew.
        positive: metric → the class that it is about, for metrics of one class.
        notes: note → the number of rows that it applies to (``{"cut to 256 pieces": 12}``).
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
        positive: Mapping[str, Any] = MappingProxyType({}),
        notes: Mapping[str, int] = MappingProxyType({}),
        comparison: BaselineComparison | None = None,
    ):
        """Compute the metrics of all rows.

        Args:
            kind: of the target.
            truth: as the head's ``decode_targets`` returns it.
            metrics: computes the metrics of any rows.
            bootstrap: for the intervals; None takes the default.
            comparison: of the baselines with the model; None compares none.
        """
        self._comparison = comparison
        self._kind, self._predictions, self._truth = kind, predictions, truth
        self._metrics, self._bootstrap = metrics, bootstrap or Bootstrap()
        self.rows, self.resamples, self.groups = len(truth), self._bootstrap.count, self._bootstrap.groups
        self.baselines: Mapping[str, Mapping[str, float]] = baselines or {}
        self.figures, self.notes = tuple(figures), dict(notes)
        self._values = finite_only(metrics(np.arange(self.rows)))
        self.positive = {name: label for name, label in positive.items() if name in self._values}

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        values = "".join(f"{metric_label(name, self.positive)}={value:.4f}, " for name, value in self.items())
        return printable(f"Evaluation({values}rows={self.rows})")

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """The 95 % interval of each metric that has one. See :func:`estimate_intervals`.

        They estimate the variation between samples of rows, not between training runs.
        """
        return self._estimated.ends

    @property
    def missing_intervals(self) -> Mapping[str, str]:
        """Metric → why it has no interval. Empty where no intervals were requested."""
        return self._estimated.missing

    @cached_property
    def _estimated(self) -> Intervals:
        return estimate_intervals(self._metrics, self, self.rows, self._bootstrap)

    @cached_property
    def better_baselines(self) -> Differences:
        """Which baselines are better than the model beyond the intervals, and in what. See :class:`BaselineComparison`."""
        return {} if self._comparison is None else self._comparison.better(self.rows, self._bootstrap)

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
        positive = {name: {"positive": to_json_label(label)} for name, label in self.positive.items()}
        return {
            "rows": self.rows,
            "metrics": {
                name: {"value": value, "low": bounds[name][0], "high": bounds[name][1]} | positive.get(name, {})
                for name, value in self.items()
            },
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
            "better_baselines": {
                name: {metric: {"low": low, "high": high} for metric, (low, high) in differences.items()}
                for name, differences in self.better_baselines.items()
            },
            "per_class": {label: dict(values) for label, values in self.per_class.items()},
            "confusion": None
            if matrix is None
            else {"classes": list(matrix.classes), "counts": [list(row) for row in matrix.counts]},
            "no_interval": dict(self.missing_intervals),
            "resamples": self.resamples,
            "groups": self.groups,
            "figures": [str(path) for path in self.figures],
            "notes": dict(self.notes),
        }

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [metrics_table(self, self.intervals, self.baselines, self.positive)]
        parts += [
            Text(_caption(self)),
            *map(Text, _better_baselines(self)),
            *class_tables(self.per_class, self.confusion),
        ]
        if self.figures:
            parts.append(Text(f"\nFigures: {join_words(self.figures)}."))
        return Group(*parts)


def _better_baselines(evaluation: Evaluation) -> Iterator[str]:
    """Yield a sentence for each baseline that is better than the model."""
    for name, differences in evaluation.better_baselines.items():
        values = (
            f"{metric_label(metric, evaluation.positive)} ({format_number(evaluation.baselines[name][metric])} against "
            f"{format_number(evaluation[metric])})"
            for metric in differences
        )
        intervals = "the 95 % interval of the difference excludes 0"
        yield f"The baseline '{name}' is better than the model in {join_words(values)}: {intervals}."


def _caption(evaluation: Evaluation) -> str:
    """Say how many rows there are, what the intervals are over, and which metrics have none, each reason once."""
    groups = f" of whole groups by '{evaluation.groups}'" if evaluation.groups is not None else ""
    drawn = f"; intervals over samples{groups or ' of rows'}" if evaluation.intervals else ""
    names_by_reason: dict[str, list[str]] = {}
    for name, reason in evaluation.missing_intervals.items():
        names_by_reason.setdefault(reason, []).append(name)
    lines = [f"No interval for {join_words(names)}: {reason}." for reason, names in names_by_reason.items()]
    return "\n".join([f"{evaluation.rows:,} rows{drawn}.", *lines])
