"""A label per residue, written as one letter each: texts made into the lists that ``element-classification`` reads."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from taskgraft.plugin import ArrowSpool, Rows, UnreadableFile, read_file
from taskgraft_protein.data_settings import ResidueLabelsConfig


def read_residue_labels(path: Path, config: ResidueLabelsConfig) -> Rows:
    """Read sequences with labels as another reader does, and make the labels lists. Rows without a label keep none.

    Raises:
        UnreadableFile: for a file that no reader takes, or a column that holds no text.
        MissingColumn: for a column that is needed to read the labels.
    """
    rows = read_file(path, config.reader)
    if config.labels not in rows.columns:
        return rows
    texts, labels = text_column(rows, config.sequence), text_column(rows, config.labels)
    resolved = None if config.resolved is None else text_column(rows, config.resolved)
    found, refused = spelled(texts, labels, resolved, config.unresolved, lambda row: f"'{config.labels}'")
    table = rows.table.set_column(rows.columns.index(config.labels), config.labels, found)
    return replace(rows, table=table, invalid={**refused, **rows.invalid})


def spelled(
    sequences: pa.ChunkedArray,
    labels: pa.ChunkedArray,
    resolved: pa.ChunkedArray | None,
    unresolved: str,
    what: Callable[[int], str],
) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Take texts of labels apart.

    Args:
        sequences: texts, as ``labels`` are and ``resolved``; a row is missing where nothing is known of it.
        resolved: a 1 for each residue whose label counts; None where all do.
        unresolved: letters that are no label.
        what: what messages call the labels of a row.

    Returns:
        lists of texts, with None where a residue has no label; and why some rows cannot be used.
    """
    refused: dict[int, str] = {}
    with ArrowSpool() as spill:
        for start in range(0, max(len(labels), 1), ROWS_AT_ONCE):
            rows = list(_pieces(start, sequences, labels, resolved))
            found = [_letters(row, texts, unresolved, what, refused) for row, texts in rows]
            spill.write(pa.table({"labels": pa.array(found, pa.list_(pa.string()))}))
        return spill.finish().column("labels"), refused


def text_column(rows: Rows, name: str) -> pa.ChunkedArray:
    """Give a column as texts.

    Raises:
        MissingColumn: when there is no such column.
        UnreadableFile: when it holds lists, or anything else that is no text.
    """
    column = rows.column(name)
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException:
        raise UnreadableFile(
            rows.source, f"the column '{name}' holds {column.type} values, where a text is read."
        ) from None


ROWS_AT_ONCE = 4_096
"""Rows whose labels are in memory at a time."""

Texts = tuple[str | None, str | None, str | None]
"""A sequence, its labels, and which of them count."""


def _pieces(
    start: int, sequences: pa.ChunkedArray, labels: pa.ChunkedArray, resolved: pa.ChunkedArray | None
) -> Iterator[tuple[int, Texts]]:
    columns = [
        [None] * ROWS_AT_ONCE if column is None else column.slice(start, ROWS_AT_ONCE).to_pylist()
        for column in (sequences, labels, resolved)
    ]
    return enumerate(zip(*columns, strict=False), start)  # of a last piece there is less than of nothing


def _letters(
    row: int, texts: Texts, unresolved: str, what: Callable[[int], str], refused: dict[int, str]
) -> list[str | None] | None:
    sequence, labels, resolved = texts
    if not sequence or not labels:
        return None
    sequence = sequence.removesuffix("*")  # the end of translation is no residue
    if len(labels) != len(sequence):
        refused[row] = f"{what(row)} has the length {len(labels):,}, the sequence the length {len(sequence):,}"
        return None
    if resolved is None:
        return [None if letter in unresolved else letter for letter in labels]
    if len(resolved) != len(sequence) or set(resolved) - {"0", "1"}:
        refused[row] = f"{resolved!r:.60} does not say with 0 and 1 which of {len(sequence):,} residues have a label"
        return None
    pairs = zip(labels, resolved, strict=True)
    return [None if seen == "0" or letter in unresolved else letter for letter, seen in pairs]
