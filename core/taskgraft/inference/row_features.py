"""Features of rows in their order, as plain arrays: put together from batches in any order, and joined."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.errors import TaskgraftError

Numbers = NDArray[np.float32]
Lengths = NDArray[np.int64]


@dataclass(frozen=True)
class RaggedFeatures:
    """Features of rows.

    Attributes:
        layout: says what the axes of one row are (:data:`taskgraft.contract.descriptions.AXES`, without the batch).
        values: float32, ``(row, …)``; for sequence ``(element, feature)``, the elements of all rows one after another,
            without padding.
        lengths: ``(row,)`` int64, elements of each row, for sequence; else None.
    """

    layout: Layout
    values: Numbers
    lengths: Lengths | None = None

    @property
    def starts(self) -> Lengths | None:
        """The place of each row's first element in ``values``: ``(row,)`` int64, for sequence; else None."""
        return None if self.lengths is None else _starts(self.lengths)

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes that all rows have in common: those of one row, or for sequence those of one element."""
        return self.values.shape[1:]

    def __len__(self) -> int:
        return len(self.values if self.lengths is None else self.lengths)

    def __iter__(self) -> Iterator[Numbers]:
        """Go through the rows; each without padding."""
        return iter(self.values if self.lengths is None else np.split(self.values, self.lengths.cumsum()[:-1]))


def from_features(features: Features) -> RaggedFeatures:
    """Take the features of a batch to the processor's memory, without padding.

    Raises:
        FeatureShapeMismatch: for pairs of rows with different numbers of elements.
    """
    value, lengths = features.value.to("cpu", torch.float32), features.lengths
    if lengths is None:
        return RaggedFeatures(features.layout, value.numpy())
    if features.layout == Layout.PAIR:
        first, other = int(lengths.min()), int(lengths.max())
        if first != other:
            raise FeatureShapeMismatch(features.layout, tuple((size, size, value.shape[-1]) for size in (first, other)))
        return RaggedFeatures(features.layout, value[:, :first, :first].numpy())
    return RaggedFeatures(features.layout, value[features.mask.cpu()].numpy(), lengths.cpu().numpy())


def in_row_order(batches: Sequence[tuple[Sequence[int], RaggedFeatures]]) -> RaggedFeatures:
    """Put the features of batches into the order of the rows.

    Args:
        batches: numbers of rows, and their features. Together the numbers are 0, 1, 2, ….

    Raises:
        FeatureShapeMismatch: for rows of different shapes.
    """
    first = _alike([features for _, features in batches])
    count = sum(len(rows) for rows, _ in batches)
    if first.lengths is None:
        values = np.empty((count, *first.shape), np.float32)
        for rows, features in batches:
            values[rows] = features.values
        return RaggedFeatures(first.layout, values)
    lengths = np.empty(count, np.int64)
    own = [_present(features.lengths) for _, features in batches]
    for (rows, _), some in zip(batches, own, strict=True):
        lengths[rows] = some
    starts = _starts(lengths)
    values = np.empty((int(lengths.sum()), *first.shape), np.float32)
    for (rows, features), some in zip(batches, own, strict=True):
        shift = np.repeat(starts[rows] - _starts(some), some)
        values[shift + np.arange(len(shift))] = features.values
    return RaggedFeatures(first.layout, values, lengths)


def joined(pieces: Sequence[RaggedFeatures]) -> RaggedFeatures:
    """Put features of rows one after another.

    Raises:
        FeatureShapeMismatch: for rows of different shapes.
    """
    first = _alike(pieces)
    values = np.concatenate([piece.values for piece in pieces])
    lengths = [piece.lengths for piece in pieces if piece.lengths is not None]
    return RaggedFeatures(first.layout, values, np.concatenate(lengths) if lengths else None)


def check_alike(one: RaggedFeatures, other: RaggedFeatures) -> None:
    """Refuse rows of different shapes, which no array holds.

    Raises:
        FeatureShapeMismatch: with both shapes.
    """
    if one.shape != other.shape:
        raise FeatureShapeMismatch(one.layout, (one.shape, other.shape))


def _starts(lengths: Lengths) -> Lengths:
    """Give the place of each row's first element."""
    return lengths.cumsum() - lengths


def _present(lengths: Lengths | None) -> Lengths:
    assert lengths is not None, "either all batches have lengths or none has"
    return lengths


def _alike(pieces: Sequence[RaggedFeatures]) -> RaggedFeatures:
    for piece in pieces:
        check_alike(pieces[0], piece)
    return pieces[0]


@dataclass(eq=False)
class FeatureShapeMismatch(TaskgraftError):
    """Features whose rows have different shapes."""

    layout: Layout
    shapes: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        shapes = " and ".join(" × ".join(map(str, shape)) for shape in self.shapes)
        return (
            f"The {self.layout} features of the rows have different shapes ({shapes}), so they cannot stand in one array. "
            "Ask for another layout, or give rows of one size."
        )
