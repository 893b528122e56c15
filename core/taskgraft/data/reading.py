"""From whatever the user gave to rows: files by their readers, tables of other libraries by Arrow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from taskgraft.composition.compose import ComponentReference, ResolvedComponent, resolve
from taskgraft.contract.config import parse_config
from taskgraft.contract.rows import InvalidRows, Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.catalog import catalog as installed_catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.errors import TaskgraftError, join_words

if TYPE_CHECKING:
    from datasets import Dataset


def read_rows(
    data: Any,
    catalog: Catalog,
    what: str,
    *,
    reader: ComponentReference | None = None,
    on_bad_row: Literal["error", "skip"] = "error",
) -> Rows:
    """Make rows of a file, a folder, a data set, a DataFrame, an Arrow table, a list of dicts, or a dict of columns.

    Args:
        what: what to call data that have no name ("the training data").
        reader: what reads files of its kind, and those that no reader takes; any other file is read by its suffix.
        on_bad_row: whether rows that a reader refuses are an error or left out.

    Raises:
        UnreadableFile: for a file that no reader takes, or that its reader refuses.
        InvalidRows: naming the rows that a reader refuses.
        UnsupportedData: for anything else.
    """
    if isinstance(data, Rows):
        return data
    rows = (
        read_file(data, reader, catalog=catalog)
        if isinstance(data, str | Path)
        else Rows(_checked_table(data, what), what)
    )
    if not rows.invalid:
        return rows
    if on_bad_row == "error" or len(rows.invalid) == len(rows):
        raise InvalidRows(rows, rows.invalid)
    return rows.drop(rows.invalid)


# --- files


def read_file(path: str | Path, reader: ComponentReference | None = None, *, catalog: Catalog | None = None) -> Rows:
    """Read a file or folder. Rows that its reader refuses stay in the result, in ``Rows.invalid``.

    Args:
        reader: as for :func:`read_rows`.
        catalog: where readers are looked up; the catalog of everything installed when left out.

    Raises:
        UnreadableFile: for a file that no reader takes, or that its reader refuses.
    """
    known = catalog or installed_catalog()
    chosen = None if reader is None else resolve(known, ReaderSpec, reader)
    return _placed(_read_path(path, known, chosen), Path(path))


def _read_path(data: str | Path, catalog: Catalog, chosen: ResolvedComponent[ReaderSpec] | None) -> Rows:
    scheme, colon, rest = str(data).partition(":")
    by_scheme = [one for one in _readers(catalog) if colon and one[0].scheme == scheme]
    if by_scheme:
        return _run(Path(rest), _one(str(data), by_scheme), chosen)
    path = Path(data)
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
        claims = list(_claims(path, catalog, is_folder=is_folder))
    except FileNotFoundError:
        raise UnreadableFile(str(path), "there is no such file.") from None
    except (OSError, ValueError) as error:
        raise UnreadableFile(str(path)[:200], f"it cannot be looked at ({error.args[-1]!s:.80}).") from None
    longest = max((length for length, _, _ in claims), default=0)
    fitting = [(spec, source) for length, spec, source in claims if length == longest > 0]
    if chosen is not None and (not fitting or any(spec is chosen.spec for _, spec, _ in claims)):
        return chosen.spec.read(path, chosen.config)
    if not fitting:
        raise UnreadableFile(str(path), _nobody_reads(catalog, is_folder=is_folder))
    return _run(path, _one(str(path), fitting), chosen)


def _placed(rows: Rows, path: Path) -> Rows:
    """Note where relative paths in the rows start, unless the reader did: in a folder that was read, or beside a file."""
    folder = path if path.is_dir() else path.parent
    return rows if rows.folder is not None or not folder.is_dir() else replace(rows, folder=folder)


def _readers(catalog: Catalog) -> list[tuple[ReaderSpec, PluginSource]]:
    return list(catalog.specs(ReaderSpec))


def _claims(path: Path, catalog: Catalog, *, is_folder: bool) -> Iterator[tuple[int, ReaderSpec, PluginSource]]:
    """Find the readers that take a path, with the length of the suffix or pattern that says so: 0 where any file will do."""
    for spec, source in _readers(catalog):
        if is_folder:
            fits = [pattern for pattern in spec.folder_patterns if next(path.glob(pattern), None) is not None]
        else:
            fits = [suffix for suffix in spec.suffixes if path.name.endswith(suffix)]
        if fits:
            yield max(map(len, fits)), spec, source


def _one(path: str, fitting: Sequence[tuple[ReaderSpec, PluginSource]]) -> ReaderSpec:
    if len(fitting) > 1:
        ways = [f"'{source.distribution}/{spec.name}'" for spec, source in fitting]
        raise UnreadableFile(path, f"{' and '.join(ways)} both read it. Say which with data.reader.")
    return fitting[0][0]


def _run(path: Path, spec: ReaderSpec, chosen: ResolvedComponent[ReaderSpec] | None) -> Rows:
    same = chosen is not None and chosen.spec is spec
    return spec.read(path, chosen.config if chosen and same else parse_config(spec.config, {}, f"reader '{spec.name}'"))


def _nobody_reads(catalog: Catalog, *, is_folder: bool) -> str:
    kinds = (spec.folder_patterns if is_folder else spec.suffixes for spec, _ in _readers(catalog))
    known = join_words(sorted({kind.rpartition("/")[2].lower() for some in kinds for kind in some if kind}))
    if is_folder:
        return f"no reader takes this folder. Readers look for {known} in it."
    return f"no reader takes files of this kind. Readers take {known}."


# --- tables


def _checked_table(data: Any, what: str) -> pa.Table:
    try:
        table = _table(data)
    except (pa.ArrowException, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UnsupportedData(what, f"cannot be made into columns ({error})") from None
    if table is None:
        raise UnsupportedData(what, f"are of the type {type(data).__name__}")
    names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnsupportedData(what, f"have more than one column named {join_words(map(repr, twice))}")
    return table


def _table(data: Any) -> pa.Table | None:
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}"  # no library is imported to find out
    if isinstance(data, pa.Table):
        return data
    if kind == "datasets.Dataset":
        return arrow_of(data)
    if kind == "datasets.DatasetDict":
        raise ValueError(f"they are a DatasetDict; choose one of its parts {join_words(data)}")
    if isinstance(data, Mapping):
        return pa.table({name: _column(name, values) for name, values in data.items()})
    if isinstance(data, Sequence):
        names = dict.fromkeys(name for row in data for name in row.keys())  # noqa: SIM118, a row that is no dict raises
        return pa.table({name: _column(name, [row.get(name) for row in data]) for name in names})
    if kind == "pandas.DataFrame":
        return pa.Table.from_pandas(data, preserve_index=False)
    return None


def arrow_of(dataset: "Dataset") -> pa.Table:
    """Give the columns of a dataset as an Arrow table, memory-mapped where the dataset is."""
    return dataset.with_format("arrow")[:]


def _column(name: object, values: Any) -> pa.Array:
    """Make a column. Where numbers and texts do not mix, NaN and pandas' NA may stand among texts as missing."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        problem = f"column {name!r}: {error}"
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise ValueError(problem) from None


@dataclass(eq=False)
class UnsupportedData(TaskgraftError):
    """Something that is not data."""

    what: str
    problem: str

    def __str__(self) -> str:
        kinds = "a path, a Dataset, a DataFrame, an Arrow table, a list of dicts or a dict of columns"
        return f"{self.what} {self.problem}. Give {kinds}."
