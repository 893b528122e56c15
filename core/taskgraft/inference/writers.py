"""Output files, written one table after another: CSV, JSON lines, Parquet, .npz and .npy, chosen by suffix.

A file is written under a temporary name and renamed when it is complete, so an incomplete one is never found.
"""

import csv
import json
import os
import re
import tempfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, ClassVar, Literal, TextIO
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib import format as npy
from numpy.typing import NDArray
from pyarrow import parquet

from taskgraft.inference.errors import InferenceError
from taskgraft.storage.atomic_write import OutputError, atomic_file, check_output_path

FEATURE_COLUMN = "features"
"""The column, or array, of features."""

_STARTS, _LENGTHS = "starts", "lengths"
"""Arrays of an .npz file that locate the elements of each row."""

_CHUNK_ROWS, _CHUNK_BYTES = 4_096, 1 << 24
"""Rows of a column that are converted at a time, and bytes that are copied at a time."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)

_Output = Literal["predictions", "features"]


class Writer(AbstractContextManager["Writer"]):
    """Writes tables with the same columns, one after another. Leaving its context without an error completes the file."""

    binary: ClassVar[bool] = True

    def __init__(self, file: IO[Any], rows: int):
        """Write to an open file. ``rows`` is the number in all tables together."""
        self._file, self._rows = file, rows
        self._has_header = False

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Write some rows."""

    def __exit__(self, error: object, *rest: object) -> None:
        """Do nothing: most formats are complete after each table."""


def check_output(path: Path, what: _Output, *, overwrite: bool, data: object = None) -> None:
    """Check that a file can be written, before any work is done, and is not the one with the data. Raises OutputError."""
    if isinstance(data, str | Path) and path.exists() and os.path.exists(data) and path.samefile(data):
        raise OutputError(str(path), "it holds the data; name another file", what)
    check_output_path(path, _FORMATS[what], what, overwrite=overwrite)


def check_columns(path: Path, columns: pa.Table, *, sequences: bool) -> None:
    """Check that a file of features, perhaps of sequences, can also hold columns. Raises OutputError or InferenceError."""
    suffix, names = path.suffix.lower(), columns.column_names
    if suffix == ".npy" and (sequences or names):
        limit = "holds one array, not sequences" if sequences else "cannot hold other columns"
        raise OutputError(str(path), f"a .npy file {limit}; write .npz or .parquet", "features")
    check_unique([FEATURE_COLUMN, *names, *((_STARTS, _LENGTHS) if suffix == ".npz" and sequences else ())])
    for name in names if suffix == ".npz" else ():
        if not _fits_npz(columns.column(name)) or "/" in name or "\\" in name:
            raise InferenceError(
                f"The column '{name}' ({columns.column(name).type}) cannot be stored in an .npz file, which holds numbers, "
                "text, and booleans without missing values. Write .parquet, or keep other columns."
            )


def check_unique(names: Sequence[str]) -> None:
    """Raise InferenceError if two output columns have one name."""
    if duplicates := [name for name, count in Counter(names).items() if count > 1]:
        raise InferenceError(f"The output would have two columns named '{duplicates[0]}'. Keep other columns.")


def writer_type(output: Path | TextIO, what: _Output, form: str) -> type[Writer]:
    """Choose the writer of a file by its suffix, that of a text stream by its form."""
    return _FORMATS[what][output.suffix.lower() if isinstance(output, Path) else f".{form}"]


@contextmanager
def open_writer(
    output: Path | TextIO,
    what: _Output,
    rows: int,
    form: str = "csv",
    destination: Callable[[], Path] | None = None,
    create: type[Writer] | None = None,
) -> Iterator[Writer]:
    """Open a file, which appears if all goes well, or use an open text stream of a form. Raises OutputError.

    Args:
        rows: the number of rows that will be written.
        destination: returns the path at which the file appears, once it is complete; ``output`` by default.
        create: the class of the writer; that of the file's suffix by default.
    """
    create = create or writer_type(output, what, form)
    if not isinstance(output, Path):
        yield create(output, rows)
        return
    mode, encoding, newline = ("wb", None, None) if create.binary else ("w", "utf-8", "")
    with (
        atomic_file(output, what, destination) as temporary,
        temporary.open(mode, encoding=encoding, newline=newline) as file,
        create(file, rows) as writer,
    ):
        yield writer


class CsvWriter(Writer):
    """Comma-separated values with a header. A list is written as JSON, a missing value as an empty cell."""

    binary = False

    def write(self, table: pa.Table) -> None:
        lines: Any = SimpleNamespace(write=lambda line: self._file.write(f"{line[:-2]}\n"))
        writer = csv.writer(lines, lineterminator="\r\n")  # so that it quotes a cell with a carriage return, too
        if not self._has_header:
            writer.writerow(map(self.cell, table.column_names))
            self._has_header = True
        columns = [map(self.cell, _python_values(column)) for column in table.columns]
        writer.writerows(zip(*columns, strict=True))

    def cell(self, value: Any) -> Any:
        """Convert a value to what the csv module writes."""
        return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


class EscapingCsvWriter(CsvWriter):
    """CSV in which a text that a spreadsheet would take for a formula has an apostrophe in front.

    These are texts that begin with =, +, -, @ (also in full width), a tab or a line end, unless they are numbers. Read back as
    data, such a text has the apostrophe.
    """

    def cell(self, value: Any) -> Any:
        cell = super().cell(value)
        formula = isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell)
        return f"'{cell}" if formula else cell


class JsonLinesWriter(Writer):
    """One JSON object per line."""

    binary = False

    def write(self, table: pa.Table) -> None:
        columns = [_python_values(column) for column in table.columns]
        for values in zip(*columns, strict=True):
            row = dict(zip(table.column_names, values, strict=True))
            self._file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


class ParquetWriter(Writer):
    """Parquet. The first table decides the types."""

    _writer: parquet.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def __exit__(self, error: object, *rest: object) -> None:
        if self._writer is not None:
            self._writer.close()


class NpyWriter(Writer):
    """The features as one array."""

    def write(self, table: pa.Table) -> None:
        values, _ = _feature_arrays(table)
        if not self._has_header:
            _write_npy_header(self._file, values.dtype, (self._rows, *values.shape[1:]))
            self._has_header = True
        self._file.write(values.data)


class NpzWriter(Writer):
    """Named arrays. The features are in a nameless temporary file until their number is known."""

    def __init__(self, file: IO[Any], rows: int):
        super().__init__(file, rows)
        self._values = tempfile.TemporaryFile(dir=Path(file.name).parent)  # noqa: SIM115, closed on exit
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._lengths: list[NDArray[np.int64]] = []
        self._columns: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        values, lengths = _feature_arrays(table)
        self._values.write(values.data)
        self._count += len(values)
        self._shape = values.shape[1:]
        self._lengths += [] if lengths is None else [lengths]
        self._columns.append(table.drop_columns([FEATURE_COLUMN]))

    def __exit__(self, error: object, *rest: object) -> None:
        with self._values:
            if error is None:
                self._write_archive(pa.concat_tables(self._columns))

    def _write_archive(self, columns: pa.Table) -> None:
        self._values.seek(0)
        with ZipFile(self._file, "w") as archive:
            chunks = iter(lambda: self._values.read(_CHUNK_BYTES), b"")
            _add_array(archive, FEATURE_COLUMN, np.dtype(np.float32), (self._count, *self._shape), chunks)
            if self._lengths:
                lengths = np.concatenate(self._lengths)
                for name, values in ((_STARTS, lengths.cumsum() - lengths), (_LENGTHS, lengths)):
                    _add_array(archive, name, values.dtype, values.shape, [values.data])
            for name in columns.column_names:
                dtype = _numpy_dtype(columns.column(name))
                _add_array(archive, name, dtype, (len(columns),), _array_bytes(columns.column(name), dtype))


_FORMATS: Mapping[_Output, Mapping[str, type[Writer]]] = {
    "predictions": {
        ".csv": CsvWriter,
        ".jsonl": JsonLinesWriter,
        ".ndjson": JsonLinesWriter,
        ".parquet": ParquetWriter,
    },
    "features": {".parquet": ParquetWriter, ".npz": NpzWriter, ".npy": NpyWriter},
}
"""What is written → suffix → the format of the file."""


def _python_values(column: pa.ChunkedArray) -> Sequence[Any]:
    """Convert to Python values. A float32 gets the fewest digits that distinguish it from its neighbours."""
    if pa.types.is_float32(column.type):
        return [None if text is None else float(text) for text in column.cast(pa.string()).to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]


def _feature_arrays(table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Return the features as an array, without copying: ``(row, …)``, or ``(element, …)`` and the lengths of the rows."""
    array, lengths, shape = table.column(FEATURE_COLUMN).combine_chunks(), None, []
    if pa.types.is_list(array.type):
        lengths = array.value_lengths().to_numpy().astype(np.int64)
        array = array.flatten()
    while pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    return array.to_numpy().reshape(-1, *shape), lengths


def _add_array(
    archive: ZipFile, name: str, dtype: "np.dtype[Any]", shape: tuple[int, ...], chunks: Iterable[bytes | memoryview]
) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        _write_npy_header(file, dtype, shape)
        for chunk in chunks:
            file.write(chunk)


def _write_npy_header(file: IO[bytes], dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})


def _fits_npz(column: pa.ChunkedArray) -> bool:
    if pa.types.is_boolean(column.type):
        return bool(column.null_count == 0)
    return _is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _numpy_dtype(column: pa.ChunkedArray) -> "np.dtype[Any]":
    """Choose the NumPy type. Integers with missing values become floats, with NaN."""
    if _is_text(column.type):
        return np.dtype(("U", max(pc.max(pc.utf8_length(column)).as_py() or 0, 1)))
    missing = column.null_count > 0 and pa.types.is_integer(column.type)
    return np.dtype(np.float64 if missing else column.type.to_pandas_dtype())


def _array_bytes(column: pa.ChunkedArray, dtype: "np.dtype[Any]") -> Iterator[bytes]:
    """Convert a column to the bytes of its array. Missing text becomes empty text."""
    for start in range(0, len(column), _CHUNK_ROWS):
        chunk = column.slice(start, _CHUNK_ROWS)
        values = pc.fill_null(chunk, "").to_pylist() if _is_text(column.type) else chunk.to_numpy()
        yield np.asarray(values, dtype).tobytes()
