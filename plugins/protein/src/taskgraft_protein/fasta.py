"""FASTA: a header line ``>id description``, then the sequence on any number of lines, kept letter for letter."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.plugin import (
    FIX_ADVICE,
    ArrowSpool,
    InvalidRows,
    RecordWriter,
    Rows,
    UnreadableFile,
    open_plain_or_gzip,
    read_file,
)
from taskgraft_protein.data_settings import COLUMNS, SUFFIXES, FastaConfig
from taskgraft_protein.residue_labels import spelled, text_column

Record = tuple[str | None, ...]
"""The id, the rest of the header, the sequence, and what the pattern finds in the header."""


def read_fasta(path: Path, config: FastaConfig) -> Rows:
    """Read a FASTA file, also gzipped. A record that lacks an id or a sequence, or whose id came before, is refused.

    A row has a label where there is one: who learns from it asks for it, who predicts does not need it.

    Raises:
        UnreadableFile: for a file that is no FASTA, or whose labels or table cannot be read.
        InvalidRows: for records of the labels, or rows of the table, that cannot be used.
    """
    rows = _sequences(path, config)
    if config.labels is not None:
        rows = _with_labels(rows, path, config.labels, config.unresolved)
    return rows if config.table is None else _with_table(rows, path, config.table)


def _sequences(path: Path, config: FastaConfig) -> Rows:
    names = (*COLUMNS, *config.names)
    with open_plain_or_gzip(path) as file, ArrowSpool() as spill:
        records = RecordWriter[Record](spill, lambda some: _table(names, some))
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=None)
        records.take(_records(path, lines, config))
        rows = records.rows(path.name)
    if config.label is None:
        return rows
    without = np.logical_or.reduce([pc.is_null(rows.column(name)).to_numpy() for name in config.names])
    without[list(rows.invalid)] = False
    return replace(rows, remarks={"the header has no label": np.flatnonzero(without).tolist()})


def _records(path: Path, lines: Iterable[str], config: FastaConfig) -> Iterator[tuple[int, Record | str]]:
    """Go through records by the line of their header; a text says what is wrong with one."""
    pattern = None if config.label is None else re.compile(config.label)
    known: dict[str, int] = {}
    for number, header, sequence in _headed(path, lines):
        identity, _, description = header.partition(" ")
        problem = _problem(header, sequence, known.setdefault(identity, number), number)
        if problem is not None:
            yield number, problem
            continue
        found = pattern.search(header) if pattern is not None else None
        groups = (None,) * len(config.names) if found is None else found.groups()
        yield number, (identity, description.strip(), sequence, *groups)


def _headed(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Give the line of each header, the header with its white space made even, and the sequence below it."""
    line, header, pieces = 0, "", list[str]()
    for number, text in enumerate(lines, 1):
        if text.startswith(">"):
            if line:
                yield line, header, "".join(pieces)
            line, header, pieces = number, text[1:].strip().replace("\t", " "), []
        elif text.strip():
            if not line:
                raise UnreadableFile(str(path), f"line {number:,}: {_stray(text)}.")
            pieces += text.split()
    if not line:
        raise UnreadableFile(str(path), "the file holds no sequence; each needs a header, a line that begins with '>'.")
    yield line, header, "".join(pieces)


def _stray(text: str) -> str:
    said = " ".join(text.split())
    if not said.isprintable():
        return "the line is no text in UTF-8. Save the file as such, with a header before each sequence, '>id'"
    return f"{said!r:.40} stands before the first header, a line that begins with '>'"


def _problem(header: str, sequence: str, first: int, number: int) -> str | None:
    try:
        (header + sequence).encode()
    except UnicodeEncodeError as error:
        return f"the byte {ord(error.object[error.start]) - 0xDC00:#04x} is not UTF-8"
    if not header:
        return "the header has no id"
    if first != number:
        return f"the id {header.partition(' ')[0]!r:.60} stands on line {first:,} already"
    return None if sequence else "there is no sequence below the header"


def _table(names: Sequence[str], records: Sequence[Record | None]) -> pa.Table:
    nothing: Record = (None,) * len(names)
    columns = zip(*(record or nothing for record in records), strict=True) if records else [()] * len(names)
    return pa.table({name: pa.array(column, pa.large_string()) for name, column in zip(names, columns, strict=True)})


# --- labels that stand elsewhere


def _with_labels(rows: Rows, path: Path, name: str, unresolved: str) -> Rows:
    file = _beside(path, name)
    if "*" in name and not file.exists():
        return replace(rows, remarks={**rows.remarks, f"there is no file {file.name} with labels": range(len(rows))})
    labels = _sequences(file, FastaConfig())
    if labels.invalid:
        raise InvalidRows(labels, labels.invalid, FIX_ADVICE)
    places = _places(rows, labels.column("id"))
    lines = labels.lines or ()
    found, refused = spelled(
        rows.column("sequence"),
        labels.column("sequence").take(places),
        None,
        unresolved,
        lambda row: f"{file.name}, line {lines[places[row].as_py()]:,},",
    )
    return replace(
        rows,
        table=rows.table.append_column("labels", found),
        invalid={**refused, **rows.invalid},
        remarks={**rows.remarks, f"{file.name} has no labels": _strangers(rows, places)},
    )


def _with_table(rows: Rows, path: Path, name: str) -> Rows:
    file = _beside(path, name)
    if "*" in name and not file.exists():
        return replace(rows, remarks={**rows.remarks, f"there is no table {file.name}": range(len(rows))})
    others = read_file(file)
    ids = text_column(others, "id")
    refused, first = dict(others.invalid), dict[str, int]()
    for row, one in enumerate(ids.to_pylist()):
        if one is not None and first.setdefault(one, row) != row:
            refused.setdefault(row, f"the id {one!r:.60} stands on {others.location(first[one])} already")
    if refused:
        raise InvalidRows(others, refused, FIX_ADVICE)
    places, table = _places(rows, ids), rows.table
    for column in others.columns:
        if column == "id":
            continue
        if column in table.column_names:
            raise UnreadableFile(
                str(file), f"it has a column '{column}', as {rows.source} has. Rename it, or take it out."
            )
        table = table.append_column(column, others.column(column).take(places))
    return replace(rows, table=table, remarks={**rows.remarks, f"{file.name} has no row": _strangers(rows, places)})


def _beside(path: Path, name: str) -> Path:
    """Find a file that belongs to another one."""
    plain = path.name.removesuffix(".gz")
    stem = next((plain.removesuffix(suffix) for suffix in SUFFIXES if plain.endswith(suffix)), plain)
    return path.parent / name.replace("*", stem)


def _places(rows: Rows, ids: pa.ChunkedArray) -> pa.Array:
    """Find the row of another table that each row belongs to, by its id; missing where there is none."""
    return pc.index_in(rows.column("id"), value_set=ids.combine_chunks(), skip_nulls=True).combine_chunks()


def _strangers(rows: Rows, places: pa.Array) -> list[int]:
    return [row for row in np.flatnonzero(pc.is_null(places)).tolist() if row not in rows.invalid]
