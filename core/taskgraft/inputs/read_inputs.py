"""What a caller predicts for, in any form: one input or many, in memory or in files, a row or a table. All become rows."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from io import IOBase
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from taskgraft.contract.rows import Rows
from taskgraft.discovery.catalog import catalog
from taskgraft.inputs.input_files import InputFiles, InputTexts, read_location, read_locations, read_texts
from taskgraft.inputs.input_request import InputRequest
from taskgraft.inputs.standard_input import StandardInput, read_standard_input
from taskgraft.reading.errors import DataError
from taskgraft.reading.read import library_type, read_rows

_SOURCE = "the data"

_TABLES = frozenset({"pandas.DataFrame", "pyarrow.Table", "datasets.Dataset", "datasets.DatasetDict"})

_COLUMNS = frozenset({"pandas.Series", "pandas.Index", "pyarrow.Array", "pyarrow.ChunkedArray", "polars.Series"})
"""Types of one column. Subclasses of pyarrow.Array are found by their base class."""

_SINGLE = (
    bytes,
    bytearray,
    memoryview,
    bool,
    int,
    float,
    complex,
    Decimal,
    date,
    time,
    timedelta,
    np.generic,
    type(None),
)
"""Types of single values that are no text."""

_VALUES = (str, bytes, bool, int, float, Decimal, date, time, timedelta, list, tuple, dict, np.generic, type(None))
"""Types of values that a table holds as they are."""


def read_inputs(request: InputRequest, data: Any) -> Rows:
    """Read the data to predict for. Rows that a reader reports as invalid stay, in ``Rows.invalid``.

    Args:
        data: a path, ``hub:NAME``, a table, dicts, one input, several inputs, or objects in memory that the processor of the
            model turns into values.

    Raises:
        UnreadableFile: for a file or folder that is missing, or that cannot be read.
        DataError: for anything else, saying what to pass.
    """
    match data:
        case Rows():
            rows = data
        case str() | Path():
            rows = read_location(request, data)
        case InputFiles():
            rows = read_locations(request, data)
        case InputTexts():
            rows = read_texts(request, data)
        case StandardInput():
            rows = read_standard_input(request, data)
        case _ if library_type(data) in _TABLES or (hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")):
            rows = _read_table(_encode_frame(request, data))
        case Mapping():
            rows = _read_dict(request, data)
        case _ if (row := _frame_row(request, data)) is not None:
            rows = _read_table(_encode_columns(request, {name: [value] for name, value in row.items()}))
        case _:
            rows = _read_values(request, _values(request, data))
    return rows


# --- tables and dicts


def _read_table(data: Any) -> Rows:
    return read_rows(data, catalog(), _SOURCE)


def _read_dict(request: InputRequest, data: Mapping[str, Any]) -> Rows:
    """Read a dict of columns, or of one row if none of its values is a column."""
    if not data:
        raise DataError(f"An empty dict was given. {request.accepted_forms}")
    lengths = {name: len(values) for name, values in data.items() if _is_column(values)}
    if not lengths:
        return _read_table(_encode_columns(request, {name: [value] for name, value in data.items()}))
    if single := [name for name in data if name not in lengths]:
        column, length = next(iter(lengths.items()))
        raise DataError(
            f"'{single[0]}' is one value, but '{column}' is a list of {length:,}. Pass a dict of lists of one length, or of "
            "single values for one row; a row with a list in it goes into a list: [{…}]."
        )
    return _read_table(_encode_columns(request, {name: _as_list(values) for name, values in data.items()}))


def _read_dicts(request: InputRequest, data: Sequence[Mapping[str, Any]]) -> Rows:
    for number, row in enumerate(data):
        if not isinstance(row, Mapping):
            kind = type(row).__name__
            raise DataError(f"Row 0 is a dict, but row {number:,} is a {kind}. {request.accepted_forms}")
    names = dict.fromkeys(name for row in data for name in row)
    return _read_table(_encode_columns(request, {name: [row.get(name) for row in data] for name in names}))


def _frame_row(request: InputRequest, data: Any) -> Mapping[str, Any] | None:
    """Return a Series that is a row of a DataFrame (``frame.iloc[0]``) as a dict: its index names the columns."""
    if library_type(data) != "pandas.Series":
        return None
    row = dict(zip(data.index.tolist(), data.tolist(), strict=True))
    return row if request.columns and all(column in row for column in request.columns.values()) else None


# --- plain values


def _values(request: InputRequest, data: Any) -> list[Any]:
    """Return several inputs as a list, and one input as a list of one."""
    if isinstance(data, bytes | bytearray | memoryview) and request.file_role is not None:
        return [bytes(data)]
    if isinstance(data, _SINGLE):
        kind = "None" if data is None else f"{data!r:.40}, of the type {type(data).__name__},"
        raise DataError(f"{kind} cannot be predicted for. {request.accepted_forms}")
    if isinstance(data, set | frozenset):
        raise DataError("A set has no order, so its predictions could not be matched. Pass a list.")
    if isinstance(data, IOBase) or hasattr(data, "readline"):
        raise DataError(f"An open file was given, of the type {type(data).__name__}. Pass its path.")
    kind, axes = library_type(data), len(getattr(data, "shape", ()))
    if kind == "numpy.ndarray" and axes < 2:
        return list(data) if axes else [data.item()]
    if isinstance(data, Iterator):
        values = list(data)
        if not values:
            raise DataError(f"The {type(data).__name__} has no items. An iterator can be read once; pass a list.")
        return values
    if kind in _COLUMNS or isinstance(data, pa.Array) or (isinstance(data, Collection) and axes == 0):
        return _as_list(data)
    if request.only_role is None or request.only_role not in request.roles:
        shape = f" of the shape {data.shape}" if axes else ""
        raise DataError(f"A {type(data).__name__}{shape} was given. {request.accepted_forms}")
    return _encode_one(request, request.only_role, data, 0)


def _read_values(request: InputRequest, values: list[Any]) -> Rows:
    """Read plain inputs: dicts, the values of the only input, or tuples of the values of several."""
    if values and isinstance(values[0], Mapping) and not _is_value_dict(request, values[0]):
        return _read_dicts(request, values)
    columns = [*request.columns.values()]
    if request.only_role is not None:
        return _read_table(_encode_columns(request, {columns[0]: values}))
    if values and request.roles and all(isinstance(value, tuple | list) for value in values):
        for number, value in enumerate(values):
            if len(value) != len(columns):
                raise DataError(f"Row {number:,} has {len(value):,} values. {_several_inputs(request)}")
        return _read_table(
            _encode_columns(request, dict(zip(columns, map(list, zip(*values, strict=True)), strict=True)))
        )
    if values:
        raise DataError(f"A plain list was given. {_several_inputs(request)}")
    return _read_table({column: [] for column in columns})


def _several_inputs(request: InputRequest) -> str:
    names = ", ".join(request.columns.values())
    tuples = ", or of tuples in this order" if request.roles else ""
    return f"The model reads {names}: pass a list of dicts{tuples}, or a table."


def _is_value_dict(request: InputRequest, value: Mapping[str, Any]) -> bool:
    """Return whether a dict is one value of the only input (``{"bytes": …, "path": …}``), and not a row."""
    role = request.file_role
    return role is not None and request.columns[role] not in value and {"bytes"} <= value.keys() <= {"bytes", "path"}


# --- objects in memory


def _encode_frame(request: InputRequest, data: Any) -> Any:
    """Return a DataFrame with the objects in the columns of inputs turned into values."""
    if library_type(data) != "pandas.DataFrame":
        return data
    columns = {
        column: _encode(request, role, data[column].tolist())
        for role, column in request.columns.items()
        if role in request.roles and list(data.columns).count(column) == 1 and data[column].dtype == object
    }
    return data.assign(**columns) if columns else data


def _encode_columns(request: InputRequest, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    roles = {column: role for role, column in request.columns.items() if role in request.roles}
    return {
        name: _encode(request, roles[name], values) if name in roles else values for name, values in columns.items()
    }


def _encode(request: InputRequest, role: str, values: list[Any]) -> list[Any]:
    encoded = [
        value if isinstance(value, _VALUES) else _encode_single(request, role, value, row)
        for row, value in enumerate(values)
    ]
    first = {type(value): row for row, value in reversed([*enumerate(encoded)])}
    if str in first and bytes in first:  # Arrow would make bytes of the texts
        texts, others = first[str], first[bytes]
        raise DataError(f"Row {texts:,} is a text, but row {others:,} is an object in memory. Pass either, not both.")
    return encoded


def _encode_single(request: InputRequest, role: str, value: Any, row: int) -> Any:
    if isinstance(value, PurePath) and role in request.file_roles:
        return str(value)
    if library_type(value) == "pandas.NAType":
        return None
    if isinstance(value, np.ndarray) and value.ndim == 1 and role not in request.file_roles:
        return value.tolist()
    encoded = _encode_one(request, role, value, row)
    if len(encoded) != 1:
        raise DataError(f"Row {row:,} holds {len(encoded):,} values for '{request.columns[role]}'. Pass one per row.")
    return encoded[0]


def _encode_one(request: InputRequest, role: str, value: Any, row: int) -> list[Any]:
    """Let the processor turn an object into raw values. Raises DataError."""
    try:
        encoded = list(request.raw_values(role, value))
    except ValueError as error:
        raise DataError(f"The data cannot be read: row {row:,}: {error}.") from None
    if any(one is value for one in encoded):
        shape = f" of the shape {value.shape}" if hasattr(value, "shape") else ""
        raise DataError(f"Row {row:,} is a {type(value).__name__}{shape}. {request.accepted_forms}")
    return encoded


def _is_column(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return values.ndim == 1
    if library_type(values) in _COLUMNS or isinstance(values, pa.Array):
        return True
    return isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray | memoryview)


def _as_list(values: Iterable[Any]) -> list[Any]:
    """Return the values of a column as a list, with the values of pandas and Arrow as Python objects."""
    for convert in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, convert):
            return list(getattr(values, convert)())
    return list(values)
