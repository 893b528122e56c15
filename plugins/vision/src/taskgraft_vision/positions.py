"""Positions in images: x and y from -1 to 1 between the outer edges of the first and the last pixel."""

import numpy as np
import torch
from torch import Tensor


def pixel_centres(count: int, device: torch.device) -> Tensor:
    """Compute the centres of pixels along one axis: ``(count,)`` float32."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def transform_positions(transforms: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Apply several affine transforms to a grid of positions.

    Elementwise, since mixed precision would round a matrix product to whole pixels.

    Args:
        transforms: ``(batch, 2, 3)`` float32.
        rows: ``(height,)``, the y of the grid.
        columns: ``(width,)``, the x of the grid.

    Returns:
        x and y, each ``(batch, height, width)``.
    """
    x, y = columns[None, None, :], rows[None, :, None]
    (a, b, c), (d, e, f) = (
        (row[:, 0, None, None], row[:, 1, None, None], row[:, 2, None, None]) for row in transforms.unbind(1)
    )
    return a * x + b * y + c, d * x + e * y + f


def inverse_transform(transform: Tensor) -> Tensor:
    """Invert an affine transform ``(2, 3)``: ``(1, 2, 3)``."""
    square = np.vstack([transform.cpu().numpy().astype(np.float64), [0, 0, 1]])
    return torch.from_numpy(np.linalg.inv(square)[None, :2]).float().to(transform.device)
