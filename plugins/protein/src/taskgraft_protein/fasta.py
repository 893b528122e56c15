"""FASTA files: a header line ``>id description``, then the sequence on any number of lines, unchanged."""

import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskgraft.plugin import (
    FIX_ADVICE,
    LINE_VARIABLE,
    MAX_LINE_BYTES,
    ArrowSpool,
    InvalidRows,
    RecordWriter,
    Rows,
    UnreadableFile,
    limit,
    open_plain_or_gzip,
    read_file,
)
from taskgraft_protein.data_settings import COLUMNS, SUFFIXES, FastaConfig
from taskgraft_protein.residue_labels import split_labels, text_column

_Record = tuple[str | None, ...]
"""The id, the rest of the header, the sequence, and the groups of the pattern."""


def read_fasta(path: Path, config: FastaConfig) -> Rows:
    """Read a FASTA file, also gzipped. A record without an id or a sequence, or with the id of an earlier one, is invalid.

    A row without a label is valid here: training reports it, prediction does not need it.

    Raises:
        UnreadableFile: for a file that is not FASTA, or whose labels or table cannot be read.
        InvalidRows: for invalid records of the labels, or invalid rows of the table.
    """
    rows = _read_sequences(path, config)
    if config.labels is not None:
        rows = _with_labels(rows, path, config.labels, config.unresolved)
    return rows if config.table is None else _with_table(rows, path, config.table)


def read_fasta_columns(path: Path, config: FastaConfig, columns: Collection[str]) -> Rows:
    """Read the same records with these columns alone: without the labels and the table, unless one of the columns is there.

    Raises: as :func:`read_fasta`.
    """
    needed = set(columns) - set(COLUMNS)
    from_table = needed - set(config.names) - ({"labels"} if config.labels is not None else set())
    unneeded = {
        "label": needed.isdisjoint(config.names),
        "labels": "labels" not in needed,
        "table": not from_table,
    }
    return read_fasta(path, config.model_copy(update={name: None for name, unused in unneeded.items() if unused}))


def _read_sequences(path: Path, config: FastaConfig) -> Rows:
    names = (*COLUMNS, *config.names)
    with open_plain_or_gzip(path, "utf-8") as file, ArrowSpool() as spool:
        writer = RecordWriter[_Record](spool, lambda records: _table(names, records))
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=None)
        writer.take(_parse_records(path, lines, config))
        rows = writer.rows(path.name)
    if config.label is None:
        return rows
    without = np.logical_or.reduce([pc.is_null(rows.column(name)).to_numpy() for name in config.names])
    without[list(rows.invalid)] = False
    return replace(rows, remarks={"the header has no label": np.flatnonzero(without).tolist()})


def _parse_records(path: Path, lines: Iterable[str], config: FastaConfig) -> Iterator[tuple[int, _Record | str]]:
    """Give the line of each header with its record, or with a text that says why the record is invalid."""
    pattern = None if config.label is None else re.compile(config.label)
    first_lines: dict[str, int] = {}
    for line, header, sequence in _split_records(path, lines):
        identity, _, description = header.partition(" ")
        problem = _find_problem(header, sequence, first_lines.setdefault(identity, line), line)
        if problem is not None:
            yield line, problem
            continue
        match = pattern.search(header) if pattern is not None else None
        groups = (None,) * len(config.names) if match is None else match.groups()
        yield line, (identity, description.strip(), sequence, *groups)


def _split_records(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Give the line of each header, the header with tabs as spaces, and the sequence below it."""
    header_line, header, parts, size = 0, "", list[str](), 0
    most = limit(LINE_VARIABLE, MAX_LINE_BYTES)
    for line, text in enumerate(lines, 1):
        if text.startswith(">"):
            if header_line:
                yield header_line, header, "".join(parts)
            header_line, header, parts, size = line, text[1:].strip().replace("\t", " "), [], 0
        elif text.strip():
            if not header_line:
                raise UnreadableFile(str(path), f"line {line:,}: {_stray_line_error(text)}.")
            parts += text.split()
            size += len(text)
            if size > most:
                problem = f"the sequence has more than {most:,} letters; {LINE_VARIABLE} sets the limit"
                raise UnreadableFile(str(path), f"line {header_line:,}: {problem}.")
    if not header_line:
        raise UnreadableFile(str(path), "the file has no sequences; each needs a header, a line that begins with '>'.")
    yield header_line, header, "".join(parts)


def _stray_line_error(text: str) -> str:
    text = " ".join(text.split())
    if not text.isprintable():
        return "the line is not UTF-8 text. Save the file as UTF-8, with a header before each sequence, '>id'"
    return f"{text!r:.40} is before the first header, a line that begins with '>'"


def _find_problem(header: str, sequence: str, first: int, line: int) -> str | None:
    try:
        (header + sequence).encode()
    except UnicodeEncodeError as error:
        return f"the byte {ord(error.object[error.start]) - 0xDC00:#04x} is not UTF-8"
    if not header:
        return "the header has no id"
    if first != line:
        return f"the id {header.partition(' ')[0]!r:.60} is already on line {first:,}"
    return None if sequence else "there is no sequence below the header"


def _table(names: Sequence[str], records: Sequence[_Record | None]) -> pa.Table:
    missing: _Record = (None,) * len(names)
    columns = zip(*(record or missing for record in records), strict=True) if records else [()] * len(names)
    return pa.table({name: pa.array(column, pa.large_string()) for name, column in zip(names, columns, strict=True)})


# --- labels in other files


def _with_labels(rows: Rows, path: Path, name: str, unresolved: str) -> Rows:
    file = _companion_path(path, name)
    if "*" in name and not file.exists():
        return replace(rows, remarks={**rows.remarks, f"there is no file {file.name} with labels": range(len(rows))})
    labels = _read_sequences(file, FastaConfig())
    if labels.invalid:
        raise InvalidRows(labels, labels.invalid, FIX_ADVICE)
    matches = _matching_rows(rows, labels.column("id"))
    lines = labels.lines or ()
    lists, invalid = split_labels(
        rows.column("sequence"),
        labels.column("sequence").take(matches),
        None,
        unresolved,
        lambda row: f"{file.name}, line {lines[matches[row].as_py()]:,},",
    )
    return replace(
        rows,
        table=rows.table.append_column("labels", lists),
        invalid={**invalid, **rows.invalid},
        remarks={**rows.remarks, f"{file.name} has no labels": _unmatched_rows(rows, matches)},
    )


def _with_table(rows: Rows, path: Path, name: str) -> Rows:
    file = _companion_path(path, name)
    if "*" in name and not file.exists():
        return replace(rows, remarks={**rows.remarks, f"there is no table {file.name}": range(len(rows))})
    others = read_file(file)
    ids = text_column(others, "id")
    invalid, first = dict(others.invalid), dict[str, int]()
    for row, identity in enumerate(ids.to_pylist()):
        if identity is not None and first.setdefault(identity, row) != row:
            invalid.setdefault(row, f"the id {identity!r:.60} is already on {others.location(first[identity])}")
    if invalid:
        raise InvalidRows(others, invalid, FIX_ADVICE)
    matches, table = _matching_rows(rows, ids), rows.table
    for column in others.columns:
        if column == "id":
            continue
        if column in table.column_names:
            problem = f"it has a column '{column}', and so has {rows.source}. Rename it, or remove it."
            raise UnreadableFile(str(file), problem)
        table = table.append_column(column, others.column(column).take(matches))
    return replace(
        rows, table=table, remarks={**rows.remarks, f"{file.name} has no row": _unmatched_rows(rows, matches)}
    )


def _companion_path(path: Path, name: str) -> Path:
    """Give the path of a second file; ``*`` in its name stands for the first one's name without the suffix."""
    plain = path.name.removesuffix(".gz")
    stem = next((plain.removesuffix(suffix) for suffix in SUFFIXES if plain.endswith(suffix)), plain)
    return path.parent / name.replace("*", stem)


def _matching_rows(rows: Rows, ids: pa.ChunkedArray) -> pa.Array:
    """Find for each row the row of another table with the same id; null if there is none."""
    return pc.index_in(rows.column("id"), value_set=ids.combine_chunks(), skip_nulls=True).combine_chunks()


def _unmatched_rows(rows: Rows, matches: pa.Array) -> list[int]:
    return [row for row in np.flatnonzero(pc.is_null(matches)).tolist() if row not in rows.invalid]
