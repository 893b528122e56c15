"""Preprocessing: rows processed to model inputs, and the result cached."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.processor import ProcessedBatch
from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, Rows
from taskgraft.data.on_the_fly import OnTheFlyInputs
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.processes.workers import parallel_map, worker_count
from taskgraft.reading.invalid_rows import OnBadRow, drop_invalid

_CHUNK, _HEAVY_CHUNK = 1_024, 32
"""Rows processed at a time; fewer where processed rows are large and several processes make them."""


@dataclass(frozen=True)
class ProcessedInputs:
    """The processed inputs of a data set.

    Attributes:
        source: the model inputs by row; ``on_the_fly`` processes or augments rows again.
        notes: what happened to how many rows ("cut to 256 pieces" → 12).
        elements: how many elements each row has in the user's own input, where the input decides that.
        invalid: row → why the processor cannot use it. It must be dropped before anything is gathered.
    """

    source: TensorCache | OnTheFlyInputs
    on_the_fly: OnTheFlyInputs
    notes: Mapping[str, int]
    elements: Sequence[int] | None
    invalid: Mapping[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> Rows:
        """The raw rows."""
        return self.on_the_fly.rows

    @property
    def all_notes(self) -> dict[str, int]:
        """What a user should know of these rows: what the reader remarked, what was skipped, and what the processor did."""
        return {**self.rows.notes, **self.notes}

    def drop(
        self, reasons: Mapping[int, str], on_bad_row: OnBadRow, advice: str = FIX_OR_SKIP_ADVICE
    ) -> "ProcessedInputs":
        """Drop invalid rows, or raise, as :func:`drop_invalid` does. The others are not processed again."""
        rows = drop_invalid(self.rows, reasons, on_bad_row, advice)
        if not reasons:
            return self
        kept = [row for row in range(len(self.rows)) if row not in reasons]
        notes = Counter(self.notes)
        if notes:  # the processor counts over many rows, so what it notes on the dropped ones is subtracted
            for _, dropped in _process_chunks(self.on_the_fly, sorted(reasons), heavy=True, workers=0):
                notes -= Counter(dropped.notes)
        on_the_fly = self.on_the_fly.replace_rows(rows, kept)
        source = self.source.take(kept) if isinstance(self.source, TensorCache) else on_the_fly
        elements = None if self.elements is None else [self.elements[row] for row in kept]
        return ProcessedInputs(source, on_the_fly, notes, elements)


def preprocess(
    rows: Rows, names: Mapping[str, str], backbone: Backbone, folder: Path, memory: int, workers: int | None = None
) -> ProcessedInputs:
    """Process all inputs. Invalid rows are reported in the result.

    Args:
        names: input role → column.
        folder: where files may be written.
        memory: bytes of processed rows to cache in memory. More is cached in files, or processed on the fly when needed; the
            processor decides which.
        workers: processes; None chooses by the machine.
    """
    on_the_fly, cacheable = OnTheFlyInputs(rows, names, backbone), backbone.processor.cacheable
    cache: TensorCache | None = TensorCache(folder, memory)
    notes, invalid, elements, sizes = Counter[str](), dict[int, str](), list[int](), list[int]()
    for chunk, processed in _process_chunks(on_the_fly, range(len(rows)), heavy=not cacheable, workers=workers):
        invalid |= {chunk[row]: reason for row, reason in processed.invalid.items()}
        notes.update(processed.notes)
        elements += processed.elements or ()
        if not cacheable:
            sizes += _sizes(processed.batch)
        if cache is not None and not cacheable and cache.bytes + processed.batch.bytes > memory:
            cache = None
        if cache is not None:
            cache.append(chunk, processed.batch)
    if not cacheable:
        on_the_fly.set_sizes(sizes)
    source = on_the_fly if cache is None else cache.finish()
    return ProcessedInputs(source, on_the_fly, dict(notes), elements or None, invalid)


def label_count_mismatches(elements: Sequence[int] | None, labels: Columns) -> dict[int, str]:
    """Find rows whose number of labels is not their number of elements: row → what is wrong.

    Args:
        elements: of each row; None where the user's input does not decide them, and nothing is compared.
        labels: the target column → for each row a sequence of labels, or a text with spaces between them.
    """
    (column, values), *_ = labels.items()
    counts = [len(value.split() if isinstance(value, str) else value) for value in values]
    return {
        row: f"'{column}' has {count:,} labels for {expected:,} elements"
        for row, (count, expected) in enumerate(zip(counts, elements or counts, strict=True))
        if count != expected
    }


def _process_chunks(
    inputs: OnTheFlyInputs, rows: Sequence[int], *, heavy: bool, workers: int | None
) -> Iterator[tuple[Sequence[int], ProcessedBatch]]:
    size = _HEAVY_CHUNK if heavy else _CHUNK
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    return zip(chunks, parallel_map(inputs.process, chunks, worker_count(workers, heavy=heavy)), strict=True)


def _sizes(batch: Batch) -> list[int]:
    """Count the real positions of each row, summed over its padded axes; 1 for rows of a fixed shape."""
    if not batch.lengths:
        return [1] * len(batch)
    return torch.stack(list(batch.lengths.values())).sum(0).tolist()
