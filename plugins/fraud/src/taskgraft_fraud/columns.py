"""Fit the columns of a table on its training rows: the kind of each, its scale, its categories."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taskgraft.plugin import Columns, is_constant, join_words, mean_and_scale
from taskgraft_fraud.column_kinds import CATEGORY_ALTERNATIVE, infer_kind, unusable_column
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.parse_cells import ParsedColumn, parse_numbers, parse_texts, to_arrow_array
from taskgraft_fraud.parse_times import DAY, format_time, parse_formatted_time, parse_times
from taskgraft_fraud.settings import AnyTable, CategoryColumn, Column, Cycle, NumberColumn, TableConfig, TimeColumn

QUANTILES = 200
"""Intervals between the stored quantiles of a column, for quantile scaling."""

DISTINCT_CHECK_ROWS = 200
"""With at least this many rows, a text column whose values hardly ever repeat is rejected."""

MAX_PROBLEMS = 10
"""Columns that cannot be used and are named in one message."""

PARSERS: Mapping[str, Callable[[pa.Array, str], ParsedColumn]] = {
    "number": parse_numbers,
    "time": parse_times,
    "category": parse_texts,
}
"""Kind of column → parser of its cells, given its name."""


def fit_config(config: AnyTable, inputs: Columns, *, signs: bool = False) -> AnyTable:
    """Complete the settings of a table backbone: fit each column on the training rows.

    Args:
        signs: give every column a missing indicator, not only those with missing values.

    Raises:
        FraudError: if there is no column, a column cannot be used, or ``config.columns`` names a column that is not read.
    """
    if config.learned is not None:
        return config
    if not len(inputs):
        raise FraudError("The table has no input column besides the target. List its columns in data.inputs.")
    if unknown := sorted(config.columns.keys() - set(inputs)):
        raise FraudError(
            f"The setting 'columns' names {join_words(map(repr, unknown))}, but the input columns are {join_words(inputs)}."
        )
    columns, problems = [], []
    for name in inputs:
        try:
            columns.append(_fit_column(config, name, inputs[name], signs))
        except FraudError as error:  # all are reported together
            problems.append(str(error))
    if problems:
        further = [f"Further columns: {len(problems) - MAX_PROBLEMS:,}."] if len(problems) > MAX_PROBLEMS else []
        raise FraudError("\n".join([*problems[:MAX_PROBLEMS], *further]))
    return config.model_copy(update={"learned": tuple(columns)})


def _fit_column(config: TableConfig, name: str, values: Any, signs: bool) -> Column:
    cells = to_arrow_array(values)
    kind = config.columns.get(name) or infer_kind(cells, name)
    if cells.null_count == len(cells):
        raise unusable_column(name, "it is empty in every training row")
    parsed, sign = PARSERS[kind](cells, name), signs or cells.null_count > 0
    if not parsed.usable.any():
        raise unusable_column(name, f"none of its values is a {kind}")
    if kind == "category":
        return _category_column(config, name, parsed.values, sign)
    present = parsed.values[parsed.usable]  # the processor reports invalid rows later
    if kind == "number":
        return _number_column(config, name, present, sign)
    return _time_column(config, name, present, sign)


def _number_column(config: TableConfig, name: str, present: NDArray[np.float64], sign: bool) -> NumberColumn:
    if config.scaling == "none":
        return NumberColumn(name=name, mean=0.0, scale=1.0, sign=sign)
    mean, scale = mean_and_scale(present)
    if not np.isfinite(scale):
        raise unusable_column(name, "its numbers are so large that their squares overflow")
    quantiles: tuple[float, ...] = ()
    if config.scaling == "quantile" and not is_constant(present):  # the ranks of equal numbers are all or nothing
        quantiles = tuple(np.quantile(present, np.linspace(0, 1, QUANTILES + 1)).tolist())
    return NumberColumn(name=name, mean=mean, scale=scale, quantiles=quantiles, sign=sign)


def _category_column(config: TableConfig, name: str, text: pa.Array, sign: bool) -> CategoryColumn:
    value_counts = pc.value_counts(text.drop_null())
    values, counts = value_counts.field("values").to_pylist(), value_counts.field("counts").to_numpy()
    if name not in config.columns and len(text) >= DISTINCT_CHECK_ROWS and 2 * len(values) > len(text):
        problem = f"it has {len(values):,} distinct values in {len(text):,} rows, so few of them will occur again"
        raise unusable_column(name, problem, CATEGORY_ALTERNATIVE)
    by_count = sorted(zip(-counts, values, strict=True))
    categories = tuple(value for count, value in by_count if -count >= config.least)[: config.categories]
    return CategoryColumn(name=name, categories=categories, sign=sign)


def _time_column(config: TableConfig, name: str, present: NDArray[np.int64], sign: bool) -> TimeColumn:
    first = parse_formatted_time(format_time(int(present.min())))
    days = (present - first) / DAY
    cycles: list[Cycle] = [cycle for cycle in ("hour", "weekday", "yearday") if cycle in config.times]
    if not (present % DAY).any():
        cycles = [cycle for cycle in cycles if cycle != "hour"]  # dates have no hour
    elapsed = "elapsed" in config.times
    if not cycles and not elapsed:
        raise unusable_column(
            name, "it is a time, and the setting 'times' selects nothing that can be computed from it"
        )
    mean, scale = mean_and_scale(days)
    return TimeColumn(
        name=name,
        cycles=tuple(cycles),
        first=format_time(first),
        elapsed=elapsed,
        mean=mean,
        scale=scale,
        sign=sign,
    )
