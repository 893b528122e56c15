"""Predict with a fitted task into a file or a text stream."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import Rows
from taskgraft.data.dataset import report_notes
from taskgraft.inference.predict import predict_rows, read_inputs
from taskgraft.inference.prediction_table import PredictionColumns, write_predictions
from taskgraft.inference.writers import check_output
from taskgraft.progress import ProgressReporter


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
    """Predict for all rows. Arguments, result and errors as for :meth:`taskgraft.TaskModel.predict_to`."""
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
