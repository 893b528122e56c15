"""Prediction with a fitted model: read the rows, preprocess them, run the model."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TextIO

import torch

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.features import Features
from taskgraft.contract.predictions import Predictions, probabilities_by_label
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, Rows
from taskgraft.data.batching import BatchBudget
from taskgraft.data.dataset import process_inputs, report_notes
from taskgraft.data.preprocessing import ProcessedInputs
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.inference.errors import InferenceError, NoProbabilities
from taskgraft.inference.prediction_table import PredictionColumns
from taskgraft.inference.row_results import (
    PREDICTION_ADVICE,
    OnInvalidRow,
    RowResults,
    check_choice,
    invalid_row_notes,
    pad_truncated,
)
from taskgraft.inference.write_predictions import write_predictions
from taskgraft.inference.writers import check_output
from taskgraft.inputs.data_settings import change_data_settings
from taskgraft.inputs.input_files import file_column
from taskgraft.inputs.input_request import InputRequest
from taskgraft.inputs.read_inputs import read_inputs
from taskgraft.progress import ProgressReporter
from taskgraft.reading.cell_formats import format_cells, format_notes, verbatim_columns
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.recipe import Recipe, TrainingConfig


@dataclass(frozen=True)
class PredictionOptions:
    """Arguments that all ways to predict share, as :meth:`taskgraft.TaskModel.predict` describes them."""

    on_bad_row: str = "error"
    settings: Mapping[str, Any] | None = None
    batch_size: int | None = None
    quiet: bool = False


def predict_rows(fitted: FittedTask, recipe: Recipe, data: Any, options: PredictionOptions) -> RowResults:
    """Predict for rows. Result and errors as for :meth:`taskgraft.TaskModel.predict`."""
    predictions, arrange = _predict_all(fitted, recipe, data, options)
    return arrange(predictions.values)


def predict_probabilities(
    fitted: FittedTask, recipe: Recipe, data: Any, options: PredictionOptions, label: str
) -> RowResults:
    """Predict probabilities. ``label`` is that of the head; result, errors as for :meth:`taskgraft.TaskModel.predict_proba`."""
    predictions, arrange = _predict_all(fitted, recipe, data, options)
    if predictions.values and predictions.probabilities is None:
        raise NoProbabilities(f"'{label}' predicts without probabilities. Ask for the predictions alone.")
    rows = predictions.probabilities or ()
    return arrange([probabilities_by_label(row.tolist(), predictions.classes) for row in rows])


def _predict_all(
    fitted: FittedTask, recipe: Recipe, data: Any, options: PredictionOptions
) -> tuple[Predictions, Callable[[Sequence[Any]], RowResults]]:
    """Predict for all rows at once, and report the notes of preprocessing ("cut to 256 pieces": 12 of 100 rows).

    Returns:
        the predictions of the valid rows, in order; and a function that arranges results of them as the results of all rows.

    Raises:
        InvalidRows: listing every invalid row, where these are an error.
        TaskgraftError: for data that cannot be read, or invalid options.
    """
    predictor = Predictor.create(fitted, recipe, options)
    rows = predictor.read(data)
    on_bad_row, count = predictor.on_bad_row, len(rows)
    predictions, invalid = predictor.predict(rows, unless_invalid=on_bad_row == "error")
    if invalid and (on_bad_row == "error" or (on_bad_row == "skip" and len(invalid) == count)):
        raise InvalidRows(rows, invalid, PREDICTION_ADVICE)
    predictor.report(rows, invalid)
    return predictions, lambda results: RowResults.arrange(results, count, invalid, on_bad_row)


def predict_to_file(
    fitted: FittedTask,
    recipe: Recipe,
    data: Any,
    output: str | Path | TextIO,
    form: Literal["csv", "jsonl"],
    columns: tuple[bool, int | None, tuple[str, ...]],
    safety: tuple[bool, bool],
    options: PredictionOptions,
) -> int:
    """Predict into a file or a text stream. Arguments, result and errors as for :meth:`taskgraft.TaskModel.predict_to`.

    Args:
        columns: whether to add probabilities, how many of the most likely classes, and the columns to keep.
        safety: whether to overwrite a file, and whether to escape formulas.
    """
    overwrite, escape_formulas = safety
    _check_arguments(output, form, columns)
    if isinstance(output, str | Path):
        output = Path(output)
        check_output(output, "predictions", overwrite=overwrite, data=data)
    predictor = Predictor.create(fitted, recipe, options, columns[-1])
    rows = predictor.read(data)
    kind, names, files = fitted.head.description.target, recipe.data.target, file_column(predictor.request, data, rows)
    if kind == TargetKind.INPUTS and (schema := fitted.task.backbone.processor.element_schema).by_position:
        names = tuple(element.name for element in schema.kinds)
    count, invalid = write_predictions(
        rows,
        replace(predictor, reporter=ProgressReporter(quiet=True)),  # one progress bar, over the windows
        PredictionColumns(kind, names, *columns, files),
        output,
        form=form,
        overwrite=overwrite,
        escape_formulas=escape_formulas,
        on_bad_row=predictor.on_bad_row,
        reporter=predictor.reporter,
    )
    predictor.report(rows, invalid)
    return count


def _check_arguments(output: object, form: str, columns: tuple[bool, int | None, tuple[str, ...]]) -> None:
    _, top, keep = columns
    if not isinstance(output, str | Path) and not hasattr(output, "write"):
        raise InferenceError(f"The output is {output!r:.60}, neither a path nor an open text stream.")
    if form not in ("csv", "jsonl"):
        raise InferenceError(f"form is {form!r:.60}. Choose 'csv', 'jsonl'.")
    if top is not None and (type(top) is not int or top < 1):
        raise InferenceError(f"top is {top!r:.60}, not a number of classes.")
    if wrong := [name for name in keep if not isinstance(name, str)]:
        raise InferenceError(f"keep has {wrong[0]!r:.60}, which is not a column name.")


@dataclass(frozen=True)
class Predictor:
    """Predicts for some rows after another, and collects the notes on them.

    Attributes:
        recipe: with the settings of the data to predict for.
        reporter: shows progress.
        notes: of the rows so far.
    """

    fitted: FittedTask
    recipe: Recipe
    request: InputRequest
    budget: BatchBudget
    on_bad_row: OnInvalidRow
    reporter: ProgressReporter
    notes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def create(
        cls, fitted: FittedTask, recipe: Recipe, options: PredictionOptions, keep: Sequence[str] = ()
    ) -> "Predictor":
        """Check the options. Raises ConfigError or InferenceError."""
        settings, budget = options.settings or {}, inference_budget(recipe, options.batch_size)
        recipe = change_data_settings(recipe, settings, "a prediction")
        on_bad_row = check_choice(settings.get("on_bad_row", options.on_bad_row))
        request = InputRequest.of(fitted.task.backbone, recipe, any_file="reader" in settings, keep=keep)
        return cls(fitted, recipe, request, budget, on_bad_row, ProgressReporter(quiet=options.quiet))

    def read(self, data: Any) -> Rows:
        """Read rows. Invalid ones stay, unless they are an error; remarks on all are reported.

        Raises:
            InvalidRows: listing every row that the reader rejects, before anything is computed.
        """
        rows = read_inputs(self.request, data)
        if self.on_bad_row == "error":
            drop_invalid(rows, rows.invalid, "error", PREDICTION_ADVICE)
        report_notes(self.reporter, rows.notes, rows, "rows")
        return rows

    def predict(self, rows: Rows, *, unless_invalid: bool) -> tuple[Predictions, Mapping[int, str]]:
        """Predict for the valid ones among some rows.

        Args:
            unless_invalid: predict nothing if a row is invalid.

        Returns:
            their predictions, in order; and row → why it is invalid.
        """
        with temporary_folder() as folder:
            inputs, invalid = self._process(rows, folder)
            if inputs is None or (invalid and unless_invalid):
                return Predictions([]), invalid
            progress, workers = show_progress(self.reporter), self.recipe.training.workers
            predictions, wrong = predict_batches(self.fitted.task, 0, inputs.source, self.budget, progress, workers)
        self.notes.update({**inputs.notes, **format_notes(rows, inputs.rows)})
        if self.fitted.head.description.target == TargetKind.ELEMENT_CATEGORIES and inputs.elements is not None:
            counts = [count for row, count in enumerate(inputs.elements) if row not in wrong]
            predictions = pad_truncated(predictions, counts)
        valid = [row for row in range(len(rows)) if row not in invalid] if wrong else []
        return predictions, {**invalid, **{valid[row]: reason for row, reason in wrong.items()}}

    def check(self, rows: Rows) -> Mapping[int, str]:
        """Find the invalid ones among some rows, without running the model: row → why it is invalid."""
        with temporary_folder() as folder:
            return self._process(rows, folder)[1]

    def report(self, rows: Rows, invalid: Mapping[int, str]) -> None:
        """Report the notes on all rows."""
        report_notes(self.reporter, {**self.notes, **invalid_row_notes(invalid, self.on_bad_row)}, rows, "rows")

    def _process(self, rows: Rows, folder: Path) -> tuple[ProcessedInputs | None, dict[int, str]]:
        """Process the valid rows; None if there are none. Also return row → why it is invalid."""
        rows = format_inputs(rows, self.fitted, self.recipe)
        usable = [row for row in range(len(rows)) if row not in rows.invalid]
        if not usable:
            return None, dict(rows.invalid)
        some = rows.take(usable) if rows.invalid else rows
        inputs = process_inputs(self.fitted.task.backbone, some, self.recipe, folder)
        invalid = {**rows.invalid, **{usable[row]: reason for row, reason in inputs.invalid.items()}}
        if len(inputs.invalid) == len(usable):
            return None, invalid
        return inputs.drop(inputs.invalid, "skip"), invalid


def reference_features(fitted: FittedTask, recipe: Recipe, data: Any) -> Callable[[], Features]:
    """Preprocess as many first rows as a training batch has; return a function that computes features with current weights.

    Raises:
        InvalidRows: listing every invalid row.
        DataError: if there are no rows.
    """
    rows = read_inputs(InputRequest.of(fitted.task.backbone, recipe), data)
    drop_invalid(rows, rows.invalid, "error", FIX_ADVICE)
    rows = format_inputs(rows.take(range(min(len(rows), recipe.training.batch_size))), fitted, recipe)
    drop_invalid(rows, rows.invalid, "error", FIX_ADVICE)
    with temporary_folder() as folder:
        inputs = process_inputs(fitted.task.backbone, rows, recipe, folder)
        drop_invalid(rows, inputs.invalid, "error", FIX_ADVICE)
        batch = inputs.source.gather(range(len(rows))).to(fitted.task.device)

    def features() -> Features:
        with torch.no_grad():
            return fitted.task.features(0, batch)

    return features


def format_inputs(rows: Rows, fitted: FittedTask, recipe: Recipe) -> Rows:
    """Rewrite the cells of rows to canonical text, as the fit did; rows with cells that are two numbers are invalid."""
    kind = fitted.head.description.target
    return format_cells(rows, recipe.data, verbatim_columns(recipe.data, fitted.task.backbone.description, kind))


def inference_budget(recipe: Recipe, batch_size: int | None) -> BatchBudget:
    """Return the budget of a forward pass. Raises ConfigError for an invalid batch size."""
    size = recipe.training.batch_size if batch_size is None else batch_size
    settings = parse_config(TrainingConfig, {"batch_size": size}, "predicting")
    return BatchBudget(settings.batch_size, recipe.training.batch_elements)
