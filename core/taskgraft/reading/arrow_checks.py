"""Validate Arrow data from files before use: damaged buffers make Arrow read outside of them, which ends the process."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.errors import first_line, shorten


def check_batch(batch: pa.RecordBatch) -> None:
    """Validate the buffers of a batch, and that Python has its dates and names.

    Raises:
        pyarrow.ArrowException, ValueError: with the reason.
    """
    batch.validate(full=True)
    str(batch.schema)  # decodes the names, nested ones too
    for field, column in zip(batch.schema, batch.columns, strict=True):
        for leaf in _leaves(column):
            if not _python_has_range(leaf):
                raise ValueError(f"the column '{field.name}' holds a {leaf.type} that Python cannot represent")


def arrow_problem(error: BaseException) -> str:
    """Return a clause for an error of Arrow, or of :func:`check_batch`."""
    if isinstance(error, MemoryError):
        return "a length in it needs more memory than there is"
    return shorten(first_line(error), 200)


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    """Yield an array, or the arrays inside its lists, structs, maps and dictionaries."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _leaves(array.storage)
    elif pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        for inner in array.flatten() if pa.types.is_struct(kind) else (array.flatten(),):
            yield from _leaves(inner)
    elif pa.types.is_map(kind):
        yield from (leaf for inner in (array.keys, array.items) for leaf in _leaves(inner))
    elif pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif pa.types.is_fixed_size_list(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        yield from _leaves(array.flatten())
    else:
        yield array


def _python_has_range(array: pa.Array) -> bool:
    """Tell whether the first and the last of some dates, times or durations exist in Python, and their time zone."""
    kind = array.type
    if not (pa.types.is_date32(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind)):
        return True
    integers = pa.int32() if kind.bit_width == 32 else pa.int64()
    ends = pc.min_max(array.view(integers))
    try:
        for end in ends.values():
            pa.array([end.as_py()], integers).view(kind).to_pylist()
        return getattr(kind, "tz", None) is None or pa.array([0], integers).view(kind).to_pylist() != []
    except (OverflowError, ValueError, KeyError):  # ArrowInvalid for an unknown zone is a ValueError
        return False
