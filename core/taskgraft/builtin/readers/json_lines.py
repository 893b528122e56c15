"""JSON lines files: one object per line, each key a column."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.files.json_text import parse_json
from taskgraft.files.limits import COLUMNS_VARIABLE, too_many_columns
from taskgraft.files.open_file import open_plain_or_gzip
from taskgraft.reading.arrow_spool import ArrowSpool, RecordWriter

_LONGER_VALUE = re.compile(rb"(\xef\xbb\xbf)?\s*([\[{]\s*$|\[\s*\{)")
"""The first line of a list of objects, or of an object over many lines."""

_BARE_RETURN = re.compile(rb"\r(?!\n)")
"""The line end of old Macs; within a JSON value it is never written as it is."""

_FREE_KEYS, _KEYS_PER_LINE = 1_000, 100
"""A file may have so many keys; or so many times as many as its longest line, since each key is a column with all rows."""

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
    first, keys, longest = True, set[str](), 0
    parts = (part for line in lines for part in (_BARE_RETURN.split(line) if b"\r" in line else (line,)))
    for number, line in enumerate(parts, 1):
        if not line.strip():
            continue
        if first and _LONGER_VALUE.match(line):
            raise UnreadableFile(str(path), f"line {number:,} begins a JSON value of more than one row; {_ADVICE}.")
        first = False
        try:
            value = parse_json(line)
        except UnicodeDecodeError as error:
            yield number, f"the byte {line[error.start]:#04x} is not UTF-8"
        except ValueError as error:
            yield number, f"the line is not JSON ({getattr(error, 'msg', error)})"
        else:
            if not isinstance(value, dict):
                yield number, f"the line contains a JSON {type(value).__name__}, not an object"
                continue
            keys.update(value)
            longest = max(longest, len(value))
            if len(keys) > _FREE_KEYS and (problem := _too_many_keys(len(keys), longest)):
                raise UnreadableFile(str(path), f"line {number:,}: {problem}.")
            yield number, value


def _too_many_keys(count: int, longest: int) -> str | None:
    """Return a clause on so many keys, if no line has more than a few of them, or they are too many for a table."""
    if count > _KEYS_PER_LINE * longest and COLUMNS_VARIABLE not in os.environ:
        return (
            f"the lines up to here have {count:,} different keys, but none has more than {longest:,} of them. Each key is a "
            f"column: write what varies as a value of a key. {COLUMNS_VARIABLE} sets a limit of columns instead"
        )
    return too_many_columns(count)


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
