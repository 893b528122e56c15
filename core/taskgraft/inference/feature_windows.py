"""Features of any number of rows in bounded memory: window after window, in row order."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.data.batching import BatchBudget, IndexArray, inference_batches
from taskgraft.data.dataset import report_notes
from taskgraft.data.preprocessing import preprocess
from taskgraft.data.tensor_cache import RowSource
from taskgraft.engine.feature_checks import check_features
from taskgraft.engine.finite import features_not_finite
from taskgraft.engine.forward import forward_batches
from taskgraft.engine.precision import autocast
from taskgraft.engine.task_module import module_device
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.inference.row_features import RaggedFeatures, check_shapes, from_features, in_row_order
from taskgraft.inference.row_results import invalid_row_notes
from taskgraft.progress import ProgressReporter

WINDOW_ROWS, HEAVY_WINDOW_ROWS = 4_096, 256
"""Rows that are preprocessed and sorted by length together; fewer if processed rows are too large for cache files."""

FEATURE_ADVICE = 'Fix these rows, or leave them out: on_bad_row = "skip" (--on-bad-row skip).'
"""Ends the message on invalid rows."""

WINDOW_BYTES = 1 << 28
"""Bytes of processed rows, and about as many of features, that are held in memory."""


class ExtractionConfig(Config):
    """How features are computed."""

    batch_size: int = Field(default=32, ge=1, description="rows per forward pass")
    batch_elements: int | None = Field(
        default=None,
        ge=1,
        description="elements per forward pass, padding included, if rows differ in length; a longer row is a batch alone",
    )
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="precision of matrix products")
    on_bad_row: Literal["error", "skip"] = Field(
        default="error", description="list invalid rows and stop, or leave them out"
    )


@dataclass
class WindowedExtraction:
    """What to extract, checked without reading any weights.

    Attributes:
        notes: what happened to how many of the rows so far, as a result has it.
        invalid: row → why it was left out, for the rows so far.
    """

    layout: Layout
    rows: Rows
    columns: Mapping[str, str]
    settings: ExtractionConfig
    reporter: ProgressReporter
    notes: Counter[str] = field(default_factory=Counter)
    invalid: dict[int, str] = field(default_factory=dict)

    def features(self, backbone: Backbone) -> Iterator[RaggedFeatures]:
        """Compute the features of all valid rows, in chunks of consecutive ones; at the end report the notes.

        Args:
            backbone: in eval mode.

        Raises:
            InvalidRows: listing all invalid rows, if they are an error or no other row is left.
            InferenceError: for rows of different shapes.
        """
        shape: tuple[int, ...] | None = None
        chunk: list[tuple[RowIndices, RaggedFeatures]] = []
        batch_count = -(-len(self.rows) // self.settings.batch_size)
        for rows, (features, wrong), chunk_rows, missing in self.reporter.track(
            self._batches(backbone), "computing features", batch_count
        ):
            shape = features.shape if shape is None else shape
            check_shapes(self.layout, shape, features.shape)
            chunk.append((rows, features))
            self.invalid |= {int(chunk_rows[rows[place]]): reason for place, reason in wrong.items()}
            if missing:
                continue
            complete, chunk = in_row_order(chunk), []
            kept = [place for place, row in enumerate(chunk_rows.tolist()) if row not in self.invalid]
            if self.invalid and self.settings.on_bad_row == "error":
                raise InvalidRows(self.rows, self.invalid, FEATURE_ADVICE)
            if kept:
                yield complete if len(kept) == len(complete) else complete.take(kept)
        self.notes.update(invalid_row_notes(self.invalid, "skip"))
        report_notes(self.reporter, self.notes, self.rows, "rows")

    def _batches(
        self, backbone: Backbone
    ) -> Iterator[tuple[IndexArray, tuple[RaggedFeatures, Mapping[int, str]], IndexArray, int]]:
        """Yield for each batch the places of its rows in a chunk, their features and why some of these are not finite, the
        rows of the chunk, and how many of them it still lacks.
        """
        device = module_device(backbone)
        budget = BatchBudget(self.settings.batch_size, self.settings.batch_elements)
        checks: tuple[bool, int] | None = None

        def compute(batch: Batch) -> tuple[RaggedFeatures, Mapping[int, str]]:
            with autocast(self.settings.precision, device):
                features = backbone(batch, self.layout)
            return from_features(features), features_not_finite(features)

        for inputs, valid in self._windows(backbone):
            padding_invariant, cost = checks = checks or self._inspect_first_batch(inputs, backbone)
            sizes = inputs.sizes()
            for chunk in split_into_chunks(sizes, budget.rows, WINDOW_BYTES // cost):
                order = inference_batches(sizes[chunk.start : chunk.stop], budget, even=not padding_invariant)
                batches = [chunk.start + rows for rows in order]
                missing = len(chunk)
                for rows, features in forward_batches(inputs, batches, device, compute):
                    missing -= len(rows)
                    yield np.asarray(rows) - chunk.start, features, valid[chunk.start : chunk.stop], missing

    def _windows(self, backbone: Backbone) -> Iterator[tuple[RowSource, IndexArray]]:
        """Yield the valid rows of each window, processed, and their indices."""
        size = self.settings.batch_size
        step = max((WINDOW_ROWS if backbone.processor.cacheable else HEAVY_WINDOW_ROWS) // size, 1) * size
        for start in range(0, len(self.rows), step):
            with temporary_folder() as folder:
                rows = self.rows.take(range(start, min(start + step, len(self.rows))))
                processed = preprocess(rows, self.columns, backbone, folder, WINDOW_BYTES)
                self.invalid |= {start + row: reason for row, reason in processed.invalid.items()}
                if len(processed.invalid) == len(rows) or (self.invalid and self.settings.on_bad_row == "error"):
                    continue  # nothing more is computed, but all invalid rows are listed
                valid = [start + row for row in range(len(rows)) if row not in processed.invalid]
                processed = processed.drop(processed.invalid, "skip")
                self.notes.update(processed.notes)
                yield processed.source, np.array(valid, np.int64)
        if self.invalid and (self.settings.on_bad_row == "error" or len(self.invalid) == len(self.rows)):
            raise InvalidRows(self.rows, self.invalid, FEATURE_ADVICE)

    @torch.no_grad()
    def _inspect_first_batch(self, inputs: RowSource, backbone: Backbone) -> tuple[bool, int]:
        """Return whether rows may be padded, and about how many bytes the features of one position take."""
        sizes = inputs.sizes()[: self.settings.batch_size]
        batch = inputs.gather(range(len(sizes))).to(module_device(backbone))
        padding_invariant = check_features(backbone, batch, self.layout, ()).padding_invariant
        longest = max(range(len(sizes)), key=lambda row: sizes[row])
        values = from_features(backbone(batch.select([longest]), self.layout)).values
        return padding_invariant, max(values.nbytes // max(sizes[longest], 1), 1)


def split_into_chunks(sizes: Sequence[int], batch_size: int, limit: int) -> Iterator[range]:
    """Split rows of these sizes into chunks of whole batches. A single batch may exceed the limit, the others do not."""
    start = total = 0
    for row in range(0, len(sizes), batch_size):
        positions = sum(sizes[row : row + batch_size])
        if row > start and total + positions > limit:
            yield range(start, row)
            start, total = row, 0
        total += positions
    yield range(start, len(sizes))
