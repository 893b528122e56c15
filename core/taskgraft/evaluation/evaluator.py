"""The evaluator: metrics of predictions for labelled rows, and of baselines on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, as_list, resolve
from taskgraft.contract.batch import Batch
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import MetricFunction, MetricSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import join_words
from taskgraft.evaluation.baselines import (
    FittedBaseline,
    align_classes,
    baseline_errors,
    omission_note,
    resolve_baseline,
)
from taskgraft.evaluation.bootstrap import RESAMPLES, Bootstrap, finite_only
from taskgraft.evaluation.detailed_metric import combine
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.progress import ProgressReporter
from taskgraft.storage.atomic_write import move_into


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions for labelled rows, their encoded targets, the rows, and what happened to how many of them."""

    predictions: Predictions
    targets: Batch
    rows: Rows
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationSettings:
    """How predictions are evaluated: by at least one metric. ``figures`` is the folder to draw in; None draws none."""

    metrics: tuple[ResolvedComponent[MetricSpec], ...]
    bootstrap: Bootstrap
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
    """Find and check the metrics, before anything is predicted.

    Args:
        label: of the head, for messages.
        metrics: names, or names with settings; the head's own by default.
        groups: a column whose equal values are drawn together in resamples; by default the head's, if the rows have it.

    Raises:
        EvaluationError: for a metric of other targets, an invalid number of resamples, or figures that no metric draws.
        TaskgraftError: for an unknown metric, invalid settings or a missing column.
    """
    description = fitted.head.description
    chosen = tuple(resolve(catalog(), MetricSpec, one) for one in as_list(metrics) or description.metrics)
    for metric in chosen:
        if description.target not in metric.spec.targets:
            raise EvaluationError(f"The metric '{metric.label}' cannot evaluate what '{label}' predicts.")
    if figures is not None and not any(metric.spec.plot for metric in chosen):
        plots = [
            spec.name for spec, _ in catalog().specs(MetricSpec) if spec.plot and description.target in spec.targets
        ]
        advice = f"Choose a metric that does: {join_words(plots)}." if plots else "Evaluate without figures."
        names = join_words(repr(metric.label) for metric in chosen)
        raise EvaluationError(f"Figures were requested, but no figure is drawn by {names}. {advice}")
    if groups is None and description.group_column in rows.columns:
        groups = description.group_column
    members = None if groups is None else rows.values(groups)
    bootstrap = Bootstrap(resamples, recipe.training.seed, groups, members)
    return EvaluationSettings(chosen, bootstrap, None if figures is None else Path(figures))


def evaluate_predictions(
    fitted: FittedTask,
    recipe: Recipe,
    labelled: LabelledPredictions,
    settings: EvaluationSettings,
    reporter: ProgressReporter,
    requested: Mapping[str, FittedBaseline] = MappingProxyType({}),
) -> Evaluation:
    """Evaluate predictions and, on the same rows, the baselines of the model and those requested.

    Raises:
        EvaluationError: for a requested baseline that fails.
        OutputError: if figures cannot be written.
    """
    rows, predictions, kind = labelled.rows, labelled.predictions, fitted.head.description.target
    truth = fitted.head.decode_targets(labelled.targets, fitted.target)
    columns = rows.lazy_columns({column: column for column in rows.columns})
    inputs = rows.lazy_columns(recipe.data.columns)

    def metrics_of(predictions: Predictions) -> MetricFunction:
        return combine(
            [one.spec.build(predictions, truth, columns, one.config) for one in settings.metrics], len(truth)
        )

    def evaluate_baseline(baseline: FittedBaseline) -> dict[str, float]:
        own = align_classes(baseline.predict(kind, inputs, truth), predictions)
        return finite_only(metrics_of(own)(np.arange(len(truth))))

    baselines: dict[str, Mapping[str, float]] = {}
    notes = dict(labelled.notes)
    for name, state in fitted.baselines.items():
        try:
            baselines[name] = evaluate_baseline(FittedBaseline(resolve_baseline(name), state))
        except Exception as error:
            notes[omission_note(name, error)] = len(truth)
            reporter.message(omission_note(name, error))
    for name, baseline in requested.items():
        with baseline_errors(name):
            baselines[name] = evaluate_baseline(baseline)
    figures: list[Path] = []
    for one in settings.metrics:
        if settings.figures is not None and one.spec.plot is not None:
            plot = partial(one.spec.plot, predictions, truth, columns, one.config)
            figures += move_into(settings.figures, plot, "figures")
    positive = {
        name: label
        for one in settings.metrics
        if one.spec.positive is not None
        for name, label in one.spec.positive(predictions, one.config).items()
    }
    metrics = metrics_of(predictions)
    return Evaluation(kind, predictions, truth, metrics, settings.bootstrap, baselines, figures, positive, notes)
