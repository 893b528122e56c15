"""One raw target → the class number of each pixel, or the reason why there is none."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from taskgraft_vision.images import Unusable, content, decoded, upright

Numbers = NDArray[np.integer[Any]]

ONE_CHANNEL = frozenset({"1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes of pixels that are one integer: a shade, or a place in a palette."""

SPREAD = {2: 85, 4: 17}
"""Bits of a shade in a PNG → by how much Pillow multiplies it, so that white becomes 255."""

DEPTH, COLOUR = 24, 25
"""The bytes of a PNG that say how many bits a sample has, and what samples mean (PNG specification, 11.2.1)."""

SHADES = 0
"""What samples mean where one channel holds shades; in a palette they are left as they are."""


def class_numbers(value: Any) -> Numbers:
    """Read a mask.

    Args:
        value: the path of a PNG with one channel or a palette; such a file as bytes; a dict with ``bytes`` and ``path``; or an
            array ``(height, width)`` of integers, also as nested lists.

    Returns:
        ``(height, width)`` integers, upright: what the file holds before any palette turns it into colours.

    Raises:
        Unusable: saying why there is no mask.
    """
    value, name = content(value)
    if not isinstance(value, bytes | str):
        return _of_array(value)
    found = decoded(value, name, _pixels)
    return found // _spread(value) if found.dtype == np.uint8 else found


def _of_array(value: Any) -> Numbers:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unlike lengths
        raise Unusable(_no_mask(value)) from None
    if array.ndim != 2 or array.dtype.kind not in "iub" or not array.size:
        about = f"an array {array.shape} of {array.dtype}, not" if isinstance(value, np.ndarray) else None
        raise Unusable(_no_mask(value) if about is None else f"the mask is {about} (height, width) of integers")
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _no_mask(value: Any) -> str:
    return f"the mask is {value!r:.60}, not a path, an encoded PNG or (height, width) of integers"


def _pixels(image: Image.Image, name: str) -> Numbers:
    if image.format in ("JPEG", "MPO"):
        raise Unusable(f"{name} is a JPEG, which does not keep class numbers as they are; save masks as PNG")
    if image.format != "PNG":
        raise Unusable(f"{name} is of the format {image.format}; a mask is a PNG")
    if image.mode not in ONE_CHANNEL:
        raise Unusable(
            f"{name} has several channels ({image.mode}); the pixels of a mask are class numbers, in one channel or a palette"
        )
    found: Numbers = np.asarray(upright(image, image))
    return found.astype(np.uint8) if found.dtype == np.bool_ else found


def _spread(value: bytes | str) -> int:
    """Say by how much the shades of a PNG were multiplied when it was decoded."""
    if isinstance(value, bytes):
        head = value[: COLOUR + 1]
    else:
        with Path(value).open("rb") as file:
            head = file.read(COLOUR + 1)
    return SPREAD.get(head[DEPTH], 1) if head[COLOUR] == SHADES else 1
