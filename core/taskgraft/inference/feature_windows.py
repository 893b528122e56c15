"""Features of rows of any number, in their order: a window of rows at a time, sorted by length inside it."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, Rows
from taskgraft.data.batching import BatchBudget, inference_batches
from taskgraft.data.preprocessing import ProcessedInputs, preprocess
from taskgraft.data.tensor_cache import RowSource
from taskgraft.engine.feature_checks import check_features
from taskgraft.engine.memory import halve_on_oom
from taskgraft.engine.precision import OneDnnLinear, autocast
from taskgraft.inference.row_features import RaggedFeatures, check_alike, from_features, in_row_order
from taskgraft.progress import ProgressReporter

WINDOW, HEAVY_WINDOW = 4_096, 256
"""Rows that are prepared and sorted by length together; fewer where they are not to be written to files."""

MEMORY = 1 << 28
"""Bytes of prepared rows, and about as many of features, that are kept in memory."""


class ExtractionConfig(Config):
    """How features are computed."""

    batch_size: int = Field(default=32, ge=1, description="rows computed at once")
    batch_elements: int | None = Field(
        default=None,
        ge=1,
        description="elements computed at once, padding counted, where rows differ in length; a longer row goes alone",
    )
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="what is multiplied in")


@dataclass
class _Window:
    """Some of the prepared rows, next to each other, and what is known of their features so far.

    Attributes:
        rows: their numbers in ``inputs``.
    """

    inputs: RowSource
    rows: range
    found: list[tuple[Sequence[int], RaggedFeatures]] = field(default_factory=list)
    done: int = 0

    def add(self, rows: Sequence[int], features: RaggedFeatures) -> None:
        self.found.append(([row - self.rows.start for row in rows], features))
        self.done += len(rows)


@dataclass
class WindowedExtraction:
    """A pass over rows.

    Attributes:
        backbone: in eval mode.
        names: input role → column.
        pads: whether features stay the same among longer companions; found out on the first batch.
        notes: what happened to how many of the rows so far ("cut to 256 pieces" → 12).
        cost: bytes of features per position, about.
    """

    backbone: Backbone
    layout: Layout
    rows: Rows
    names: Mapping[str, str]
    settings: ExtractionConfig
    reporter: ProgressReporter
    pads: bool = True
    notes: Counter[str] = field(default_factory=Counter)
    cost: int = 1

    def features(self) -> Iterator[RaggedFeatures]:
        """Compute the features of all rows, some after others.

        Raises:
            InvalidRows: naming rows that cannot be used.
            FeatureShapeMismatch: for rows of different shapes.
        """
        first: RaggedFeatures | None = None
        count = -(-len(self.rows) // self.settings.batch_size)
        for window, batch in self.reporter.track(self._batches(), "computing features", count):
            for rows, features in halve_on_oom(batch, partial(self._computed, window.inputs)):
                window.add(rows, features)
            if window.done == len(window.rows):
                found = in_row_order(window.found)
                first = found if first is None else first
                check_alike(first, found)
                yield found

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((parameter.device for parameter in self.backbone.parameters()), torch.device("cpu"))

    def _batches(self) -> Iterator[tuple[_Window, Sequence[int]]]:
        size = self.settings.batch_size
        limit = BatchBudget(size, self.settings.batch_elements)
        step = max((WINDOW if self.backbone.processor.cacheable else HEAVY_WINDOW) // size, 1) * size
        for start in range(0, len(self.rows), step):
            with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
                inputs = self._prepared(range(start, min(start + step, len(self.rows))), Path(folder))
                self.notes.update(inputs.notes)
                if start == 0:
                    self._try(inputs.source)
                sizes = inputs.source.sizes()
                for rows in runs(sizes, size, MEMORY // self.cost):
                    window = _Window(inputs.source, rows)
                    for batch in inference_batches(sizes[rows.start : rows.stop], limit, even=not self.pads):
                        yield window, (rows.start + batch).tolist()

    def _prepared(self, rows: range, folder: Path) -> ProcessedInputs:
        try:
            return preprocess(self.rows.take(rows), self.names, self.backbone, folder, MEMORY)
        except InvalidRows as error:
            reasons = {rows.start + row: reason for row, reason in error.reasons.items()}
            raise InvalidRows(self.rows, reasons, FIX_ADVICE) from None

    @torch.no_grad()
    def _try(self, inputs: RowSource) -> None:
        """Find out on the first batch whether rows may be padded, and how large features are."""
        sizes = inputs.sizes()[: self.settings.batch_size]
        batch = inputs.gather(range(len(sizes))).to(self.device)
        self.pads = check_features(self.backbone, batch, self.layout, ()).padding_invariant
        longest = max(range(len(sizes)), key=lambda row: sizes[row])
        values = from_features(self.backbone(batch.select([longest]), self.layout)).values
        self.cost = max(values.nbytes // max(sizes[longest], 1), 1)

    @torch.no_grad()
    def _computed(self, inputs: RowSource, rows: Sequence[int]) -> RaggedFeatures:
        batch = inputs.gather(rows).to(self.device)
        with OneDnnLinear(), autocast(self.settings.precision, self.device):
            return from_features(self.backbone(batch, self.layout))


def runs(sizes: Sequence[int], size: int, most: int) -> Iterator[range]:
    """Cut rows into runs of whole batches, each run with no more positions than are allowed.

    Args:
        sizes: positions of each row.
        size: rows per batch. A single batch may exceed what is allowed.
    """
    start = total = 0
    for at in range(0, len(sizes), size):
        more = sum(sizes[at : at + size])
        if at > start and total + more > most:
            yield range(start, at)
            start, total = at, 0
        total += more
    yield range(start, len(sizes))
