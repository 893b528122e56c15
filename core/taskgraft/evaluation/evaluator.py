"""The evaluator: metrics of predictions for labelled rows, and of baselines on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, as_list, resolve
from taskgraft.contract.batch import Batch
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import MetricSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import join_words
from taskgraft.evaluation.baseline_tuning import threshold_note, tunes_baselines
from taskgraft.evaluation.baselines import (
    FittedBaseline,
    baseline_errors,
    omission_note,
    resolve_baseline,
)
from taskgraft.evaluation.better_baselines import BaselineComparison
from taskgraft.evaluation.bootstrap import RESAMPLES, Bootstrap, finite_only
from taskgraft.evaluation.detailed_metric import DetailedMetric, combine_metrics
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.progress import ProgressReporter
from taskgraft.reading.invalid_rows import OnBadRow, drop_invalid
from taskgraft.recipe import Recipe
from taskgraft.storage.atomic_write import move_into


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions for labelled rows, their encoded targets, the rows, and what happened to how many of them."""

    predictions: Predictions
    targets: Batch
    rows: Rows
    notes: Mapping[str, int] = field(default_factory=dict)

    def without(self, reasons: Mapping[int, str], on_bad_row: OnBadRow) -> "LabelledPredictions":
        """Drop rows that ``predictions`` lacks, since theirs are not finite, or raise as :func:`drop_invalid` does."""
        rows = drop_invalid(self.rows, reasons, on_bad_row)
        kept = [row for row in range(len(self.rows)) if row not in reasons]
        return LabelledPredictions(self.predictions, self.targets.select(kept), rows, {**self.notes, **rows.skipped})


@dataclass(frozen=True)
class EvaluationSettings:
    """How predictions are evaluated: by at least one metric. ``figures`` is the folder to draw in; None draws none."""

    metrics: tuple[ResolvedComponent[MetricSpec], ...]
    bootstrap: Bootstrap
    figures: Path | None = None

    @property
    def lower_is_better(self) -> frozenset[str]:
        """The values of all metrics that are better when lower."""
        return frozenset(name for one in self.metrics for name in one.spec.lower_is_better)

    @property
    def descriptive(self) -> frozenset[str]:
        """The values of all metrics that alone do not say which of two models is better."""
        return frozenset(name for one in self.metrics for name in one.spec.descriptive)

    def positive(self, predictions: Predictions) -> dict[str, Any]:
        """Return the values of all metrics that are about one class, each with its label."""
        of_each = [one.spec.positive(predictions, one.config) for one in self.metrics if one.spec.positive is not None]
        return {name: label for positive in of_each for name, label in positive.items()}


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

    def metrics_of(predictions: Predictions) -> DetailedMetric:
        return combine_metrics(
            [one.spec.build(predictions, truth, columns, one.config) for one in settings.metrics], len(truth)
        )

    def evaluate_baseline(name: str, baseline: FittedBaseline) -> None:
        own = baseline.predict_as_model(fitted, predictions, recipe.data.columns, rows, truth)
        functions[name] = metrics_of(own)
        baselines[name] = finite_only(functions[name](np.arange(len(truth))))
        if own.probabilities is not None and tunes_baselines(fitted.head) and not baseline.is_tuned:
            note(threshold_note(name, "there are no validation rows to tune it on"))

    def note(text: str) -> None:
        notes[text] = len(truth)
        reporter.message(text)

    functions: dict[str, DetailedMetric] = {}
    baselines: dict[str, Mapping[str, float]] = {}
    notes = dict(labelled.notes)
    for name, state in fitted.baselines.items():
        try:
            evaluate_baseline(name, FittedBaseline(resolve_baseline(name), state, fitted.baseline_targets.get(name)))
        except Exception as error:
            note(omission_note(name, error))
    for name, baseline in requested.items():
        with baseline_errors(name):
            evaluate_baseline(name, baseline)
    figures: list[Path] = []
    for one in settings.metrics:
        if settings.figures is not None and one.spec.plot is not None:
            plot = partial(one.spec.plot, predictions, truth, columns, one.config)
            figures += move_into(settings.figures, plot, "figures")
    comparison = BaselineComparison(metrics_of(predictions), functions, settings.lower_is_better, settings.descriptive)
    positive, how = settings.positive(predictions), settings.bootstrap
    return Evaluation(kind, predictions, truth, comparison.model, how, baselines, figures, positive, notes, comparison)
