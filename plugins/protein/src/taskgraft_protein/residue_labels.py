"""One letter per residue as its label: split such texts into the lists that ``element-classification`` reads."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from taskgraft.plugin import ArrowSpool, Rows, UnreadableFile, read_file
from taskgraft_protein.data_settings import ResidueLabelsConfig

_BATCH_ROWS = 4_096
"""Rows whose labels are in memory at a time."""

_Texts = tuple[str | None, str | None, str | None]
"""A sequence, its labels, and which of them count."""


def read_residue_labels(path: Path, config: ResidueLabelsConfig) -> Rows:
    """Read sequences with labels by another reader, and split the labels. A row without labels has None.

    Raises:
        UnreadableFile: for a file that no reader takes, or a column that is not text.
        MissingColumn: for a column that is needed to read the labels.
    """
    rows = read_file(path, config.reader)
    if config.labels not in rows.columns:
        return rows
    texts, labels = text_column(rows, config.sequence), text_column(rows, config.labels)
    resolved = None if config.resolved is None else text_column(rows, config.resolved)
    lists, invalid = split_labels(texts, labels, resolved, config.unresolved, lambda row: f"'{config.labels}'")
    table = rows.table.set_column(rows.columns.index(config.labels), config.labels, lists)
    return replace(rows, table=table, invalid={**invalid, **rows.invalid})


def read_residue_columns(path: Path, config: ResidueLabelsConfig, columns: Collection[str]) -> Rows:
    """Read the same sequences with these columns alone; labels are not read, and not checked, unless they are among them.

    Raises: as :func:`read_residue_labels`.
    """
    if config.labels in columns:
        return read_residue_labels(path, config)
    return read_file(path, config.reader, columns=columns)


def split_labels(
    sequences: pa.ChunkedArray,
    labels: pa.ChunkedArray,
    resolved: pa.ChunkedArray | None,
    unresolved: str,
    name: Callable[[int], str],
) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Split texts of labels into lists.

    Args:
        sequences: texts, like ``labels`` and ``resolved``; null where a row has none.
        resolved: a 1 for each residue whose label counts; None if all do.
        unresolved: letters that are not a label.
        name: row → what error messages call its labels.

    Returns:
        lists of texts, with None for a residue without a label; and the invalid rows, with the reason.
    """
    invalid: dict[int, str] = {}
    with ArrowSpool() as spool:
        for start in range(0, max(len(labels), 1), _BATCH_ROWS):
            batch = list(_batch(start, sequences, labels, resolved))
            lists = [_split(row, texts, unresolved, name, invalid) for row, texts in batch]
            spool.write(pa.table({"labels": pa.array(lists, pa.list_(pa.string()))}))
        return spool.finish().column("labels"), invalid


def text_column(rows: Rows, name: str) -> pa.ChunkedArray:
    """Give a column as texts.

    Raises:
        MissingColumn: if there is no such column.
        UnreadableFile: if it holds lists, or anything else that is not text.
    """
    column = rows.column(name)
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException:
        raise UnreadableFile(rows.source, f"the column '{name}' has the type {column.type}, not text.") from None


def _batch(
    start: int, sequences: pa.ChunkedArray, labels: pa.ChunkedArray, resolved: pa.ChunkedArray | None
) -> Iterator[tuple[int, _Texts]]:
    columns = [
        [None] * _BATCH_ROWS if column is None else column.slice(start, _BATCH_ROWS).to_pylist()
        for column in (sequences, labels, resolved)
    ]
    return enumerate(zip(*columns, strict=False), start)  # the last batch is shorter than the list of None


def _split(
    row: int, texts: _Texts, unresolved: str, name: Callable[[int], str], invalid: dict[int, str]
) -> list[str | None] | None:
    sequence, labels, resolved = texts
    if not sequence or not labels:
        return None
    sequence = sequence.removesuffix("*")  # a stop is not a residue
    if len(labels) != len(sequence):
        invalid[row] = f"{name(row)} has length {len(labels):,}, but the sequence has length {len(sequence):,}"
        return None
    if resolved is None:
        return [None if letter in unresolved else letter for letter in labels]
    if len(resolved) != len(sequence) or set(resolved) - {"0", "1"}:
        invalid[row] = f"{resolved!r:.60} is not a 0 or 1 for each of {len(sequence):,} residues"
        return None
    pairs = zip(labels, resolved, strict=True)
    return [None if seen == "0" or letter in unresolved else letter for letter, seen in pairs]
