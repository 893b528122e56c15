"""Evaluate a fitted task on labelled rows: read them, predict, compute metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.composition.resolve import ComponentReference
from taskgraft.data.dataset import eval_dataset, report_notes
from taskgraft.data.examples import all_targets
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.evaluation.baselines import fit_requested_baselines
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.evaluation.evaluator import LabelledPredictions, evaluate_predictions, prepare_evaluation
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.inference.predict import format_inputs, inference_budget
from taskgraft.inputs.data_settings import change_data_settings
from taskgraft.inputs.input_request import InputRequest
from taskgraft.inputs.standard_input import StandardInput, read_standard_input
from taskgraft.preparation.validation_choices import seen_rows_note
from taskgraft.progress import ProgressReporter
from taskgraft.reading.cell_formats import reader_with_formats
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.reading.read import read_rows
from taskgraft.recipe import Recipe

_References = ComponentReference | Sequence[ComponentReference]


@dataclass(frozen=True)
class EvaluationRequest:
    """The arguments of :meth:`taskgraft.TaskModel.evaluate`, besides the data."""

    metrics: _References
    baselines: _References
    groups: str | None
    resamples: int
    figures: str | Path | None
    settings: Mapping[str, Any] | None
    batch_size: int | None


def evaluate_rows(
    fitted: FittedTask, recipe: Recipe, label: str, data: Any, request: EvaluationRequest, reporter: ProgressReporter
) -> Evaluation:
    """Evaluate labelled rows. ``label`` is that of the head; result and errors as for :meth:`taskgraft.TaskModel.evaluate`."""
    task, settings, fit_recipe = fitted.task, request.settings or {}, recipe
    recipe = change_data_settings(recipe, settings, "an evaluation")
    reader = reader_with_formats(recipe.data, catalog())
    any_file, on_bad_row = "reader" in settings, recipe.data.on_bad_row
    if isinstance(data, StandardInput):
        columns = InputRequest.of(task.backbone, recipe, any_file=any_file, keep=recipe.data.target)
        data = read_standard_input(columns, data)
        data = drop_invalid(data, data.invalid, on_bad_row)
    rows = read_rows(data, catalog(), "the data", reader=reader, any_file=any_file, on_bad_row=on_bad_row)
    rows = format_inputs(rows, fitted, recipe)
    rows = drop_invalid(rows, rows.invalid, on_bad_row)
    with temporary_folder() as folder:
        labelled = eval_dataset(fitted.head, fitted.target, task.backbone, rows, recipe, folder / "rows")
        rows, dataset = labelled.rows, labelled.dataset
        seen = seen_rows_note(data, fit_recipe.data, fitted.chosen)
        notes = {**({seen: len(rows)} if seen else {}), **labelled.notes}
        report_notes(reporter, notes, rows, "rows")
        chosen = (request.metrics, request.groups, request.resamples, request.figures)
        evaluation = prepare_evaluation(fitted, recipe, label, rows, *chosen)
        requested = fit_requested_baselines(request.baselines, fitted, fit_recipe, label, folder / "training_rows")
        budget = inference_budget(recipe, request.batch_size)
        predictions, wrong = predict_batches(task, 0, dataset.inputs, budget, show_progress(reporter))
    predicted = LabelledPredictions(predictions, all_targets(dataset.targets), rows, notes)
    if wrong:
        predicted = predicted.without(wrong, on_bad_row)
        reporter.message(f"Evaluated without {len(wrong):,} of {len(rows):,} rows, whose predictions are not finite.")
        evaluation = prepare_evaluation(fitted, recipe, label, predicted.rows, *chosen)
    return evaluate_predictions(fitted, recipe, predicted, evaluation, reporter, requested)
