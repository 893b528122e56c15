"""Hugging Face's ClassLabel: integers in Arrow, with the names of the classes in the metadata of the schema."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.files.json_text import parse_json
from taskgraft.reading.errors import DataError

_METADATA = b"huggingface"


def name_class_labels(table: pa.Table, source: str) -> pa.Table:
    """Replace the integers of ClassLabel columns, also inside lists and structs, by their names; -1 means missing.

    A table without such metadata, or without such columns, is returned as it is.

    Args:
        source: what messages call the table.

    Raises:
        DataError: for an integer without a name.
    """
    features = _features(table.schema.metadata or {})
    for index, name in enumerate(table.column_names):
        column, feature = table.column(index), features.get(name)
        if not _has_names(feature):
            continue
        convert = partial(_convert, feature=feature, where=f"{source}: the column '{name}'")
        chunks = [convert(chunk) for chunk in column.chunks] or [convert(pa.array([], column.type))]
        table = table.set_column(index, name, pa.chunked_array(chunks))
    return table


def _features(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    try:
        features = parse_json(metadata[_METADATA])["info"]["features"]
    except (KeyError, TypeError, ValueError):  # none, or of another library of that name
        return {}
    return features if isinstance(features, Mapping) else {}


def _has_names(feature: Any) -> bool:
    """Return whether a feature is a ClassLabel, or has one inside."""
    if isinstance(feature, list):
        return any(map(_has_names, feature))
    if not isinstance(feature, Mapping):
        return False
    return feature.get("_type") == "ClassLabel" or any(map(_has_names, feature.values()))


def _convert(array: pa.Array, feature: Any, where: str) -> pa.Array:
    """Convert an array by its feature: a ClassLabel, a list of a feature, or field name → feature."""
    kind = array.type
    if not _has_names(feature):
        return array
    if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel":
        return _names(array, feature.get("names") or (), where) if pa.types.is_integer(kind) else array
    if pa.types.is_struct(kind):
        fields = [
            _convert(array.field(index), feature.get(kind.field(index).name), where) for index in range(kind.num_fields)
        ]
        names = [kind.field(index).name for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, names, mask=array.is_null())
    inner = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items, lengths = _convert(array.flatten(), inner, where), pc.fill_null(pc.list_value_length(array), 0)
        list_type = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        ends = pc.cumulative_sum(lengths).cast(pa.int64())
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(
            pa.int32() if pa.types.is_list(kind) else pa.int64()
        )
        return list_type.from_arrays(offsets, items, mask=array.is_null())
    if pa.types.is_fixed_size_list(kind):
        return _convert(array.cast(pa.list_(kind.value_type)), feature, where)
    return array


def _names(array: pa.Array, names: Any, where: str) -> pa.Array:
    index = pc.if_else(pc.equal(array, -1), None, array)
    if wrong := pc.unique(index.filter(pc.or_(pc.less(index, 0), pc.greater_equal(index, len(names))))).to_pylist():
        raise DataError(
            f"{where} is a ClassLabel of {len(names):,} names, but holds {wrong[0]}. Use numbers from 0, or -1 for none."
        )
    return pa.array(names, pa.string()).take(index)
