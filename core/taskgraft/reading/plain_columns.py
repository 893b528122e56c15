"""Columns of any library → Arrow columns of plain types: the same rows are the same columns from a frame and from its file.

A type that files of text lack (periods, intervals, UUIDs) becomes the text that pandas writes into them, and so does a column
of objects of several types.
"""

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from taskgraft.files.json_text import parse_json

_ARROW_ERRORS = (pa.ArrowException, AttributeError, TypeError, ValueError, OverflowError)

_SCALARS = (str, bool, Real, Decimal, datetime.date, datetime.time, datetime.timedelta, PurePath, uuid.UUID)
_PANDAS_SCALARS = ("Period", "Interval")


def to_array(name: object, values: Any) -> pa.Array | pa.ChunkedArray:
    """Make a column of some values; a NaN or pandas' NA among others is a missing value.

    Raises:
        ValueError: for values that have no type in common, and are not all scalars.
    """
    try:
        return pa.array(_python_numbers(values))
    except _ARROW_ERRORS as error:
        problem = f"column {name!r}: {error}"
    try:
        return pa.array(values, from_pandas=True)
    except _ARROW_ERRORS:
        try:
            return pa.array([_text(value) for value in values], pa.string())
        except TypeError:
            raise ValueError(problem) from None


def frame_to_table(frame: Any) -> pa.Table:
    """Convert a DataFrame of pandas, without its index. Raises ValueError as :func:`to_array` does."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except _ARROW_ERRORS:
        columns = [to_array(label, frame.iloc[:, place]) for place, label in enumerate(frame.columns)]
        return pa.table(columns, [str(label) for label in frame.columns])


def plain_table(table: pa.Table) -> pa.Table:
    """Replace the columns of types that only some libraries have by their texts."""
    for index, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        name, settings = _extension(kind, field.metadata or {})
        if text := _TEXTS.get(name):
            column = table.column(index)
            cells = column.combine_chunks().dictionary_decode() if kind is not field.type else column.combine_chunks()
            storage = cells.storage if isinstance(cells, pa.ExtensionArray) else cells
            texts = [None if value is None else text(value, settings) for value in storage.to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _extension(kind: pa.DataType, metadata: dict[bytes, bytes]) -> tuple[str, dict[str, Any]]:
    """Return the name of an extension type and its settings, also where the library that defines it is not imported."""
    if isinstance(kind, pa.BaseExtensionType):
        name = kind.extension_name
        written = kind.__arrow_ext_serialize__() if isinstance(kind, pa.ExtensionType) else b""
    else:
        name, written = (
            metadata.get(b"ARROW:extension:name", b"").decode(),
            metadata.get(b"ARROW:extension:metadata", b""),
        )
    try:
        settings = parse_json(written or b"{}")
    except ValueError:
        settings = {}
    return name, settings if isinstance(settings, dict) else {}


def _period_text(ordinal: int, settings: dict[str, Any]) -> str:
    import pandas as pd  # type: ignore[import-untyped]

    return str(pd.Period(ordinal=ordinal, freq=settings["freq"]))


def _interval_text(ends: dict[str, Any], settings: dict[str, Any]) -> str:
    closed = settings.get("closed", "right")
    before, after = "[" if closed in ("left", "both") else "(", "]" if closed in ("right", "both") else ")"
    return f"{before}{ends['left']}, {ends['right']}{after}"


_TEXTS: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "pandas.period": _period_text,
    "pandas.interval": _interval_text,
    "arrow.uuid": lambda value, _: str(value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)),
}


def _python_numbers(values: Any) -> Any:
    """Replace short floats in a list by the numbers that a file has for them: 0.1 for a float32 of 0.10000000149."""
    if isinstance(values, list | tuple) and any(type(value) in (np.float32, np.float16) for value in values):
        return [float(str(value)) if isinstance(value, np.floating) else value for value in values]
    return values


def _text(value: Any) -> str | None:
    """Format one cell as pandas does in a file.

    Raises:
        TypeError: for a value that is not a scalar.
    """
    value = value.item() if isinstance(value, np.generic) and not isinstance(value, np.floating) else value
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, Real) and value != value):
        return None
    if not isinstance(value, _SCALARS) and type(value).__name__ not in _PANDAS_SCALARS:
        raise TypeError(f"a {type(value).__name__} is not a scalar")
    return str(value)
