"""JSON lines files: one object per line, each key a column."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.files.open_file import open_plain_or_gzip
from taskgraft.files.unique_keys import unique_keys
from taskgraft.reading.arrow_spool import ArrowSpool, RecordWriter

_LONGER_VALUE = re.compile(rb"(\xef\xbb\xbf)?\s*([\[{]\s*$|\[\s*\{)")
"""The first line of a list of objects, or of an object over many lines."""

_BARE_RETURN = re.compile(rb"\r(?!\n)")
"""The line end of old Macs; within a JSON value it is never written as it is."""

_ADVICE = "write one object per line, as DataFrame.to_json(…, orient='records', lines=True) does"


def read_json_lines(path: Path, config: EmptyConfig) -> Rows:
    """Read a file of JSON objects, also gzipped. A line without an object is invalid; an absent key is a missing value.

    A column with both texts and numbers becomes a column of texts.

    Raises:
        UnreadableFile: for a file without objects, with one JSON value over many lines, or with a column that mixes lists or
            objects with other values.
    """
    with open_plain_or_gzip(path, "utf-8") as file, ArrowSpool() as spool:
        writer = RecordWriter[dict[str, Any]](spool, lambda records: _to_table(path, records))
        writer.take(_read_records(path, file))
        rows = writer.rows(path.name, lambda schemas: _unify_schemas(path, schemas))
    if not rows.columns:
        raise UnreadableFile(str(path), "the file contains no JSON object; one per line is needed.")
    return rows


def _read_records(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    first = True
    parts = (part for line in lines for part in (_BARE_RETURN.split(line) if b"\r" in line else (line,)))
    for number, line in enumerate(parts, 1):
        if not line.strip():
            continue
        if first and _LONGER_VALUE.match(line):
            raise UnreadableFile(str(path), f"line {number:,} begins a JSON value of more than one row; {_ADVICE}.")
        first = False
        try:
            value = json.loads(line.decode("utf-8-sig"), object_pairs_hook=unique_keys)
        except UnicodeDecodeError as error:
            yield number, f"the byte {line[error.start]:#04x} is not UTF-8"
        except RecursionError:
            yield number, "the line is nested too deeply"
        except ValueError as error:
            yield number, f"the line is not JSON ({getattr(error, 'msg', error)})"
        else:
            kind = type(value).__name__
            yield number, value if isinstance(value, dict) else f"the line contains a JSON {kind}, not an object"


def _to_table(path: Path, records: Sequence[dict[str, Any] | None]) -> pa.Table:
    dicts = [record or {} for record in records]
    names = dict.fromkeys(name for record in dicts for name in record)
    return pa.table({name: _to_array(path, name, [record.get(name) for record in dicts]) for name in names})


def _to_array(path: Path, name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        if any(isinstance(value, list | dict) for value in values):
            raise _mixed_types(path, name) from None
    return pa.array([value if isinstance(value, str | None) else json.dumps(value) for value in values], pa.string())


def _unify_schemas(path: Path, schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Find a type for each column that fits all of its values: text where numbers and texts are mixed."""
    types: dict[str, pa.DataType] = {}
    for field in (field for schema in schemas for field in schema):
        types[field.name] = _common_type(path, field.name, types.get(field.name, pa.null()), field.type)
    return pa.schema(list(types.items()))


def _common_type(path: Path, name: str, first: pa.DataType, second: pa.DataType) -> pa.DataType:
    try:
        schemas = [pa.schema([(name, first)]), pa.schema([(name, second)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowTypeError:
        if pa.types.is_nested(first) or pa.types.is_nested(second):
            raise _mixed_types(path, name) from None
        return pa.string()


def _mixed_types(path: Path, name: str) -> UnreadableFile:
    return UnreadableFile(
        str(path), f"the column '{name}' mixes lists or objects with other values; use one type for the whole column."
    )
