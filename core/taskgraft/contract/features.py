"""Features: what a backbone emits and a head reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from taskgraft.contract.batch import Batch, length_mask
from taskgraft.contract.descriptions import Layout

ELEMENT_AXIS = "element"
"""The name of the axis that counts the elements of an example."""

_TRANSFORM, _SIZES = "place", "sizes"
"""Names of the two tensors of a geometry in a batch of features."""


@dataclass(frozen=True)
class GridGeometry:
    """The position of grids in the raw input of each example.

    Attributes:
        transform: ``(batch, 2, 3)`` float32. Maps a position in the grid, (x, y, 1) with x and y from -1 to 1 between the outer
            edges of the first and the last cell, to the position in the raw input, x and y likewise from -1 to 1 between its
            edges: the theta of :func:`torch.nn.functional.affine_grid` (with ``align_corners=False``).
        sizes: ``(batch, 2)`` int64: height and width of the raw input, in its own positions.
    """

    transform: Tensor
    sizes: Tensor

    def select(self, rows: Sequence[int]) -> "GridGeometry":
        """Select examples."""
        return GridGeometry(self.transform[list(rows)], self.sizes[list(rows)])


@dataclass(frozen=True)
class Features:
    """Features of a batch in one layout.

    Attributes:
        layout: determines the axes (:data:`taskgraft.contract.descriptions.AXES`).
        values: floating-point tensors: one, or one per level of a pyramid, finest first.
        lengths: ``(batch,)`` int64, the number of elements of each example, for sequence and pair; else None. Positions
            past the length hold any value.
        geometry: the position of the grids in the raw input, for grid and pyramid, if the backbone knows it; else None.
    """

    layout: Layout
    values: tuple[Tensor, ...]
    lengths: Tensor | None = None
    geometry: GridGeometry | None = None

    @property
    def value(self) -> Tensor:
        """The only tensor (of a pyramid, the coarsest level)."""
        return self.values[-1]

    @property
    def mask(self) -> Tensor:
        """The padding mask, ``(batch, element)`` bool, True at real elements. Only for sequence and pair."""
        if self.lengths is None:
            raise ValueError(f"{self.layout} features have no elements, so no mask")
        return length_mask(self.lengths, self.value.shape[1])

    def __len__(self) -> int:
        return self.value.shape[0]

    def select(self, rows: Sequence[int]) -> "Features":
        """Select examples. Padding stays."""
        values = tuple(value[list(rows)] for value in self.values)
        lengths = None if self.lengths is None else self.lengths[list(rows)]
        return Features(self.layout, values, lengths, None if self.geometry is None else self.geometry.select(rows))


def features_to_batch(features: Features) -> Batch:
    """Convert features to a batch, so that they can be cached, split and collated."""
    tensors = {str(level): value for level, value in enumerate(features.values)}
    if features.geometry is not None:
        tensors |= {_TRANSFORM: features.geometry.transform, _SIZES: features.geometry.sizes}
    if features.lengths is None:
        return Batch(tensors)
    axes = (ELEMENT_AXIS,) if features.layout == Layout.SEQUENCE else (ELEMENT_AXIS, ELEMENT_AXIS)
    return Batch(tensors, dict.fromkeys(tensors, axes), {ELEMENT_AXIS: features.lengths})


def batch_to_features(batch: Batch, layout: Layout) -> Features:
    """Convert a batch made by :func:`features_to_batch` back to features."""
    values = tuple(batch[name] for name in batch.tensors if name not in (_TRANSFORM, _SIZES))
    geometry = GridGeometry(batch[_TRANSFORM], batch[_SIZES]) if _TRANSFORM in batch.tensors else None
    return Features(layout, values, batch.lengths.get(ELEMENT_AXIS), geometry)
