"""Baselines that are better than the model by more than varies between samples of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from taskgraft.evaluation.bootstrap import Bootstrap, finite_only
from taskgraft.evaluation.detailed_metric import DetailedMetric
from taskgraft.evaluation.intervals import estimate_intervals

Differences = Mapping[str, Mapping[str, tuple[float, float]]]
"""Name of a baseline → metric → ends of the 95 % interval of its value minus that of the model."""


@dataclass(frozen=True)
class BaselineComparison:
    """What it takes to compare baselines with the model on the same rows.

    Attributes:
        model: its metrics.
        baselines: name → the metrics of that baseline.
        lower_is_better, descriptive: names of metrics, as in a metric's spec. Descriptive ones are not compared.
    """

    model: DetailedMetric
    baselines: Mapping[str, DetailedMetric]
    lower_is_better: frozenset[str] = frozenset()
    descriptive: frozenset[str] = frozenset()

    def better(self, rows: int, how: Bootstrap) -> Differences:
        """Find the metrics in which baselines are better, and the 95 % interval of the difference excludes 0.

        The differences are paired: both are evaluated on the same rows, also where rows are left out or drawn again. Only
        differences in favour of a baseline are estimated, so where the model is better, this takes no time.
        """
        found = {}
        for name, baseline in self.baselines.items():
            difference = _difference(baseline, self.model)
            values = {
                metric: value
                for metric, value in finite_only(difference(np.arange(rows))).items()
                if self._favours(metric, value)
            }
            ends = estimate_intervals(difference, values, rows, how).ends if values else {}
            surely = {metric: (low, high) for metric, (low, high) in ends.items() if low > 0 or high < 0}
            if surely:
                found[name] = surely
        return found

    def _favours(self, metric: str, difference: float) -> bool:
        """Tell whether a difference is in favour of the baseline."""
        if metric in self.descriptive:
            return False
        return difference < 0 if metric in self.lower_is_better else difference > 0


def _difference(baseline: DetailedMetric, model: DetailedMetric) -> DetailedMetric:
    """Make the metric of the differences, baseline minus model, of what both define."""

    def subtract(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: ours[name] - theirs[name] for name in ours if name in theirs}

    def leave_one_out() -> dict[str, Any]:
        return subtract(*({} if one.leave_one_out is None else one.leave_one_out() for one in (baseline, model)))

    return DetailedMetric(
        lambda rows: subtract(baseline(rows), model(rows)),
        no_intervals={**baseline.no_intervals, **model.no_intervals},
        rough=baseline.rough | model.rough,
        leave_one_out=leave_one_out,
    )
