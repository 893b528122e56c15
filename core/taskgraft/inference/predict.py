"""Prediction with a fitted model: read the rows, preprocess them, run the model. No row is skipped."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

import torch

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.features import Features
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.recipe import Recipe, TrainingConfig
from taskgraft.contract.rows import FIX_ADVICE, Rows
from taskgraft.data.batching import BatchBudget
from taskgraft.data.dataset import process_inputs, report_notes
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.inference.errors import InferenceError
from taskgraft.inference.prediction_table import PredictionColumns, write_predictions
from taskgraft.inference.writers import check_output
from taskgraft.progress import ProgressReporter
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.reading.read import read_rows


def predict_rows(
    fitted: FittedTask,
    recipe: Recipe,
    data: Any,
    batch_size: int | None,
    reporter: ProgressReporter,
    notes: Counter[str] | None = None,
) -> Predictions:
    """Predict for all rows, in order, and report the notes of preprocessing ("cut to 256 pieces": 12 of 100 rows).

    Args:
        data: as for :func:`taskgraft.reading.read.read_rows`, or a plain list of inputs if the backbone reads one.
        batch_size: rows per forward pass; that of training if None.
        notes: collects the notes instead, for a caller that predicts in several windows and reports once.

    Raises:
        InvalidRows: listing every invalid row.
    """
    rows = read_inputs(recipe, data)
    report_notes(reporter, rows.notes, rows, "rows")
    if not len(rows):
        return Predictions([])
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        inputs = process_inputs(fitted.task.backbone, rows, recipe, Path(folder))
        drop_invalid(rows, inputs.invalid, "error", FIX_ADVICE)
        budget, progress = inference_budget(recipe, batch_size), show_progress(reporter)
        predictions = predict_batches(fitted.task, 0, inputs.source, budget, progress, recipe.training.workers)
    if notes is None:
        report_notes(reporter, inputs.notes, rows, "rows")
    else:
        notes.update(inputs.notes)
    if fitted.head.description.target == TargetKind.ELEMENT_CATEGORIES and inputs.elements is not None:
        return _pad_truncated(predictions, inputs.elements)
    return predictions


def predict_to_file(
    fitted: FittedTask,
    recipe: Recipe,
    data: Any,
    output: str | Path | TextIO,
    form: Literal["csv", "jsonl"],
    probabilities: bool,
    top: int | None,
    keep: Sequence[str],
    overwrite: bool,
    batch_size: int | None,
    reporter: ProgressReporter,
) -> int:
    """Predict into a file or a text stream. Arguments, result and errors as for :meth:`taskgraft.TaskModel.predict_to`."""
    if isinstance(output, str | Path):
        output = Path(output)
        check_output(output, "predictions", overwrite=overwrite, data=data)
    rows, notes = read_inputs(recipe, data), Counter[str]()
    report_notes(reporter, rows.notes, rows, "rows")
    kind, names = fitted.head.description.target, recipe.data.target
    if kind == TargetKind.INPUTS and (schema := fitted.task.backbone.processor.element_schema).by_position:
        names = tuple(element.name for element in schema.kinds)

    def predict(window: Rows) -> Predictions:
        return predict_rows(fitted, recipe, window, batch_size, ProgressReporter(quiet=True), notes)

    columns = PredictionColumns(kind, names, probabilities, top, tuple(keep))
    count = write_predictions(rows, predict, columns, output, form=form, overwrite=overwrite, reporter=reporter)
    report_notes(reporter, notes, rows, "rows")
    return count


def reference_features(fitted: FittedTask, recipe: Recipe, data: Any) -> Callable[[], Features]:
    """Preprocess as many first rows as a training batch has; return a function that computes features with current weights.

    Raises:
        InvalidRows: listing every invalid row.
        DataError: if there are no rows.
    """
    rows = read_inputs(recipe, data)
    rows = rows.take(range(min(len(rows), recipe.training.batch_size)))
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        inputs = process_inputs(fitted.task.backbone, rows, recipe, Path(folder))
        drop_invalid(rows, inputs.invalid, "error", FIX_ADVICE)
        batch = inputs.source.gather(range(len(rows))).to(fitted.task.device)

    def features() -> Features:
        with torch.no_grad():
            return fitted.task.features(0, batch)

    return features


def read_inputs(recipe: Recipe, data: Any) -> Rows:
    """Read rows with the reader of the recipe.

    Raises:
        InferenceError: for a single text, or a plain list where the backbone reads several inputs.
        InvalidRows: listing every row that the reader rejects.
    """
    names = recipe.data.columns
    if isinstance(data, str) and len(names) == 1 and not _is_data_source(data):
        raise InferenceError(
            f"{data!r:.60} is not a readable file. To predict for one input, put it in a list: predict([…])."
        )
    if isinstance(data, Sequence) and not isinstance(data, str) and data and not isinstance(data[0], Mapping):
        if len(names) != 1:
            raise InferenceError(
                f"A plain list was given, but the model reads {', '.join(names)}. Give a list of dicts."
            )
        data = {next(iter(names.values())): list(data)}
    return read_rows(data, catalog(), "the data", reader=recipe.data.reader, advice=FIX_ADVICE)


def inference_budget(recipe: Recipe, batch_size: int | None) -> BatchBudget:
    """Return the budget of a forward pass. Raises ConfigError for an invalid batch size."""
    size = recipe.training.batch_size if batch_size is None else batch_size
    settings = parse_config(TrainingConfig, {"batch_size": size}, "predicting")
    return BatchBudget(settings.batch_size, recipe.training.batch_elements)


def _pad_truncated(predictions: Predictions, elements: Sequence[int]) -> Predictions:
    """Predict None for elements that preprocessing cut off."""
    rows = zip(predictions.values, elements, strict=True)
    values = [[*value, *[None] * (count - len(value))] for value, count in rows]
    return Predictions(values, predictions.probabilities, predictions.classes)


def _is_data_source(text: str) -> bool:
    """Return whether a text looks like the location of data, and not like an input itself."""
    return bool(Path(text).suffix) or os.path.exists(text) or catalog().has_scheme(text)
