"""Synthetic contact maps."""

import numpy as np
from numpy.typing import NDArray


def symmetric_map(length: int, seed: int) -> NDArray[np.float32]:
    """Draw a symmetric map with values from 0 to 1."""
    values = np.random.default_rng(seed).random((length, length)).astype(np.float32)
    return (values + values.T) / 2
