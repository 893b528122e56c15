"""What is learned about the columns of a table from its training rows: what each is, its scale, its categories."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import Columns, TaskgraftError, join_words
from taskgraft_fraud.cells import NUMBER, Cells, column_of, is_number, is_text, is_time, numbers, share, texts
from taskgraft_fraud.settings import AnyTable, CategoryColumn, Column, Cycle, NumberColumn, TableConfig, TimeColumn
from taskgraft_fraud.times import DAY, TIME, moment, times, when

QUANTILES = 200
"""Steps between the quantiles that are kept of a column, for quantile scaling."""

MANY = 200
"""Rows from which on a column of texts that hardly ever repeat is refused."""

READ: Mapping[str, Callable[[pa.Array, str], Cells]] = {"number": numbers, "time": times, "category": texts}
"""What a column is → how its cells are read, given its name."""

CODE = r"^[+-]?0\d"
"""How something is written that consists of digits and is no number."""

MOSTLY = 0.9
"""The share of a column's texts that must be written as numbers, or as times, for it to hold those."""


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


def kind_of(cells: pa.Array) -> str | None:
    """Infer what cells are: "number", "category" or "time"; None for kinds that no table model reads, such as lists.

    Texts are numbers, or times, when nearly all that are present are written so: one slip of a pen must not make a column of
    amounts one of categories, and will be refused. They are not numbers when one begins like a code ("007").
    """
    if is_text(cells.type):
        if share(cells, NUMBER) >= MOSTLY:
            return "category" if pc.any(pc.match_substring_regex(cells, CODE)).as_py() else "number"
        return "time" if share(cells, TIME) >= MOSTLY else "category"
    if pa.types.is_boolean(cells.type):
        return "category"
    if is_number(cells.type):
        return "number"
    return "time" if is_time(cells.type) else None


def _learned(config: TableConfig, name: str, values: Any, signs: bool) -> Column:
    cells = column_of(values)
    kind = config.columns.get(name) or kind_of(cells)
    if kind is None:
        raise UnreadableColumn(name, f"it holds values of the kind {cells.type}")
    if cells.null_count == len(cells):
        raise UnreadableColumn(name, "it is empty in every training row")
    found, sign = READ[kind](cells, name), signs or cells.null_count > 0
    if not found.usable.any():
        raise UnreadableColumn(name, f"none of its values is a {kind}")
    if kind == "category":
        return _category(config, name, found.values, sign)
    present = found.values[found.usable]  # rows that are refused are told, or left out, later, by the processor
    return _number(config, name, present, sign) if kind == "number" else _time(config, name, present, sign)


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


def _category(config: TableConfig, name: str, text: pa.Array, sign: bool) -> CategoryColumn:
    counts = pc.value_counts(text.drop_null())
    values, times_seen = counts.field("values").to_pylist(), counts.field("counts").to_numpy()
    if name not in config.columns and len(text) >= MANY and 2 * len(values) > len(text):
        problem = f"it has {len(values):,} different values in {len(text):,} rows, so few of them will occur again"
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
        which = join_words(map(repr, self.names))
        return f"The setting 'columns' names {which}, which is not read. The columns that are read: {join_words(self.known)}."
