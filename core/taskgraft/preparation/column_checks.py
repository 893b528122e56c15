"""Checks of the input columns: constant columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.errors import join_words


def column_warnings(
    rows: Rows, columns: Sequence[str], targets: Mapping[str, Sequence[Any]], kind: TargetKind
) -> tuple[str, ...]:
    """Check the input columns of the training rows.

    Args:
        columns: those that the backbone reads.
        targets: target column → raw values, one per row.
        kind: of the target.
    """
    if constant := [name for name in columns if len(rows) > 1 and _is_constant(rows.column(name))]:
        names = join_words(map(repr, constant), 5)
        return (f"Constant in all training rows: {names}. Such a column says nothing about the target.",)
    return ()


def _is_constant(cells: pa.ChunkedArray) -> bool:
    if pa.types.is_nested(cells.type) or pa.types.is_dictionary(cells.type):
        return False
    return len(pc.unique(cells)) == 1
