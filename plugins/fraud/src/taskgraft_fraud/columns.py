"""What is learned about the columns of a table from its training rows: what each is, its scale, its categories."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.error import TaskgraftError, listed
from taskgraft.spec import Columns
from taskgraft_fraud.cells import MICROSECONDS, Cells, column_of, kind_of, moment, numbers, texts, times, when
from taskgraft_fraud.settings import AnyTable, CategoryColumn, Column, Cycle, NumberColumn, TableConfig, TimeColumn

QUANTILES = 200
"""Steps between the quantiles that are kept of a column, for quantile scaling."""

MANY = 200
"""Rows from which on a column of texts that hardly ever repeat is refused."""

DAY = 86_400 * MICROSECONDS


def learn(config: AnyTable, inputs: Columns, *, signs: bool = False) -> AnyTable:
    """Complete the settings of a table backbone by what its columns are in the training rows.

    Args:
        signs: whether each column has a sign for a missing value, and not only those that miss some.

    Raises:
        NoColumns, UnreadableColumn: when there is nothing to read, or a column that no table model can read.
        UnknownColumns: for settings of columns that are not read.
    """
    if config.learned is not None:
        return config
    if not len(inputs):
        raise NoColumns()
    if strange := sorted(config.columns.keys() - set(inputs)):
        raise UnknownColumns(tuple(strange), tuple(inputs))
    return config.model_copy(update={"learned": tuple(_learned(config, name, inputs[name], signs) for name in inputs)})


def _learned(config: TableConfig, name: str, values: Any, signs: bool) -> Column:
    try:
        cells = column_of(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UnreadableColumn(name, f"it holds values that do not mix ({error})") from None
    kind = config.columns.get(name) or kind_of(cells)
    if kind is None:
        raise UnreadableColumn(name, f"it holds values of the kind {cells.type}")
    if cells.null_count == len(cells):
        raise UnreadableColumn(name, "it is empty in every training row")
    sign = signs or cells.null_count > 0
    if kind == "category":
        return _category(config, name, cells, sign)
    read = numbers(cells, name) if kind == "number" else times(cells, name)
    present = read.values[_usable(read)]
    if not len(present):
        raise UnreadableColumn(name, f"none of its values is a {kind}")
    return _number(config, name, present, sign) if kind == "number" else _time(config, name, present, sign)


def _usable(read: Cells) -> NDArray[np.bool_]:
    """Tell the cells that could be read. Rows that are refused are told, or left out, later, by the processor."""
    usable = ~read.missing
    usable[list(read.refused)] = False
    return usable


def _number(config: TableConfig, name: str, present: NDArray[np.float64], sign: bool) -> NumberColumn:
    if config.scaling == "none":
        return NumberColumn(name=name, mean=0.0, scale=1.0, sign=sign)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(present.mean()), float(present.std())
    if not np.isfinite(spread):
        raise UnreadableColumn(name, "its numbers are so large that their squares are not finite")
    quantiles: tuple[float, ...] = ()
    if config.scaling == "quantile":
        quantiles = tuple(np.quantile(present, np.linspace(0, 1, QUANTILES + 1)).tolist())
    return NumberColumn(name=name, mean=mean, scale=spread or 1.0, quantiles=quantiles, sign=sign)


def _category(config: TableConfig, name: str, cells: pa.Array, sign: bool) -> CategoryColumn:
    try:
        counts = pc.value_counts(texts(cells).drop_null())
    except pa.ArrowException:
        raise UnreadableColumn(name, f"it holds values of the kind {cells.type}") from None
    values, times_seen = counts.field("values").to_pylist(), counts.field("counts").to_numpy()
    if name not in config.columns and len(cells) >= MANY and 2 * len(values) > len(cells):
        problem = f"it has {len(values):,} different values in {len(cells):,} rows, so few of them will occur again"
        raise UnreadableColumn(
            name, problem, f'say that it is a category all the same: columns = {{{name} = "category"}}'
        )
    often = sorted(zip(-times_seen, values, strict=True))
    kept = tuple(value for count, value in often if -count >= config.least)[: config.categories]
    return CategoryColumn(name=name, categories=kept, sign=sign)


def _time(config: TableConfig, name: str, present: NDArray[np.int64], sign: bool) -> TimeColumn:
    first = moment(when(int(present.min())))
    days = (present - first) / DAY
    cycles: list[Cycle] = [cycle for cycle in ("hour", "weekday", "yearday") if cycle in config.times]
    if not (present % DAY).any():
        cycles = [cycle for cycle in cycles if cycle != "hour"]  # dates have no hour
    elapsed = "elapsed" in config.times
    if not cycles and not elapsed:
        raise UnreadableColumn(name, "it holds times, of which the setting 'times' lets nothing be read")
    return TimeColumn(
        name=name,
        cycles=tuple(cycles),
        first=when(first),
        elapsed=elapsed,
        mean=float(days.mean()),
        scale=float(days.std()) or 1.0,
        sign=sign,
    )


@dataclass(eq=False)
class UnreadableColumn(TaskgraftError):
    """A column of a table that no table model can read."""

    name: str
    problem: str
    other: str | None = None

    def __str__(self) -> str:
        either = f", or {self.other}" if self.other else ""
        return f"The column '{self.name}' cannot be read: {self.problem}. Leave it out of data.inputs{either}."


@dataclass(eq=False)
class NoColumns(TaskgraftError):
    """A table with nothing to read."""

    def __str__(self) -> str:
        return "The table has no column to read beside the target. Name columns in data.inputs that it has."


@dataclass(eq=False)
class UnknownColumns(TaskgraftError):
    """Settings of columns that are not read."""

    names: tuple[str, ...]
    known: tuple[str, ...]

    def __str__(self) -> str:
        which = listed(map(repr, self.names))
        return (
            f"The setting 'columns' names {which}, which is not read. The columns that are read: {listed(self.known)}."
        )
