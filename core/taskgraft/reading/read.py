"""Load any supported input as rows: files by their readers, tables of other libraries through Arrow."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, resolve
from taskgraft.contract.config import parse_config
from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.catalog import catalog as installed_catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.errors import join_words
from taskgraft.files.file_kinds import unread_file_problem
from taskgraft.files.open_file import cannot_be_read
from taskgraft.reading.class_labels import name_class_labels
from taskgraft.reading.errors import DataError
from taskgraft.reading.invalid_rows import OnBadRow, drop_invalid
from taskgraft.reading.mojibake import with_mojibake_remark
from taskgraft.reading.plain_columns import frame_to_table, plain_table, to_array

if TYPE_CHECKING:
    from datasets import Dataset


def read_rows(
    data: Any,
    catalog: Catalog,
    what: str,
    *,
    reader: ComponentReference | None = None,
    any_file: bool = False,
    on_bad_row: OnBadRow = "error",
    advice: str = FIX_OR_SKIP_ADVICE,
) -> Rows:
    """Read a file, folder, data set, DataFrame, Arrow table, list of dicts or dict of columns.

    Args:
        what: what to call data that have no name ("the training data").
        reader: reads files of its kind, and files of a kind that no reader takes; any other file is read by its suffix.
        any_file: the reader reads the file whatever its suffix, since the user named it for this file.
        on_bad_row: whether rows that the reader reports as invalid are an error, or skipped.
        advice: ends the message on invalid rows.

    Raises:
        UnreadableFile: for a file that no reader takes, or that its reader rejects.
        InvalidRows: naming the rows that the reader reports as invalid.
        DataError: for anything else.
    """
    if isinstance(data, Rows):
        return data
    if isinstance(data, str | Path):
        rows = read_file(data, reader, any_file=any_file, catalog=catalog)
        return drop_invalid(rows, rows.invalid, on_bad_row, advice)
    return with_mojibake_remark(Rows(name_class_labels(_to_table(data, what), what), what, index=_row_labels(data)))


# --- files


def read_file(
    path: str | Path,
    reader: ComponentReference | None = None,
    *,
    columns: Collection[str] | None = None,
    any_file: bool = False,
    catalog: Catalog | None = None,
) -> Rows:
    """Read a file or folder. Invalid rows stay in the result, in ``Rows.invalid``.

    Args:
        reader, any_file: as for :func:`read_rows`.
        columns: the only columns that are needed, so that a reader can do without tables of labels; None for all.
        catalog: where readers are looked up; everything installed if left out.

    Raises:
        UnreadableFile: for a file that no reader takes, or that its reader rejects.
    """
    catalog = catalog or installed_catalog()
    named = None if reader is None else resolve(catalog, ReaderSpec, reader)
    place, spec, config = _choose_reader(path, catalog, named, any_file=any_file)
    if columns is None or spec.read_columns is None:
        rows = spec.read(place, config)
    else:
        rows = spec.read_columns(place, config, columns)
    table = plain_table(name_class_labels(rows.table, rows.source))
    rows = with_mojibake_remark(replace(rows, table=table))
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if rows.folder is not None or not folder.is_dir():
        return rows
    return replace(rows, folder=folder)  # relative paths in the rows start there


def reader_of(path: str | Path, reader: ComponentReference | None, catalog: Catalog) -> tuple[Path, ReaderSpec, Any]:
    """Return the path that is read, its reader, and the settings of that, as :func:`read_file` chooses them.

    Raises:
        UnreadableFile: for a file that is not there, or that no reader takes.
    """
    named = None if reader is None else resolve(catalog, ReaderSpec, reader)
    return _choose_reader(path, catalog, named, any_file=False)


def has_reader(path: Path, reader: ComponentReference | None = None) -> bool:
    """Tell whether an existing file or folder is read as rows, by its suffix or by the named reader."""
    named = None if reader is None else resolve(installed_catalog(), ReaderSpec, reader)
    matches = list(_match_readers(path, installed_catalog(), is_folder=path.is_dir()))
    return any(length > 0 or (named is not None and spec is named.spec) for length, spec, _ in matches)


def _choose_reader(
    data: str | Path, catalog: Catalog, named: ResolvedComponent[ReaderSpec] | None, *, any_file: bool
) -> tuple[Path, ReaderSpec, Any]:
    """Return the path to read, the reader that reads it, and its settings."""
    scheme, colon, rest = str(data).partition(":")
    by_scheme = [reader for reader in catalog.specs(ReaderSpec) if colon and reader[0].scheme == scheme]
    if by_scheme:
        return Path(rest), *_with_config(_single_reader(str(data), by_scheme), named)
    path = Path(data)
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
        matches = list(_match_readers(path, catalog, is_folder=is_folder))
    except FileNotFoundError:
        raise UnreadableFile(str(path), "there is no such file.") from None
    except (OSError, ValueError) as error:
        raise UnreadableFile(str(path)[:200], f"it cannot be opened ({error.args[-1]!s:.80}).") from None
    longest = max((length for length, _, _ in matches), default=0)
    best = [(spec, source) for length, spec, source in matches if length == longest > 0]
    if named is not None and (any_file or not best or any(spec is named.spec for _, spec, _ in matches)):
        return path, named.spec, named.config
    if not best:
        raise UnreadableFile(str(path), _no_reader_message(path, catalog, is_folder=is_folder))
    return path, *_with_config(_single_reader(str(path), best), named)


def _match_readers(path: Path, catalog: Catalog, *, is_folder: bool) -> Iterator[tuple[int, ReaderSpec, PluginSource]]:
    """Find the readers that take a path, each with the length of the longest suffix or pattern that matches.

    The length is 0 for a reader of any file.
    """
    for spec, source in catalog.specs(ReaderSpec):
        if is_folder:
            matches = [pattern for pattern in spec.folder_patterns if next(path.glob(pattern), None) is not None]
        else:
            matches = [suffix for suffix in spec.suffixes if path.name.lower().endswith(suffix.lower())]
        if matches:
            yield max(map(len, matches)), spec, source


def _single_reader(path: str, readers: Sequence[tuple[ReaderSpec, PluginSource]]) -> ReaderSpec:
    if len(readers) > 1:
        names = " and ".join(f"'{source.distribution}/{spec.name}'" for spec, source in readers)
        raise UnreadableFile(path, f"{names} both read it. Choose one with data.reader.")
    return readers[0][0]


def _with_config(spec: ReaderSpec, named: ResolvedComponent[ReaderSpec] | None) -> tuple[ReaderSpec, Any]:
    """Return a reader with the settings of the named reader if it is this one, else with the defaults."""
    if named is not None and named.spec is spec:
        return spec, named.config
    return spec, parse_config(spec.config, {}, f"reader '{spec.name}'")


def _no_reader_message(path: Path, catalog: Catalog, *, is_folder: bool) -> str:
    kinds = (spec.folder_patterns if is_folder else spec.suffixes for spec, _ in catalog.specs(ReaderSpec))
    known = join_words(sorted({kind.rpartition("/")[2].lower() for some in kinds for kind in some if kind}))
    if is_folder:
        return f"no reader takes this folder. Readers look for {known} in it."
    try:
        return unread_file_problem(path) or f"no reader takes files of this kind. Readers take {known}."
    except OSError as error:
        return cannot_be_read(error)


# --- tables


def library_type(value: Any) -> str:
    """Return the library and the name of a type ("pandas.DataFrame"), to recognize it without importing the library."""
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"


def dataset_to_arrow(dataset: "Dataset") -> pa.Table:
    """Return a Hugging Face data set as an Arrow table, memory-mapped where the data set is."""
    return dataset.with_format("arrow")[:]


def _to_table(data: Any, what: str) -> pa.Table:
    kinds = "a path, a Dataset, a DataFrame, an Arrow table, a list of dicts or a dict of columns"
    try:
        table = _convert(data)
    except UnicodeEncodeError:
        raise  # it names the text
    except (pa.ArrowException, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} cannot be made into columns ({error}). Give {kinds}.") from None
    if table is None:
        raise DataError(f"{what} are of the type {type(data).__name__}. Give {kinds}.")
    names = table.column_names
    if duplicates := sorted(name for name, count in Counter(names).items() if count > 1):
        columns = join_words(map(repr, duplicates))
        raise DataError(f"{what} have more than one column named {columns}. Give {kinds}.")
    return plain_table(table)


def _row_labels(data: Any) -> Sequence[Any] | None:
    """Return the index of a DataFrame if its labels are not the places of the rows."""
    if not hasattr(data, "index") or not hasattr(data, "iloc"):
        return None
    labels: Sequence[Any] = data.index
    return None if np.array_equal(labels, np.arange(len(labels))) else labels


def _convert(data: Any) -> pa.Table | None:
    kind = library_type(data)
    if isinstance(data, pa.Table):
        return data
    if kind == "datasets.Dataset":
        return dataset_to_arrow(data)
    if kind == "datasets.DatasetDict":
        raise ValueError(f"they are a DatasetDict; choose one of its parts {join_words(data)}")
    if isinstance(data, Mapping):
        for name, values in data.items():
            if isinstance(values, str | bytes):
                raise ValueError(f"column {name!r} is {values!r:.40}, not a list of values")
        return pa.table({name: to_array(name, values) for name, values in data.items()})
    if isinstance(data, Sequence):
        for number, row in enumerate(data):
            if not isinstance(row, Mapping):
                raise ValueError(f"row {number:,} is {row!r:.40}, not a dict")
        names = dict.fromkeys(name for row in data for name in row)
        return pa.table({name: to_array(name, [row.get(name) for row in data]) for name in names})
    if kind == "pandas.DataFrame":
        table, labels = frame_to_table(data), list(data.columns)
        unnamed = [label is None or label != label for label in labels]  # pyarrow calls such a column 'None' or 'nan'
        return table.rename_columns(["" if no else text for no, text in zip(unnamed, table.column_names, strict=True)])
    other_table = hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")  # of Polars, for example
    return pa.table(data) if other_table else None
