"""JSON lines: one object per line, each key a column."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.data.arrow_spool import ArrowSpool, RecordWriter
from taskgraft.data.open_file import open_plain_or_gzip


def read_json_lines(path: Path, config: EmptyConfig) -> Rows:
    """Read a file of JSON objects, also gzipped. A line that holds no object is refused; a key it lacks is missing.

    A column of texts and numbers becomes one of texts.

    Raises:
        UnreadableFile: for a file without objects, or with a column whose values are of unlike kinds.
    """
    with open_plain_or_gzip(path) as file, ArrowSpool() as spill:
        records = RecordWriter[dict[str, Any]](spill, lambda some: _table(path, some))
        records.take(_records(file))
        rows = records.rows(path.name, lambda schemas: _unified(path, schemas))
    if not rows.columns:
        raise UnreadableFile(str(path), "the file holds no JSON object; one per line is needed.")
    return rows


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object)
        except UnicodeDecodeError as error:
            yield number, f"the byte {line[error.start]:#04x} is not UTF-8"
        except RecursionError:
            yield number, "the line nests too deep"
        except ValueError as error:
            yield number, f"the line is not JSON ({getattr(error, 'msg', error)})"
        else:
            kind = type(value).__name__
            yield number, value if isinstance(value, dict) else f"the line holds a JSON {kind}, not an object"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _table(path: Path, records: Sequence[dict[str, Any] | None]) -> pa.Table:
    whole = [record or {} for record in records]
    names = dict.fromkeys(name for record in whole for name in record)
    return pa.table({name: _column(path, name, [record.get(name) for record in whole]) for name in names})


def _column(path: Path, name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        if any(isinstance(value, list | dict) for value in values):
            raise _unlike(path, name) from None
    return pa.array([value if isinstance(value, str | None) else json.dumps(value) for value in values], pa.string())


def _unified(path: Path, schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Find a type for each column that holds all of its values: texts where numbers and texts meet."""
    kinds: dict[str, pa.DataType] = {}
    for field in (field for schema in schemas for field in schema):
        kinds[field.name] = _common(path, field.name, kinds.get(field.name, pa.null()), field.type)
    return pa.schema(list(kinds.items()))


def _common(path: Path, name: str, one: pa.DataType, other: pa.DataType) -> pa.DataType:
    try:
        schemas = [pa.schema([(name, one)]), pa.schema([(name, other)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowTypeError:
        if pa.types.is_nested(one) or pa.types.is_nested(other):
            raise _unlike(path, name) from None
        return pa.string()


def _unlike(path: Path, name: str) -> UnreadableFile:
    return UnreadableFile(
        str(path), f"the column '{name}' holds values of unlike kinds (lists or objects among others); make them alike."
    )
