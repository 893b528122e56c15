"""Judging a fitted model: its predictions for labelled rows, by metrics found by their names, beside honest rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.catalog import catalog
from taskgraft.config import parse
from taskgraft.error import TaskgraftError
from taskgraft.evaluation import RESAMPLES, Evaluation, Resampling, finite
from taskgraft.fitting import Fitted, Judged
from taskgraft.head import Predictions
from taskgraft.name import parse_name
from taskgraft.progress import Reporter
from taskgraft.recipe import Recipe
from taskgraft.rivals import left_out, predict_of_rival
from taskgraft.rows import InputColumns, Rows
from taskgraft.spec import Judge, MetricSpec


@dataclass(frozen=True)
class Judging:
    """How predictions are to be judged.

    Attributes:
        metrics: at least one.
        resampling: for the intervals.
    """

    metrics: tuple[MetricSpec, ...]
    resampling: Resampling


def judging(
    fitted: Fitted,
    recipe: Recipe,
    label: str,
    rows: Rows,
    metrics: str | Sequence[str] = (),
    groups: str | None = None,
    resamples: int = RESAMPLES,
) -> Judging:
    """Find what judges, before anything is predicted.

    Args:
        label: what messages call the head.
        metrics: names; the head's own when left out.
        groups: a column of the rows whose equal values belong together in resamples.

    Raises:
        TaskgraftError: for a metric that is not known or judges other targets, a column that is not there, or a number of
            resamples that cannot be drawn.
    """
    found = []
    for name in ((metrics,) if isinstance(metrics, str) else metrics) or fitted.head.description.metrics:
        spec, _ = catalog().find(MetricSpec, parse_name(str(name)))
        if fitted.head.description.target not in spec.targets:
            raise UnfitMetric(name, label)
        found.append(spec)
    members = None if groups is None else rows.values(groups)
    return Judging(tuple(found), Resampling(resamples, recipe.training.seed, groups, members))


def evaluated(fitted: Fitted, recipe: Recipe, judged: Judged, how: Judging, reporter: Reporter) -> Evaluation:
    """Judge predictions, and on the same rows those of the baselines that learned beside the model."""
    truth = fitted.head.truth(judged.targets, fitted.target)
    columns = InputColumns(judged.rows, {column: column for column in judged.rows.columns})
    kind = fitted.head.description.target

    def judge(predictions: Predictions) -> Judge:
        return _together(
            [
                spec.build(predictions, truth, columns, parse(spec.config, {}, f"metric '{spec.name}'"))
                for spec in how.metrics
            ]
        )

    baselines: dict[str, Mapping[str, float]] = {}
    inputs = InputColumns(judged.rows, recipe.data.columns)
    for name, learned in fitted.baselines.items():
        try:
            predictions = predict_of_rival(name, learned, kind, inputs, truth)
            baselines[name] = finite(judge(predictions)(np.arange(len(truth))))
        except Exception as error:
            reporter.say(left_out(name, error))
    return Evaluation(kind, judged.predictions, truth, judge(judged.predictions), how.resampling, baselines)


def _together(judges: Sequence[Judge]) -> Judge:
    """Ask several judges at once."""

    def judge(rows: NDArray[np.int64]) -> dict[str, Any]:
        return {name: number for one in judges for name, number in one(rows).items()}

    return judge


@dataclass(eq=False)
class UnfitMetric(TaskgraftError):
    """A metric that cannot judge this kind of target."""

    metric: str
    head: str

    def __str__(self) -> str:
        return f"The metric '{self.metric}' cannot judge what '{self.head}' predicts."
