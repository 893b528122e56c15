"""Files of features: Parquet, .npz or .npy, by suffix. Each is written piece by piece, in the order of the rows."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib import format as npy
from numpy.typing import NDArray

from taskgraft.contract.descriptions import Layout
from taskgraft.errors import TaskgraftError
from taskgraft.inference.prediction_files import Parquet
from taskgraft.inference.row_features import RaggedFeatures
from taskgraft.storage import atomic_write as output_file
from taskgraft.storage.atomic_write import OutputError

WHAT = "features"
"""What messages call that which is written; also its column, or its array."""

STARTS, LENGTHS = "starts", "lengths"
"""Arrays of an .npz file that say where the elements of each row stand."""

PIECE = 4_096
"""Rows of a kept column that are converted at a time."""

COPIED = 1 << 24
"""Bytes that are copied at a time."""


@contextmanager
def open_feature_file(path: Path, kept: pa.Table) -> "Iterator[FeatureWriter]":
    """Open a file for features. It takes its place when all went well; else nothing is left of it.

    Args:
        kept: columns that stand beside the features, for all rows.

    Raises:
        OutputError: when it cannot be written.
    """
    with output_file.atomic_file(path, WHAT) as fresh, WRITERS[path.suffix.lower()](fresh, kept) as writer:
        yield writer


def check_feature_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that could not be written in the end, before any work is done.

    Raises:
        OutputError: saying why.
    """
    output_file.check_output_path(path, WRITERS, WHAT, overwrite=overwrite)


def check_holds(path: Path, layout: Layout, kept: pa.Table) -> None:
    """Refuse what files of a kind cannot hold.

    Raises:
        OutputError: for features that are no single array, where a file holds one array.
        KeptTwice, CannotKeep: for columns.
    """
    suffix, names = path.suffix.lower(), kept.column_names
    if suffix == ".npy" and layout == Layout.SEQUENCE:
        raise OutputError(str(path), "a .npy file holds one array, not sequences; write .npz or .parquet", WHAT)
    if suffix == ".npy" and names:
        raise OutputError(str(path), "a .npy file has no place for kept columns; write .npz or .parquet", WHAT)
    own = (WHAT, STARTS, LENGTHS) if suffix == ".npz" and layout == Layout.SEQUENCE else (WHAT,)
    if twice := [name for name in names if name in own or names.count(name) > 1]:
        raise KeptTwice(twice[0])
    for name in names if suffix == ".npz" else ():
        if not _is_plain(kept.column(name)) or "/" in name or "\\" in name:
            raise CannotKeep(name, str(kept.column(name).type))


class FeatureWriter(ABC):
    """Writes the features of some rows after those of others."""

    @abstractmethod
    def write(self, features: RaggedFeatures) -> None:
        """Add some rows. Shapes are those of the first."""


class ParquetFeatures(FeatureWriter):
    """Kept columns, then one of fixed-size lists; for sequence, of lists of them."""

    def __init__(self, parquet: Parquet, kept: pa.Table):
        self._parquet, self._kept = parquet, kept
        self._written = 0

    def write(self, features: RaggedFeatures) -> None:
        kept = self._kept.slice(self._written, len(features))
        self._parquet.write(pa.table([*kept.columns, _lists(features)], names=[*kept.column_names, WHAT]))
        self._written += len(features)


class NpyFeatures(FeatureWriter):
    """One array, of as many rows as are promised."""

    def __init__(self, file: IO[bytes], count: int):
        self._file, self._count = file, count
        self._begun = False

    def write(self, features: RaggedFeatures) -> None:
        if not self._begun:
            _write_header(self._file, features.values.dtype, (self._count, *features.shape))
            self._begun = True
        self._file.write(features.values.data)


class NpzFeatures(FeatureWriter):
    """Arrays by name. The values wait in a file without a name until it is known how many they are."""

    def __init__(self, waiting: IO[bytes]):
        self._waiting = waiting
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._lengths: list[NDArray[np.int64]] = []

    def write(self, features: RaggedFeatures) -> None:
        self._waiting.write(features.values.data)
        self._shape = features.shape
        self._count += len(features.values)
        if features.lengths is not None:
            self._lengths.append(features.lengths)

    def finish(self, path: Path, kept: pa.Table) -> None:
        """Put everything into its place."""
        self._waiting.seek(0)
        with ZipFile(path, "w") as archive:
            pieces = iter(lambda: self._waiting.read(COPIED), b"")
            _add(archive, WHAT, np.dtype(np.float32), (self._count, *self._shape), pieces)
            if self._lengths:
                lengths = np.concatenate(self._lengths)
                for name, values in ((STARTS, lengths.cumsum() - lengths), (LENGTHS, lengths)):
                    _add(archive, name, values.dtype, values.shape, [values.data])
            for name in kept.column_names:
                kind = _plain_type(kept.column(name))
                _add(archive, name, kind, (len(kept),), _plain(kept.column(name), kind))


@contextmanager
def _parquet_file(path: Path, kept: pa.Table) -> Iterator[FeatureWriter]:
    with closing(Parquet(path)) as parquet:
        yield ParquetFeatures(parquet, kept)


@contextmanager
def _npy_file(path: Path, kept: pa.Table) -> Iterator[FeatureWriter]:
    with path.open("wb") as file:
        yield NpyFeatures(file, len(kept))


@contextmanager
def _npz_file(path: Path, kept: pa.Table) -> Iterator[FeatureWriter]:
    with tempfile.TemporaryFile(dir=path.parent) as waiting:
        writer = NpzFeatures(waiting)
        yield writer
        writer.finish(path, kept)


WRITERS: Mapping[str, Callable[[Path, pa.Table], AbstractContextManager[FeatureWriter]]] = {
    ".parquet": _parquet_file,
    ".npz": _npz_file,
    ".npy": _npy_file,
}
"""What opens a file, by its suffix."""


# --- arrays


def _lists(features: RaggedFeatures) -> pa.Array:
    """Nest the values of each row as their axes are."""
    found = pa.array(features.values.reshape(-1))
    for size in reversed(features.shape):
        found = pa.FixedSizeListArray.from_arrays(found, size)
    if features.lengths is None:
        return found
    offsets = np.concatenate([[0], features.lengths.cumsum()]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), found)


def _add(
    archive: ZipFile, name: str, kind: "np.dtype[Any]", shape: tuple[int, ...], pieces: Iterable[bytes | memoryview]
) -> None:
    """Add an array to an .npz file, piece by piece."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        _write_header(file, kind, shape)
        for piece in pieces:
            file.write(piece)


def _write_header(file: IO[bytes], kind: "np.dtype[Any]", shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape})


def _is_plain(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_boolean(kind):
        return bool(column.null_count == 0)
    return _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain_type(column: pa.ChunkedArray) -> "np.dtype[Any]":
    """Choose the type of numpy. Whole numbers of which some are missing become floats, with NaN."""
    if _is_text(column.type):
        return np.dtype(("U", max(pc.max(pc.utf8_length(column)).as_py() or 0, 1)))
    missing = column.null_count > 0 and pa.types.is_integer(column.type)
    return np.dtype(np.float64 if missing else column.type.to_pandas_dtype())


def _plain(column: pa.ChunkedArray, kind: "np.dtype[Any]") -> Iterator[bytes]:
    """Convert a column. A text that is missing becomes an empty one."""
    for start in range(0, len(column), PIECE):
        piece = column.slice(start, PIECE)
        values = pc.fill_null(piece, "").to_pylist() if _is_text(column.type) else piece.to_numpy()
        yield np.asarray(values, kind).tobytes()


# --- errors


@dataclass(eq=False)
class KeptTwice(TaskgraftError):
    """Two columns of one name."""

    column: str

    def __str__(self) -> str:
        return f"The column '{self.column}' is kept and computed as well, or kept twice. Keep other columns."


@dataclass(eq=False)
class CannotKeep(TaskgraftError):
    """A column that an .npz file has no type for."""

    column: str
    type: str

    def __str__(self) -> str:
        return (
            f"The column '{self.column}' ({self.type}) cannot be kept in an .npz file, which holds numbers, texts and "
            "complete yes-or-no columns. Write .parquet, or keep other columns."
        )
