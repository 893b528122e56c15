"""Evaluate a fitted task on labelled rows: read them, predict, compute metrics."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.recipe import Recipe
from taskgraft.data.dataset import eval_dataset, report_notes
from taskgraft.data.examples import all_targets
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.evaluation.baselines import fit_requested_baselines
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.evaluation.evaluator import LabelledPredictions, evaluate_predictions, prepare_evaluation
from taskgraft.inference.predict import inference_budget
from taskgraft.progress import ProgressReporter
from taskgraft.reading.read import read_rows

_References = ComponentReference | Sequence[ComponentReference]


@dataclass(frozen=True)
class EvaluationRequest:
    """The arguments of :meth:`taskgraft.TaskModel.evaluate`, besides the data."""

    metrics: _References
    baselines: _References
    groups: str | None
    resamples: int
    figures: str | Path | None
    batch_size: int | None


def evaluate_rows(
    fitted: FittedTask, recipe: Recipe, label: str, data: Any, request: EvaluationRequest, reporter: ProgressReporter
) -> Evaluation:
    """Evaluate labelled rows. ``label`` is that of the head; result and errors as for :meth:`taskgraft.TaskModel.evaluate`."""
    task, settings = fitted.task, recipe.data
    rows = read_rows(data, catalog(), "the data", reader=settings.reader, on_bad_row=settings.on_bad_row)
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        rows, dataset = eval_dataset(fitted.head, fitted.target, task.backbone, rows, recipe, Path(folder, "rows"))
        report_notes(reporter, rows.notes, rows, "rows")
        evaluation = prepare_evaluation(
            fitted, recipe, label, rows, request.metrics, request.groups, request.resamples, request.figures
        )
        requested = fit_requested_baselines(request.baselines, fitted, recipe, label, Path(folder, "training_rows"))
        budget = inference_budget(recipe, request.batch_size)
        predictions = predict_batches(task, 0, dataset.inputs, budget, show_progress(reporter))
    labelled = LabelledPredictions(predictions, all_targets(dataset.targets), rows)
    return evaluate_predictions(fitted, recipe, labelled, evaluation, reporter, requested)
