"""Judging a fitted model: its predictions for labelled rows, by metrics found by their names, beside honest rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.adaptation.fitted import Fitted
from taskgraft.composition.compose import Named, Reference, named, several
from taskgraft.contract.batch import Batch
from taskgraft.contract.head import Predictions
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import InputColumns, Rows
from taskgraft.contract.specs import BaselineSpec, Judge, MetricSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, listed
from taskgraft.evaluation.baselines import left_out, predict_of_rival, rival
from taskgraft.evaluation.evaluation import RESAMPLES, Evaluation, Resampling, finite
from taskgraft.evaluation.requested_baselines import Challenger, spoken_for
from taskgraft.progress import Reporter
from taskgraft.storage.atomic_write import written_into


@dataclass(frozen=True)
class Judged:
    """Predictions for validation rows, their encoded targets, and the rows."""

    predictions: Predictions
    targets: Batch
    rows: Rows


@dataclass(frozen=True)
class Judging:
    """How predictions are to be judged.

    Attributes:
        metrics: at least one.
        resampling: for the intervals.
        figures: the folder for what the metrics draw; None draws nothing.
    """

    metrics: tuple[Named[MetricSpec], ...]
    resampling: Resampling
    figures: Path | None = None


def judging(
    fitted: Fitted,
    recipe: Recipe,
    label: str,
    rows: Rows,
    metrics: Reference | Sequence[Reference] = (),
    groups: str | None = None,
    resamples: int = RESAMPLES,
    figures: str | Path | None = None,
) -> Judging:
    """Find what judges, before anything is predicted.

    Args:
        label: what messages call the head.
        metrics: names, or names with settings; the head's own when left out.
        groups: a column of the rows whose equal values belong together in resamples; the head's when left out, if there.

    Raises:
        TaskgraftError: for a metric that is not known, does not take the settings or judges other targets, a column that is not
            there, a number of resamples that cannot be drawn, or figures that no metric draws.
    """
    description, found = fitted.head.description, []
    for reference in several(metrics) or description.metrics:
        chosen = named(catalog(), MetricSpec, reference)
        if description.target not in chosen.spec.targets:
            raise UnfitMetric(chosen.label, label)
        found.append(chosen)
    if figures is not None and not any(chosen.spec.draw for chosen in found):
        drawing = [
            spec.name for spec, _ in catalog().specs(MetricSpec) if spec.draw and description.target in spec.targets
        ]
        raise NothingToDraw(tuple(chosen.label for chosen in found), tuple(drawing))
    if groups is None and description.groups in rows.columns:
        groups = description.groups
    members = None if groups is None else rows.values(groups)
    resampling = Resampling(resamples, recipe.training.seed, groups, members)
    return Judging(tuple(found), resampling, None if figures is None else Path(figures))


def evaluated(
    fitted: Fitted,
    recipe: Recipe,
    judged: Judged,
    how: Judging,
    reporter: Reporter,
    challengers: Mapping[str, Challenger] = MappingProxyType({}),
) -> Evaluation:
    """Judge predictions, and on the same rows those of the baselines that learned beside the model, or on request.

    Raises:
        BaselineFailed: for a challenger that cannot predict.
        CannotWrite: when there is no place for the figures.
    """
    truth = fitted.head.truth(judged.targets, fitted.target)
    columns = InputColumns(judged.rows, {column: column for column in judged.rows.columns})
    kind = fitted.head.description.target

    def judge(predictions: Predictions) -> Judge:
        return _together([one.spec.build(predictions, truth, columns, one.config) for one in how.metrics])

    def numbers_of(chosen: Named[BaselineSpec], learned: Any) -> dict[str, float]:
        predictions = predict_of_rival(chosen, learned, kind, inputs, truth)
        return finite(judge(predictions)(np.arange(len(truth))))

    baselines: dict[str, Mapping[str, float]] = {}
    inputs = InputColumns(judged.rows, recipe.data.columns)
    for name, learned in fitted.baselines.items():
        try:
            baselines[name] = numbers_of(rival(name), learned)
        except Exception as error:
            reporter.say(left_out(name, error))
    for name, challenger in challengers.items():
        with spoken_for(name):
            baselines[name] = numbers_of(challenger.chosen, challenger.learned)
    figures: list[Path] = []
    for one in how.metrics:
        if how.figures is not None and one.spec.draw is not None:
            draw = partial(one.spec.draw, judged.predictions, truth, columns, one.config)
            figures += written_into(how.figures, draw, "figures")
    return Evaluation(kind, judged.predictions, truth, judge(judged.predictions), how.resampling, baselines, figures)


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


@dataclass(eq=False)
class NothingToDraw(TaskgraftError):
    """Figures asked of metrics that draw none."""

    metrics: tuple[str, ...]
    drawing: tuple[str, ...]

    def __str__(self) -> str:
        others = f"Name a metric that does: {listed(self.drawing)}." if self.drawing else "Judge without figures."
        return f"Figures are asked for, but none is drawn by {listed(map(repr, self.metrics))}. {others}"
