"""Predictions of any number of rows, written in their order, one window of rows after another."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol, TextIO

from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.inference.errors import InferenceError
from taskgraft.inference.prediction_table import GRID_TARGETS, OutputTable, PredictionColumns
from taskgraft.inference.row_results import PREDICTION_ADVICE, OnInvalidRow
from taskgraft.inference.writers import CsvWriter, EscapingCsvWriter, check_output, open_writer, writer_type
from taskgraft.progress import ProgressReporter

ROWS_PER_WINDOW, GRIDS_PER_WINDOW = 4_096, 64
"""Rows that are predicted and written at a time; fewer where the prediction of a row is a grid of labels."""


class WindowPredictor(Protocol):
    """Predicts for some of the rows at a time."""

    def predict(self, rows: Rows, *, unless_invalid: bool) -> tuple[Predictions, Mapping[int, str]]:
        """Predict for the valid rows, perhaps only if all are valid. Also return row → why it is invalid."""

    def check(self, rows: Rows) -> Mapping[int, str]:
        """Find invalid rows without predicting."""


def write_predictions(
    rows: Rows,
    predictor: WindowPredictor,
    columns: PredictionColumns,
    output: Path | TextIO,
    *,
    form: Literal["csv", "jsonl"] = "csv",
    overwrite: bool = False,
    escape_formulas: bool = False,
    on_bad_row: OnInvalidRow = "error",
    reporter: ProgressReporter,
) -> tuple[int, Mapping[int, str]]:
    """Predict for all rows into a file, in the format of its suffix, or into an open text stream.

    Where invalid rows are an error, nothing is computed after the first of them is found, unless predictions for a file have
    been computed before. These are kept: the rest is predicted as well, and all are written to a file of another name.

    Args:
        form: of a text stream.
        escape_formulas: as for :class:`taskgraft.inference.writers.EscapingCsvWriter`.
        on_bad_row: with "skip", a column has the line of each row, or its number; with "null", a column has the reasons.

    Returns:
        the number of predictions, and row → why it is invalid.

    Raises:
        OutputError: if the file exists, has another suffix, or cannot be written.
        MissingColumn: for a kept column.
        InvalidRows: listing all invalid rows, if they are an error or no other row is left.
        InferenceError, NoProbabilities: for two columns of one name, or what these predictions do not have.
    """
    _check_request(rows, columns, output, form, overwrite=overwrite, escape_formulas=escape_formulas)
    size = GRIDS_PER_WINDOW if columns.target in GRID_TARGETS else ROWS_PER_WINDOW
    starts = range(0, len(rows), size) or range(1)
    invalid: dict[int, str] = {}
    table, place = OutputTable(columns, on_bad_row), output

    def destination() -> Path:
        nonlocal place
        assert isinstance(output, Path)
        place = _unused_name(output) if invalid and on_bad_row == "error" else output
        return place

    create = EscapingCsvWriter if escape_formulas else None
    with open_writer(output, "predictions", len(rows), form, destination, create) as writer:
        for start in reporter.track(starts, "predicting", len(starts)):
            window = _window(rows, start, size)
            nothing_to_lose = on_bad_row == "error" and (start == 0 or not isinstance(output, Path))
            predictions, found = predictor.predict(window, unless_invalid=nothing_to_lose)
            if found and not invalid and on_bad_row == "error" and not nothing_to_lose:
                row, reason = next(iter(found.items()))
                reporter.message(
                    f"{rows.source}, {window.location(row)}: {reason}. The other rows are predicted first."
                )
            invalid |= _shifted(found, start)
            if found and nothing_to_lose:
                break
            for part in table.add(window, predictions, found):
                writer.write(part)
        if invalid and nothing_to_lose:
            rest = range(start + size, len(rows), size)
            for later in reporter.track(rest, "checking the other rows", len(rest)):
                invalid |= _shifted(predictor.check(_window(rows, later, size)), later)
            raise InvalidRows(rows, invalid, PREDICTION_ADVICE)
        if invalid and on_bad_row == "skip" and len(invalid) == len(rows):
            raise InvalidRows(rows, invalid, PREDICTION_ADVICE)
        for part in table.finish():
            writer.write(part)
    if invalid and on_bad_row == "error":
        kept = f"The other {len(rows) - len(invalid):,} predictions are in {place}, where these rows have none."
        raise InvalidRows(rows, invalid, f"{kept} {PREDICTION_ADVICE}")
    return len(rows) - len(invalid), invalid


def _check_request(
    rows: Rows, columns: PredictionColumns, output: Path | TextIO, form: str, *, overwrite: bool, escape_formulas: bool
) -> None:
    if isinstance(output, Path):
        check_output(output, "predictions", overwrite=overwrite)
    is_csv = writer_type(output, "predictions", form) is CsvWriter
    if escape_formulas and not is_csv:
        raise InferenceError(
            "Formulas are escaped only in CSV files. Write a .csv file, or leave out escape_formulas (--escape-formulas)."
        )
    if columns.target in GRID_TARGETS and is_csv:
        raise InferenceError(
            "This model predicts a grid of labels for each row, which a CSV cell cannot hold. Write a .jsonl or .parquet "
            'file, or print JSON lines (--json, form="jsonl").'
        )
    for column in columns.keep:
        rows.column(column)  # raises when there is no such column


def _window(rows: Rows, start: int, size: int) -> Rows:
    """Return the rows from ``start``, with those of them that the reader found invalid."""
    stop = min(start + size, len(rows))
    invalid = {row - start: reason for row, reason in rows.invalid.items() if start <= row < stop}
    return replace(rows.take(range(start, stop)), invalid=invalid)


def _shifted(invalid: Mapping[int, str], start: int) -> dict[int, str]:
    return {start + row: reason for row, reason in invalid.items()}


def _unused_name(path: Path) -> Path:
    """Return a name next to a path for predictions of which some are missing."""
    names = (path.with_name(f"{path.stem}.partial{number}{path.suffix}") for number in ("", *range(2, 1_000_000)))
    return next(name for name in names if not name.exists())
