"""From rows to prepared examples: columns found, rows checked, inputs made."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import BackboneDescription
from taskgraft.contract.processor import ProcessedBatch
from taskgraft.contract.rows import InvalidRows, MissingColumn, Rows
from taskgraft.data.on_the_fly import OnTheFlyInputs
from taskgraft.data.tensor_cache import RowSource, TensorCache
from taskgraft.data.workers import parallel_map, worker_count
from taskgraft.errors import TaskgraftError, join_words

CHUNK, HEAVY_CHUNK = 1_024, 32
"""Rows that a processor prepares at a time; fewer where they are large and prepared by several processes."""


def match_columns(inputs: Any, description: BackboneDescription, rows: Rows, targets: Sequence[str]) -> dict[str, str]:
    """Decide which column feeds which input role.

    Args:
        inputs: a column, a list of columns in the order of the roles, role → column, or None to find out.

    Returns:
        role → column; for a backbone that reads any columns, column → column.

    Raises:
        InvalidInputs: when the roles cannot be filled.
        MissingColumn: for a column that the data do not have.
    """
    roles = description.inputs
    if not (inputs is None or isinstance(inputs, str | Mapping | Sequence)):
        raise InvalidInputs(tuple(role.name for role in roles), f"inputs is {inputs!r:.60}, which names no columns")
    if isinstance(inputs, Mapping):
        chosen = dict(inputs)
    elif not roles:
        named = [inputs] if isinstance(inputs, str) else inputs
        chosen = {name: name for name in named or [column for column in rows.columns if column not in targets]}
    elif inputs is None:
        chosen = {role.name: role.name for role in roles if role.name in rows.columns and role.name not in targets}
    else:
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        if len(names) > len(roles):
            raise InvalidInputs(
                tuple(role.name for role in roles), f"{len(names)} columns were named: {join_words(names)}"
            )
        chosen = {role.name: column for role, column in zip(roles, names, strict=False)}
    known = tuple(role.name for role in roles)
    if roles and (strange := [role for role in chosen if role not in known]):
        raise InvalidInputs(known, f"there is no input '{strange[0]}'")
    if missing := [role.name for role in roles if role.required and role.name not in chosen]:
        raise InvalidInputs(
            known, f"no column was named for '{missing[0]}', and {rows.source} has {join_words(rows.columns)}"
        )
    for column in chosen.values():
        if column not in rows.columns:
            raise MissingColumn(column, rows.source, rows.columns)
        if column in targets:
            raise InvalidInputs(known, f"the column '{column}' is to be predicted, so it cannot be read as well")
    return chosen


@dataclass(eq=False)
class InvalidInputs(TaskgraftError):
    """Columns that do not fill the inputs of a backbone."""

    roles: tuple[str, ...]
    problem: str

    def __str__(self) -> str:
        reads = join_words(self.roles) if self.roles else "the columns of a table"
        return f"The backbone reads {reads}, but {self.problem}. Say which columns to read with inputs=…."


@dataclass(frozen=True)
class ProcessedInputs:
    """Prepared inputs of a data set.

    Attributes:
        source: gives them.
        notes: what happened to how many rows.
        elements: how many elements each row has in the user's own input, where that is decided there.
        fresh: prepares them anew.
    """

    source: RowSource
    notes: Mapping[str, int]
    elements: Sequence[int] | None
    fresh: OnTheFlyInputs


def preprocess(
    rows: Rows, names: Mapping[str, str], backbone: Backbone, folder: Path, memory: int, workers: int | None = None
) -> ProcessedInputs:
    """Make all inputs, or refuse the rows that cannot be used.

    Args:
        folder: where files may be put.
        memory: bytes of prepared rows that are kept in memory. More lies in files, or is prepared anew when it is needed, as
            the processor wants it.
        workers: processes that prepare; None leaves it to the machine.

    Raises:
        InvalidRows: naming each of them.
    """
    fresh, kept = OnTheFlyInputs(rows, names, backbone), backbone.processor.cacheable
    store: TensorCache | None = TensorCache(folder, memory)
    notes, refused, elements, sizes = Counter[str](), dict[int, str](), list[int](), list[int]()
    for chunk, made in _prepared(fresh, kept=kept, workers=workers):
        refused |= {chunk[row]: reason for row, reason in made.invalid.items()}
        notes.update(made.notes)
        elements += made.elements or ()
        if not kept:
            sizes += _sizes(made.batch)
        if store is not None and not kept and store.bytes + made.batch.bytes > memory:
            store = None
        if store is not None:
            store.append(chunk, made.batch)
    if refused:
        raise InvalidRows(rows, refused)
    fresh.note_sizes(sizes)
    return ProcessedInputs(fresh if store is None else store.finish(), dict(notes), elements or None, fresh)


def _prepared(
    fresh: OnTheFlyInputs, *, kept: bool, workers: int | None
) -> Iterator[tuple[Sequence[int], ProcessedBatch]]:
    size = CHUNK if kept else HEAVY_CHUNK
    chunks = [range(start, min(start + size, len(fresh))) for start in range(0, len(fresh), size)]
    return zip(chunks, parallel_map(fresh.prepared, chunks, worker_count(workers, heavy=not kept)), strict=True)


def _sizes(batch: Batch) -> list[int]:
    """Count the real positions of each row, summed over its padded axes; 1 for rows of a fixed shape."""
    if not batch.lengths:
        return [1] * len(batch)
    return torch.stack(list(batch.lengths.values())).sum(0).tolist()


def check_elements(rows: Rows, elements: Sequence[int] | None, labels: Columns) -> None:
    """Refuse rows whose labels are not as many as their elements.

    Raises:
        InvalidRows: naming each of them.
    """
    (column, values), *_ = labels.items()
    counts = [len(value.split() if isinstance(value, str) else value) for value in values]
    wrong = {
        row: f"'{column}' has {count:,} labels for {have:,} elements"
        for row, (count, have) in enumerate(zip(counts, elements or counts, strict=True))
        if count != have
    }
    if wrong:
        raise InvalidRows(rows, wrong)
