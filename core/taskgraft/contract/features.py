"""What a backbone emits and a head reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from taskgraft.contract.batch import Batch, length_mask
from taskgraft.contract.descriptions import FeatureDescription, Layout

ELEMENT_AXIS = "element"
"""The name of the axis that counts the elements of an example."""

PLACE, SIZES = "place", "sizes"
"""The names of the two tensors of a place where features are stored."""


@dataclass(frozen=True)
class GridGeometry:
    """Where grids lie in the raw input of each example.

    Attributes:
        transform: ``(batch, 2, 3)`` float32. A position in the grid, (x, y, 1) with x and y from -1 to 1 between the outer
            edges of the first and the last cell, times this gives the position in the raw input, x and y alike from -1 to 1
            between its edges: what :func:`torch.nn.functional.affine_grid` calls theta (with ``align_corners=False``).
        sizes: ``(batch, 2)`` int64: height and width of the raw input, in its own positions.
    """

    transform: Tensor
    sizes: Tensor

    def select(self, rows: Sequence[int]) -> "GridGeometry":
        """Take some examples."""
        return GridGeometry(self.transform[list(rows)], self.sizes[list(rows)])


@dataclass(frozen=True)
class Features:
    """Features of a batch in one layout.

    Attributes:
        layout: says what the axes are (:data:`taskgraft.contract.descriptions.AXES`).
        values: floating-point tensors, one; for a pyramid one per level, finest first.
        lengths: ``(batch,)`` int64, elements of each example, for sequence and pair; else None. Positions past the
            length hold anything.
        geometry: where the grids lie in the raw input, for grid and pyramid, when the backbone knows; else None.
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
        """``(batch, element)`` bool, True at real elements. Only for sequence and pair."""
        if self.lengths is None:
            raise ValueError(f"{self.layout} features have no elements, so no mask")
        return length_mask(self.lengths, self.value.shape[1])

    def __len__(self) -> int:
        return self.value.shape[0]

    def select(self, rows: Sequence[int]) -> "Features":
        """Take some examples. Padding stays."""
        values = tuple(value[list(rows)] for value in self.values)
        lengths = None if self.lengths is None else self.lengths[list(rows)]
        return Features(self.layout, values, lengths, None if self.geometry is None else self.geometry.select(rows))


def features_to_batch(features: Features) -> Batch:
    """Turn features into a batch, so that they can be stored, split and collated."""
    tensors = {str(level): value for level, value in enumerate(features.values)}
    if features.geometry is not None:
        tensors |= {PLACE: features.geometry.transform, SIZES: features.geometry.sizes}
    if features.lengths is None:
        return Batch(tensors)
    axes = (ELEMENT_AXIS,) if features.layout == Layout.SEQUENCE else (ELEMENT_AXIS, ELEMENT_AXIS)
    return Batch(tensors, dict.fromkeys(tensors, axes), {ELEMENT_AXIS: features.lengths})


def batch_to_features(batch: Batch, layout: Layout) -> Features:
    """Turn a batch made by :func:`features_to_batch` back into features."""
    values = tuple(batch[name] for name in batch.tensors if name not in (PLACE, SIZES))
    place = GridGeometry(batch[PLACE], batch[SIZES]) if PLACE in batch.tensors else None
    return Features(layout, values, batch.lengths.get(ELEMENT_AXIS), place)


def describe_mismatch(features: Features, description: FeatureDescription) -> str | None:
    """Say in what features differ from their description, or None when they match."""
    if features.layout != description.layout:
        return f"the layout is {features.layout}, described as {description.layout}"
    grid = features.layout in (Layout.GRID, Layout.PYRAMID)
    sizes = tuple(value.shape[1 if grid else -1] for value in features.values)
    if sizes != description.feature_sizes:
        return f"the feature size is {sizes}, described as {description.feature_sizes}"
    axes = {Layout.VECTOR: 2 if description.ensemble_size is None else 3, Layout.SEQUENCE: 3}.get(features.layout, 4)
    if any(value.dim() != axes for value in features.values):
        return f"{features.layout} features have the shape {tuple(features.value.shape)}, described with {axes} axes"
    if description.ensemble_size is not None and features.value.shape[1] != description.ensemble_size:
        return f"there are {features.value.shape[1]} members, described as {description.ensemble_size}"
    if (features.lengths is None) == (features.layout in (Layout.SEQUENCE, Layout.PAIR)):
        return f"{features.layout} features {'lack' if features.lengths is None else 'have'} lengths"
    return None if features.geometry is None else _misplaced(features, features.geometry)


def _misplaced(features: Features, place: GridGeometry) -> str | None:
    if features.layout not in (Layout.GRID, Layout.PYRAMID):
        return f"{features.layout} features have a place"
    shapes = tuple(place.transform.shape), tuple(place.sizes.shape)
    if shapes != ((len(features), 2, 3), (len(features), 2)):
        return f"the place of {len(features)} rows has a transform of the shape {shapes[0]} and sizes of {shapes[1]}"
    return None
