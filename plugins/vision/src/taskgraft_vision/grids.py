"""Hidden states as grids: axis order, number of prefix tokens, and stride of what a model computes."""

from collections.abc import Sequence

from torch import Tensor

Size = tuple[int, int, int]
"""Channels, height and width of the pixels that a model reads."""


def prefix_length(tokens: int, size: Size) -> int | None:
    """Find the number of tokens before those of the patches, such that the patches form a grid; None if there is none."""
    return next((prefix for prefix in range(tokens) if _grid_shape(tokens - prefix, size) is not None), None)


def to_grid(hidden: Tensor, size: Size, prefix: int) -> Tensor | None:
    """Rearrange a hidden state to a grid, ``(batch, feature, height, width)``; None if it is not a grid.

    Args:
        hidden: ``(batch, feature, height, width)``, ``(batch, height, width, feature)`` or ``(batch, token, feature)``.
        prefix: number of tokens before those of the patches.
    """
    if hidden.dim() == 4:
        return hidden.permute(0, 3, 1, 2) if is_channels_last(hidden.shape, size) else hidden
    if hidden.dim() != 3:
        return None
    shape = _grid_shape(hidden.shape[1] - prefix, size)
    return None if shape is None else hidden[:, prefix:].transpose(1, 2).unflatten(2, shape)


def stride(shape: Sequence[int], size: Size) -> int:
    """Pixels per cell of a grid of shape ``(batch, feature, height, width)``."""
    return max(1, round(size[1] / shape[2]))


def is_channels_last(shape: Sequence[int], size: Size) -> bool:
    """Whether a grid has the axes ``(batch, height, width, feature)``: then the middle axes have the image's proportions."""

    def proportional(height: int, width: int) -> bool:
        return round(size[1] / height) == round(size[2] / width) > 0

    return proportional(shape[1], shape[2]) and not proportional(shape[2], shape[3])


def _grid_shape(count: int, size: Size) -> tuple[int, int] | None:
    """Find the height and width of a grid of this many cells, in the proportions of the image; None if there is none."""
    height = round((count * size[1] / size[2]) ** 0.5) if count > 0 else 0
    width = count // height if height else 0
    fits = height * width == count > 0 and round(size[1] / height) == round(size[2] / width)
    return (height, width) if fits else None
