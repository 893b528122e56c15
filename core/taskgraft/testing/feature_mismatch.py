"""How features differ from their description."""

from taskgraft.contract.descriptions import FeatureDescription, Layout
from taskgraft.contract.features import Features, GridGeometry


def describe_mismatch(features: Features, description: FeatureDescription) -> str | None:
    """Describe how features differ from their description; None when they match."""
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
    return None if features.geometry is None else _geometry_mismatch(features, features.geometry)


def _geometry_mismatch(features: Features, geometry: GridGeometry) -> str | None:
    if features.layout not in (Layout.GRID, Layout.PYRAMID):
        return f"{features.layout} features have a geometry"
    shapes = tuple(geometry.transform.shape), tuple(geometry.sizes.shape)
    if shapes != ((len(features), 2, 3), (len(features), 2)):
        return (
            f"the geometry of {len(features)} rows has a transform of shape {shapes[0]} and sizes of shape {shapes[1]}"
        )
    return None
