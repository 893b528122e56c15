"""Features of rows as NumPy arrays without padding: collected from batches, put into row order, joined."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from taskgraft.contract.batch import RowIndices
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.inference.errors import InferenceError

_Values = NDArray[np.float32]
_Lengths = NDArray[np.int64]


@dataclass(frozen=True)
class RaggedFeatures:
    """Features of rows.

    Attributes:
        layout: names the axes of one row (:data:`taskgraft.contract.descriptions.AXES`, without the batch).
        values: float32, ``(row, …)``; for sequence ``(element, feature)``, the elements of all rows one after another,
            without padding.
        lengths: ``(row,)`` int64, elements of each row, for sequence; else None.
    """

    layout: Layout
    values: _Values
    lengths: _Lengths | None = None

    @property
    def starts(self) -> _Lengths | None:
        """The index of each row's first element in ``values``: ``(row,)`` int64, for sequence; else None."""
        return None if self.lengths is None else _row_starts(self.lengths)

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes that all rows share: those of one row, or for sequence those of one element."""
        return self.values.shape[1:]

    def __len__(self) -> int:
        return len(self.values if self.lengths is None else self.lengths)

    def __iter__(self) -> Iterator[_Values]:
        """Iterate over the rows, without padding."""
        return iter(self.values if self.lengths is None else np.split(self.values, self.lengths.cumsum()[:-1]))

    def take(self, rows: Sequence[int]) -> "RaggedFeatures":
        """Select rows, in the order given."""
        if self.lengths is None:
            return RaggedFeatures(self.layout, self.values[list(rows)])
        of_rows = list(self)
        return RaggedFeatures(self.layout, np.concatenate([of_rows[row] for row in rows]), self.lengths[list(rows)])

    def to_arrow(self) -> pa.Array:
        """Convert to one value per row: nested lists of fixed size; for sequence, a list of such."""
        array = pa.array(self.values.reshape(-1))
        for size in reversed(self.shape):
            array = pa.FixedSizeListArray.from_arrays(array, size)
        if self.lengths is None:
            return array
        offsets = np.concatenate([[0], self.lengths.cumsum()]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), array)


def from_features(features: Features) -> RaggedFeatures:
    """Copy the features of a batch to main memory, without padding. Raises InferenceError for pairs of different shapes."""
    value, lengths = features.value.to("cpu", torch.float32), features.lengths
    if lengths is None:
        return RaggedFeatures(features.layout, value.numpy())
    if features.layout == Layout.PAIR:
        shortest, longest = int(lengths.min()), int(lengths.max())
        check_shapes(features.layout, (shortest,) * 2 + value.shape[3:], (longest,) * 2 + value.shape[3:])
        return RaggedFeatures(features.layout, value[:, :longest, :longest].numpy())
    return RaggedFeatures(features.layout, value[features.mask.cpu()].numpy(), lengths.cpu().numpy())


def check_shapes(layout: Layout, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Raise InferenceError if the features of two rows have different shapes."""
    if first != second:
        shapes = " and ".join(" × ".join(map(str, shape)) for shape in (first, second))
        raise InferenceError(
            f"The {layout} features of the rows have different shapes ({shapes}), so they do not fit into one array. "
            "Choose another layout, or give rows of one size."
        )


def in_row_order(batches: Sequence[tuple[RowIndices, RaggedFeatures]]) -> RaggedFeatures:
    """Join batches, given as row indices (together 0, 1, 2, …) and features of one shape, in row order."""
    first = batches[0][1]
    lengths = np.ones(sum(len(rows) for rows, _ in batches), np.int64)  # a row of fixed shape is one entry of `values`
    for rows, features in batches:
        if features.lengths is not None:
            lengths[rows] = features.lengths
    starts = _row_starts(lengths)
    values = np.empty((int(lengths.sum()), *first.shape), np.float32)
    for rows, features in batches:
        counts = lengths[rows]
        shifts = np.repeat(starts[rows] - _row_starts(counts), counts)
        values[shifts + np.arange(len(shifts))] = features.values
    return RaggedFeatures(first.layout, values, None if first.lengths is None else lengths)


def concat_features(chunks: Sequence[RaggedFeatures]) -> RaggedFeatures:
    """Join features of consecutive rows, which have one shape."""
    values = np.concatenate([chunk.values for chunk in chunks])
    lengths = [chunk.lengths for chunk in chunks if chunk.lengths is not None]
    return RaggedFeatures(chunks[0].layout, values, np.concatenate(lengths) if lengths else None)


def _row_starts(lengths: _Lengths) -> _Lengths:
    return lengths.cumsum() - lengths
