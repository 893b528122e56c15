"""The reader of long tables. It imports pyarrow only when it reads."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugin_series.settings import LongTableConfig

if TYPE_CHECKING:
    from taskgraft.plugin import Rows

MAX_FILLED = 1_000_000
"""Values of a series, gaps filled."""


def read_long_table(path: Path, config: LongTableConfig) -> "Rows":
    """Read a table in any format that has a reader: a row per series, in the order of their first lines.

    Values are sorted by time; an empty cell, or one with the text "nan", is a missing value. Every other column has one value
    per series. A series is an invalid row, with the line numbers, where a time is missing, no number or given twice, a value is
    no number, or another column has several values.

    Raises:
        UnreadableFile: if the file cannot be read, or lacks a column.
    """
    import pyarrow as pa
    from taskgraft.plugin import Rows, UnreadableFile, read_file

    table = read_file(path)
    needed = (config.id, config.time, *config.values)
    if missing := [column for column in needed if column not in table.columns]:
        problem = f"there is no column '{missing[0]}'. Columns: {', '.join(table.columns)}."
        raise UnreadableFile(str(path), problem)
    columns = {column: table.values(column) for column in table.columns}
    lines = list(table.lines) if table.lines is not None else list(range(1, len(table) + 1))
    members: dict[Any, list[int]] = {}
    for row, name in enumerate(columns[config.id]):
        members.setdefault(name, []).append(row)
    series, invalid, gaps, uneven = [], dict[int, str](), list[int](), list[int]()
    for number, (name, rows) in enumerate(members.items()):
        one = _Series(config, columns, lines, rows, table.invalid)
        series.append({config.id: name, **one.constants, **one.values})
        if one.problem is not None:
            invalid[number] = one.problem
        elif one.gaps:
            gaps.append(number)
        elif one.uneven:
            uneven.append(number)
    kept = [column for column in table.columns if column not in (config.time, *config.values)]
    types = {column: table.table.schema.field(column).type for column in kept}
    arrays = {column: pa.array([row[column] for row in series], types[column]) for column in kept}
    lists = {column: pa.array([row[column] for row in series], pa.list_(pa.float64())) for column in config.values}
    remarks = {"gaps in time filled with missing values": gaps, "measurements at uneven times": uneven}
    return Rows(
        pa.table(arrays | lists),
        table.source,
        [lines[rows[0]] for rows in members.values()] if table.lines is not None else None,
        invalid=invalid,
        remarks={text: found for text, found in remarks.items() if found},
        folder=table.folder,
    )


class _Series:
    """One series: its values sorted by time, what is constant in it, and the reason if it is invalid."""

    def __init__(
        self,
        config: LongTableConfig,
        columns: Mapping[str, Sequence[Any]],
        lines: Sequence[int],
        rows: Sequence[int],
        unreadable: Mapping[int, str],
    ):
        others = [column for column in columns if column not in (config.id, config.time, *config.values)]
        self.constants: dict[str, Any] = {column: columns[column][rows[0]] for column in others}
        self.values: dict[str, list[float | None] | None] = dict.fromkeys(config.values)
        self.gaps, self.uneven = False, False
        self.problem = self._read(config, columns, lines, rows, unreadable)

    def _read(
        self,
        config: LongTableConfig,
        columns: Mapping[str, Sequence[Any]],
        lines: Sequence[int],
        rows: Sequence[int],
        unreadable: Mapping[int, str],
    ) -> str | None:
        if broken := [row for row in rows if row in unreadable]:
            return f"line {lines[broken[0]]:,} of the series: {unreadable[broken[0]]}"
        if columns[config.id][rows[0]] in (None, ""):
            return f"the column '{config.id}' is empty (line {lines[rows[0]]:,})"
        for column, value in self.constants.items():
            if other := next((row for row in rows if columns[column][row] != value), None):
                found = f"{value!r:.40} on line {lines[rows[0]]:,} and {columns[column][other]!r:.40} on line {lines[other]:,}"
                return f"the column '{column}' changes in the series: {found}"
        times: dict[float, int] = {}
        for row in rows:
            time = _number(columns[config.time][row])
            if time is None or not math.isfinite(time):
                return f"the time is {columns[config.time][row]!r:.40} on line {lines[row]:,}, not a number"
            if time in times:
                return f"the time {time:g} is there twice, on lines {lines[times[time]]:,} and {lines[row]:,}"
            times[time] = row
        ordered: list[int | None] = [times[time] for time in sorted(times)]
        if config.step is not None:
            steps = [(time - min(times)) / config.step for time in sorted(times)]
            if wrong := next((place for place, step in enumerate(steps) if abs(step - round(step)) > 1e-6), None):
                line = lines[times[sorted(times)[wrong]]]
                return f"the time {sorted(times)[wrong]:g} on line {line:,} is off the grid of step = {config.step:g}"
            if steps[-1] >= MAX_FILLED:
                return f"the series has {steps[-1] + 1:,.0f} steps, more than {MAX_FILLED:,}; is step = {config.step:g} right"
            places = {round(step): row for step, row in zip(steps, ordered, strict=True)}
            ordered = [places.get(place) for place in range(round(steps[-1]) + 1)]
            self.gaps = None in ordered
        else:
            distances = [later - earlier for earlier, later in pairwise(sorted(times))]
            self.uneven = bool(distances) and max(distances) - min(distances) > 1e-6 * max(distances)
        for column in config.values:
            numbers = [None if row is None else _number(columns[column][row]) for row in ordered]
            for place, number in zip(ordered, numbers, strict=True):
                if place is not None and number is None and not _is_missing(columns[column][place]):
                    return f"the column '{column}' is {columns[column][place]!r:.40} on line {lines[place]:,}, not a number"
            self.values[column] = numbers
        return None


def _number(cell: Any) -> float | None:
    """Return a number, None for what is missing or no number."""
    if _is_missing(cell) or isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _is_missing(cell: Any) -> bool:
    return (
        cell is None
        or (isinstance(cell, str) and cell.strip().lower() in ("", "nan"))
        or (isinstance(cell, float) and math.isnan(cell))
    )
