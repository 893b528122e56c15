"""Columns matched to the inputs of a backbone: those named, or all but targets, excluded ones and a saved index."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.contract.descriptions import BackboneDescription
from taskgraft.contract.rows import MissingColumn, Rows
from taskgraft.errors import closest_match, join_words
from taskgraft.reading.errors import DataError

_INDEX_NAME = re.compile(r"|Unnamed: 0(\.\d+)*|__index_level_\d+__")
"""Names under which pandas saves an index that has no name: in CSV, in CSV that was read again, and in Parquet."""


def match_columns(
    inputs: Any, description: BackboneDescription, rows: Rows, targets: Sequence[str], exclude: Sequence[str] = ()
) -> dict[str, str]:
    """Decide which column feeds which input role.

    Args:
        inputs: a column, a list of columns in the order of the roles, role → column, or None to match by name.
        targets: columns that are not matched by name, and that may not be named.
        exclude: columns that are never inputs.

    Returns:
        role → column; for a backbone that reads any columns, column → column.

    Raises:
        DataError: when the roles cannot be filled, or an excluded column does not exist or is named elsewhere.
        MissingColumn: for a column that the data do not have.
    """
    roles, named = description.inputs, [inputs] if isinstance(inputs, str) else inputs
    known = tuple(role.name for role in roles)
    check_excluded(exclude, rows, targets)
    if not (named is None or isinstance(named, Mapping | Sequence)):
        raise _inputs_error(known, f"inputs is {inputs!r:.60}, which names no columns")
    taken = {*targets, *exclude}
    left = [name for name in rows.columns if name not in taken]
    if isinstance(named, Mapping):
        chosen = dict(named)
    elif not roles:
        chosen = {name: name for name in named or _without_index(left, rows)}
    elif named is None:
        chosen = {name: name for name in known if name in left}
    elif len(named) > len(roles):
        raise _inputs_error(known, f"{len(named)} columns were named: {join_words(named)}")
    else:
        chosen = dict(zip(known, named, strict=False))
    if roles and (unknown := [role for role in chosen if role not in known]):
        raise _inputs_error(known, f"there is no input '{unknown[0]}'")
    if missing := [role.name for role in roles if role.required and role.name not in chosen]:
        columns = join_words(rows.columns)
        raise _inputs_error(known, f"no column was named for '{missing[0]}', and {rows.source} has {columns}")
    if not chosen:
        raise DataError(
            f"{rows.source} has no input column besides the target, excluded columns and a saved index. Columns: "
            f"{join_words(map(repr, rows.columns))}. List those to read in data.inputs."
        )
    present = set(rows.columns)
    for column in chosen.values():
        if column not in present:
            raise MissingColumn(column, rows.source, rows.columns)
        _check_chosen(column, known, targets, exclude)
    return chosen


def saved_index(rows: Rows) -> list[str]:
    """Find columns that look like an index that pandas saved with the table: by name, or whole numbers called ``index``."""
    return [name for name in rows.columns if _INDEX_NAME.fullmatch(name) or (name == "index" and _counts(rows, name))]


def index_note(rows: Rows, columns: Sequence[str], others: Sequence[str]) -> str:
    """Say which columns were left out as a saved index; empty if none was, or the user named the inputs.

    Args:
        columns: the inputs.
        others: columns that could not be inputs: targets, excluded ones.
    """
    taken = {*columns, *others}
    left = [name for name in rows.columns if name not in taken]
    if not left or left != [name for name in saved_index(rows) if name in left]:
        return ""
    names = join_words("the column without a name" if not name else f"'{name}'" for name in left)
    them = "it" if len(left) == 1 else "them"
    return (
        f"Not used as input, since pandas saves the index of a table like this: {names}. "
        f"To use {them} all the same, list all inputs in data.inputs."
    )


def _without_index(names: Sequence[str], rows: Rows) -> list[str]:
    index = saved_index(rows)
    return [name for name in names if name not in index]


def _counts(rows: Rows, name: str) -> bool:
    """Whether a column holds different whole numbers from 0 on, as the rows of an index do, also after a split."""
    cells = rows.column(name)
    if not pa.types.is_integer(cells.type):
        texts = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
        if not texts or not pc.all(pc.match_substring_regex(cells, r"^\d+$"), min_count=0).as_py():
            return False
    elif len(cells) and pc.min(cells).as_py() < 0:
        return False
    return len(cells) > 1 and not cells.null_count and len(pc.unique(cells)) == len(cells)


def check_excluded(exclude: Sequence[str], rows: Rows, targets: Sequence[str]) -> None:
    """Raise DataError for an excluded column that is not there, or is a target."""
    present = set(rows.columns)
    for column in exclude:
        if column not in present:
            near = closest_match(column, rows.columns)
            meant = f" Did you mean '{near}'?" if near else ""
            columns = join_words(rows.columns)
            raise DataError(
                f"data.exclude names '{column}', which {rows.source} does not have.{meant} Columns: {columns}."
            )
        if column in targets:
            raise DataError(f"data.exclude names '{column}', which is the target. Take it out of data.exclude.")


def _check_chosen(column: str, roles: Sequence[str], targets: Sequence[str], exclude: Sequence[str]) -> None:
    if column in targets:
        raise _inputs_error(roles, f"the column '{column}' is the target, so it cannot be an input as well")
    if column in exclude:
        raise DataError(f"'{column}' is in data.inputs and in data.exclude. Take it out of one of them.")


def _inputs_error(roles: Sequence[str], problem: str) -> DataError:
    reads = join_words(roles) if roles else "the columns of a table"
    return DataError(f"The backbone reads {reads}, but {problem}. Name the columns to read with inputs=….")
