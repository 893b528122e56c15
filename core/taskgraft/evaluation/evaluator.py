"""Judging a fitted model: its predictions for labelled rows, by metrics found by their names, beside honest rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.adaptation.fitted import FittedTask
from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, as_list, resolve
from taskgraft.contract.batch import Batch
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import RenamedColumns, Rows
from taskgraft.contract.specs import BaselineSpec, MetricFunction, MetricSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.baselines import omission_note, predict_baseline, resolve_baseline
from taskgraft.evaluation.evaluation import RESAMPLES, Bootstrap, Evaluation, finite_only
from taskgraft.evaluation.requested_baselines import FittedBaseline, baseline_errors
from taskgraft.progress import ProgressReporter
from taskgraft.storage.atomic_write import move_into


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions for validation rows, their encoded targets, and the rows."""

    predictions: Predictions
    targets: Batch
    rows: Rows


@dataclass(frozen=True)
class EvaluationSettings:
    """How predictions are to be judged.

    Attributes:
        metrics: at least one.
        resampling: for the intervals.
        figures: the folder for what the metrics draw; None draws nothing.
    """

    metrics: tuple[ResolvedComponent[MetricSpec], ...]
    resampling: Bootstrap
    figures: Path | None = None


def prepare_evaluation(
    fitted: FittedTask,
    recipe: Recipe,
    label: str,
    rows: Rows,
    metrics: ComponentReference | Sequence[ComponentReference] = (),
    groups: str | None = None,
    resamples: int = RESAMPLES,
    figures: str | Path | None = None,
) -> EvaluationSettings:
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
    for reference in as_list(metrics) or description.metrics:
        chosen = resolve(catalog(), MetricSpec, reference)
        if description.target not in chosen.spec.targets:
            raise MetricMismatch(chosen.label, label)
        found.append(chosen)
    if figures is not None and not any(chosen.spec.plot for chosen in found):
        drawing = [
            spec.name for spec, _ in catalog().specs(MetricSpec) if spec.plot and description.target in spec.targets
        ]
        raise NoFigures(tuple(chosen.label for chosen in found), tuple(drawing))
    if groups is None and description.group_column in rows.columns:
        groups = description.group_column
    members = None if groups is None else rows.values(groups)
    resampling = Bootstrap(resamples, recipe.training.seed, groups, members)
    return EvaluationSettings(tuple(found), resampling, None if figures is None else Path(figures))


def evaluate_predictions(
    fitted: FittedTask,
    recipe: Recipe,
    judged: LabelledPredictions,
    how: EvaluationSettings,
    reporter: ProgressReporter,
    challengers: Mapping[str, FittedBaseline] = MappingProxyType({}),
) -> Evaluation:
    """Judge predictions, and on the same rows those of the baselines that learned beside the model, or on request.

    Raises:
        BaselineFailed: for a challenger that cannot predict.
        OutputError: when there is no place for the figures.
    """
    truth = fitted.head.decode_targets(judged.targets, fitted.target)
    columns = RenamedColumns(judged.rows, {column: column for column in judged.rows.columns})
    kind = fitted.head.description.target

    def judge(predictions: Predictions) -> MetricFunction:
        return _together([one.spec.build(predictions, truth, columns, one.config) for one in how.metrics])

    def numbers_of(chosen: ResolvedComponent[BaselineSpec], learned: Any) -> dict[str, float]:
        predictions = predict_baseline(chosen, learned, kind, inputs, truth)
        return finite_only(judge(predictions)(np.arange(len(truth))))

    baselines: dict[str, Mapping[str, float]] = {}
    inputs = RenamedColumns(judged.rows, recipe.data.columns)
    for name, learned in fitted.baselines.items():
        try:
            baselines[name] = numbers_of(resolve_baseline(name), learned)
        except Exception as error:
            reporter.message(omission_note(name, error))
    for name, challenger in challengers.items():
        with baseline_errors(name):
            baselines[name] = numbers_of(challenger.chosen, challenger.learned)
    figures: list[Path] = []
    for one in how.metrics:
        if how.figures is not None and one.spec.plot is not None:
            draw = partial(one.spec.plot, judged.predictions, truth, columns, one.config)
            figures += move_into(how.figures, draw, "figures")
    return Evaluation(kind, judged.predictions, truth, judge(judged.predictions), how.resampling, baselines, figures)


def _together(judges: Sequence[MetricFunction]) -> MetricFunction:
    """Ask several judges at once."""

    def judge(rows: NDArray[np.int64]) -> dict[str, Any]:
        return {name: number for one in judges for name, number in one(rows).items()}

    return judge


@dataclass(eq=False)
class MetricMismatch(TaskgraftError):
    """A metric that cannot judge this kind of target."""

    metric: str
    head: str

    def __str__(self) -> str:
        return f"The metric '{self.metric}' cannot judge what '{self.head}' predicts."


@dataclass(eq=False)
class NoFigures(TaskgraftError):
    """Figures asked of metrics that draw none."""

    metrics: tuple[str, ...]
    drawing: tuple[str, ...]

    def __str__(self) -> str:
        others = (
            f"Name a metric that does: {join_words(self.drawing)}."
            if self.drawing
            else "MetricFunction without figures."
        )
        return f"Figures are asked for, but none is drawn by {join_words(map(repr, self.metrics))}. {others}"
