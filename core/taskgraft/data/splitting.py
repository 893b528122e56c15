"""The parts of the data: what is learned from, and what is held out to choose and judge by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskgraft.composition.compose import ResolvedComponent, resolve
from taskgraft.contract.recipe import DataConfig
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.specs import SplitSpec
from taskgraft.data.reading import read_rows
from taskgraft.discovery.catalog import Catalog
from taskgraft.errors import TaskgraftError, join_words

TRAINING, VALIDATION = "train", "validation"
"""The parts that a split must have."""

TEST_VALUES = ("test", "testing")
"""Values of rows that a column split leaves out, for a final evaluation."""


def read_train_and_validation(
    train: Any, validation: Any, data: DataConfig, seed: int, catalog: Catalog
) -> tuple[Rows, Rows | None]:
    """Read the training rows and the validation rows, None where there are to be none.

    Args:
        train: a path or data, as :func:`taskgraft.data.reading.read_rows` takes them.
        validation: the same, or None.
        seed: for a split that draws rows.

    Raises:
        ValidationIsTraining: when the validation data are the training data.
        InvalidSplit: when a split answers with what is no split.
        InvalidRows: naming rows that a reader or the split refuses, unless they are to be skipped.
    """
    if _same(train, validation):
        raise ValidationIsTraining(str(train))
    rows = read_rows(train, catalog, "the training data", reader=data.reader, on_bad_row=data.on_bad_row)
    if validation is not None:
        return rows, read_rows(
            validation, catalog, "the validation data", reader=data.reader, on_bad_row=data.on_bad_row
        )
    if data.split is None:
        return rows, None
    split = resolve(catalog, SplitSpec, data.split)
    while True:
        try:
            return split_rows(rows, data.target, split, seed)
        except InvalidRows as error:
            if data.on_bad_row == "error" or len(error.reasons) == len(rows):
                raise
            rows = rows.drop(error.reasons)


def split_columns(data: DataConfig, catalog: Catalog) -> tuple[str, ...]:
    """Name the columns that say to which part a row belongs."""
    if data.split is None:
        return ()
    split = resolve(catalog, SplitSpec, data.split)
    return () if split.spec.columns is None else tuple(split.spec.columns(split.config))


def split_rows(rows: Rows, targets: Sequence[str], split: ResolvedComponent[SplitSpec], seed: int) -> tuple[Rows, Rows]:
    """Divide rows into those to learn from and those to judge by.

    Raises:
        InvalidSplit: when rows are in two parts, do not exist, or a part is empty.
        InvalidRows: naming rows that the split refuses.
    """
    parts = split.spec.split(rows, targets, split.config, seed)
    who = f"'{split.label}' (from {split.source})"
    check_split(parts, rows, who)
    held = replace(rows.take(sorted(parts[VALIDATION])), source=f"{rows.source} (validation)", skipped={})
    return rows.take(sorted(parts[TRAINING])), held


def check_split(parts: Mapping[str, Sequence[int]], rows: Rows, who: str) -> None:
    """Refuse an answer that does not divide the rows.

    Args:
        who: what messages call the split.

    Raises:
        InvalidSplit: when rows are in two parts, do not exist, or a part is empty.
    """
    seen: dict[int, str] = {}
    for name, members in parts.items():
        for row in members:
            if not 0 <= row < len(rows):
                raise InvalidSplit(who, f"puts row {row:,} into '{name}', but there are {len(rows):,} rows")
            if row in seen:
                where = f"'{name}' twice" if seen[row] == name else f"'{seen[row]}' and into '{name}'"
                raise InvalidSplit(who, f"puts row {row:,} into {where}")
            seen[row] = name
    for name in (TRAINING, VALIDATION):
        if not len(parts.get(name, ())):
            sizes = join_words(f"{part} {len(members):,}" for part, members in parts.items())
            raise InvalidSplit(who, f"leaves no row for '{name}' ({sizes})")


def split_by_column(
    rows: Rows,
    column: str,
    train: Sequence[str] = ("train", "training"),
    validation: Sequence[str] = ("validation", "valid", "val", "dev"),
) -> Mapping[str, Sequence[int]]:
    """Split rows by a column that names each row's part. Rows of the test part stay out of both.

    Args:
        train: values of training rows.
        validation: values of validation rows.

    Returns:
        part → row indices, from 0.

    Raises:
        InvalidRows: naming rows with any other value.
    """
    names = {TRAINING: train, VALIDATION: validation, "test": TEST_VALUES}
    part_of = {value: part for part, values in reversed(names.items()) for value in values}
    parts: dict[str, list[int]] = {part: [] for part in names}
    reasons = {}
    for row, value in enumerate(rows.values(column)):
        part = part_of.get(str(value))
        if part is None:
            reasons[row] = f"the column '{column}' is {value!r:.60}, none of {join_words(sorted(part_of))}"
        else:
            parts[part].append(row)
    if reasons:
        raise InvalidRows(rows, reasons, 'Fix these rows, or name the values with data.split = {name = "column", …}.')
    return parts


def _same(train: Any, validation: Any) -> bool:
    named = isinstance(train, str | Path) and isinstance(validation, str | Path)
    return named and Path(train) == Path(validation)


@dataclass(eq=False)
class InvalidSplit(TaskgraftError):
    """A split that is none."""

    who: str
    problem: str

    def __str__(self) -> str:
        return f"The split {self.who} {self.problem}. Choose another split, or other settings of it."


@dataclass(eq=False)
class ValidationIsTraining(TaskgraftError):
    """Validation data that are the training data."""

    source: str

    def __str__(self) -> str:
        return (
            f"The validation data are the training data ({self.source:.60}), so they would say nothing about new rows. "
            'Name other rows, or hold some out with data.split = "fraction:0.1".'
        )
