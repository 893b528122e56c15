"""Train/validation split: by a split plugin, or by separate validation data."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskgraft.composition.resolve import ResolvedComponent, resolve
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.specs import SplitSpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.reading.cell_formats import format_cells, reader_with_formats
from taskgraft.reading.errors import DataError
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.reading.read import read_rows
from taskgraft.recipe import DataConfig

TRAINING, VALIDATION = "train", "validation"
"""What a split must return rows for."""

_TEST_VALUES = ("test", "testing")
"""Values of rows that a column split leaves out, for a final evaluation."""


def read_train_and_validation(
    train: Any, validation: Any, data: DataConfig, seed: int, catalog: Catalog, verbatim: Collection[str] = ()
) -> tuple[Rows, Rows | None]:
    """Read the training rows and the validation rows, with their cells in canonical text; None without validation.

    Args:
        train: a path or data, as :func:`taskgraft.reading.read.read_rows` takes them.
        validation: the same, or None to split the training data as ``data.split`` says.
        seed: for a random split.
        verbatim: columns whose texts stay as they are, as :func:`taskgraft.reading.cell_formats.verbatim_columns` says.

    Raises:
        DataError: when the validation data are the training data.
        InvalidSplit: when a split returns an invalid one.
        InvalidRows: naming rows that a reader or the split reports as invalid, unless they are to be skipped.
    """
    if isinstance(train, str | Path) and isinstance(validation, str | Path) and Path(train) == Path(validation):
        raise DataError(
            f"The validation data are the training data ({train!s:.60}), so they would say nothing about new rows. "
            'Name other rows, or hold some out with data.split = "fraction:0.1".'
        )
    reader = reader_with_formats(data, catalog)

    def read(source: Any, what: str) -> Rows:
        rows = read_rows(source, catalog, what, reader=reader, on_bad_row=data.on_bad_row)
        rows = format_cells(rows, data, verbatim)
        return drop_invalid(rows, rows.invalid, data.on_bad_row)

    rows = read(train, "the training data")
    if validation is not None:
        return rows, read(validation, "the validation data")
    if data.split is None:
        return rows, None
    split = resolve(catalog, SplitSpec, data.split)
    while True:
        try:
            return split_rows(rows, data.target, split, seed)
        except InvalidRows as error:
            rows = drop_invalid(rows, error.reasons, data.on_bad_row, error.advice)


def split_columns(data: DataConfig, catalog: Catalog) -> tuple[str, ...]:
    """Return the columns by which the split assigns rows."""
    if data.split is None:
        return ()
    split = resolve(catalog, SplitSpec, data.split)
    return () if split.spec.columns is None else tuple(split.spec.columns(split.config))


def split_rows(rows: Rows, targets: Sequence[str], split: ResolvedComponent[SplitSpec], seed: int) -> tuple[Rows, Rows]:
    """Split rows into training and validation rows; raises InvalidSplit, and InvalidRows as the split does."""
    assigned = split.spec.split(rows, targets, split.config, seed)
    check_split(assigned, rows, f"'{split.label}' (from {split.source})")
    validation = rows.take(sorted(assigned[VALIDATION]))
    validation = replace(validation, source=f"{rows.source} (validation)", skipped={})
    return rows.take(sorted(assigned[TRAINING])), validation


def check_split(assigned: Mapping[str, Sequence[int]], rows: Rows, split: str) -> None:
    """Reject an invalid split.

    Args:
        assigned: what the split returned.
        split: what messages call it.

    Raises:
        InvalidSplit: when it assigns a row twice, or one that does not exist, or leaves training or validation empty.
    """
    seen: dict[int, str] = {}
    for name, members in assigned.items():
        for row in members:
            if not 0 <= row < len(rows):
                raise InvalidSplit(split, f"puts row {row:,} into '{name}', but there are {len(rows):,} rows")
            if row in seen:
                where = f"'{name}' twice" if seen[row] == name else f"'{seen[row]}' and into '{name}'"
                raise InvalidSplit(split, f"puts {rows.location(row)} into {where}")
            seen[row] = name
    for name in (TRAINING, VALIDATION):
        if not len(assigned.get(name, ())):
            sizes = join_words(f"{other} {len(members):,}" for other, members in assigned.items())
            raise InvalidSplit(split, f"leaves no row for '{name}' ({sizes})")


def split_by_column(
    rows: Rows,
    column: str,
    train: Sequence[str] = ("train", "training"),
    validation: Sequence[str] = ("validation", "valid", "val", "dev"),
) -> Mapping[str, Sequence[int]]:
    """Split rows by the value of a column. Test rows are in neither training nor validation.

    Args:
        train: values of training rows.
        validation: values of validation rows.

    Returns:
        ``train``, ``validation``, ``test`` → row indices, from 0.

    Raises:
        InvalidRows: naming rows with any other value.
    """
    values = {TRAINING: train, VALIDATION: validation, "test": _TEST_VALUES}
    name_of = {value: name for name, some in reversed(values.items()) for value in some}
    assigned: dict[str, list[int]] = {name: [] for name in values}
    reasons = {}
    for row, value in enumerate(rows.values(column)):
        name = name_of.get(str(value))
        if name is None:
            reasons[row] = f"the column '{column}' is {value!r:.60}, none of {join_words(sorted(name_of))}"
        else:
            assigned[name].append(row)
    if reasons:
        raise InvalidRows(rows, reasons, 'Fix these rows, or name the values with data.split = {name = "column", …}.')
    return assigned


@dataclass(eq=False)
class InvalidSplit(TaskgraftError):
    """A split that does not divide the rows."""

    split: str
    problem: str

    def __str__(self) -> str:
        return f"The split {self.split} {self.problem}. Choose another split, or change its settings."
