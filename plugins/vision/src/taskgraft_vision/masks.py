"""Load one mask: the class id of each pixel, or the reason why it is invalid."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from taskgraft.plugin import open_regular_file
from taskgraft_vision.images import InvalidImage, apply_orientation, decode_file, unwrap

ClassIds = NDArray[np.integer[Any]]

ONE_CHANNEL = frozenset({"1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes with one integer per pixel: a shade, or a palette index."""

SHADE_FACTORS = {2: 85, 4: 17}
"""Bit depth of a greyscale PNG → the factor by which Pillow scales it, so that white is 255."""

BIT_DEPTH_BYTE, COLOUR_TYPE_BYTE = 24, 25
"""Offsets of bit depth and colour type in a PNG file (PNG specification, 11.2.1)."""

GREYSCALE = 0
"""The colour type greyscale. Palette indices are not scaled."""


def load_mask(value: Any) -> ClassIds:
    """Load a mask.

    Args:
        value: the path of a PNG with one channel or a palette; such a file as bytes; a dict with ``bytes`` and ``path``; or an
            array ``(height, width)`` of integers, also as nested lists.

    Returns:
        ``(height, width)`` integers, upright: the values in the file, without applying a palette.

    Raises:
        InvalidImage: with the reason.
    """
    value, name = unwrap(value)
    if not isinstance(value, bytes | str):
        return _from_array(value)
    mask = decode_file(value, name, _class_ids)
    return mask // _shade_factor(value) if mask.dtype == np.uint8 else mask


def _from_array(value: Any) -> ClassIds:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise InvalidImage(_invalid_mask(value)) from None
    if array.ndim != 2 or array.dtype.kind not in "iub" or not array.size:
        if isinstance(value, np.ndarray):
            raise InvalidImage(f"the mask is an array {array.shape} of {array.dtype}, not (height, width) of integers")
        raise InvalidImage(_invalid_mask(value))
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _invalid_mask(value: Any) -> str:
    return f"the mask is {value!r:.60}, not a path, an encoded PNG or (height, width) of integers"


def _class_ids(image: Image.Image, name: str) -> ClassIds:
    if image.format in ("JPEG", "MPO"):
        raise InvalidImage(f"{name} is a JPEG, whose compression changes class ids; save masks as PNG")
    if image.format != "PNG":
        raise InvalidImage(f"{name} has the format {image.format}; a mask must be a PNG")
    if image.mode not in ONE_CHANNEL:
        raise InvalidImage(
            f"{name} has several channels ({image.mode}); a mask needs one channel, or a palette, of class ids"
        )
    ids: ClassIds = np.asarray(apply_orientation(image, image))
    return ids.astype(np.uint8) if ids.dtype == np.bool_ else ids


def _shade_factor(value: bytes | str) -> int:
    """Return the factor by which Pillow scaled the shades of a PNG."""
    if isinstance(value, bytes):
        header = value[: COLOUR_TYPE_BYTE + 1]
    else:
        with open_regular_file(value) as file:
            header = file.read(COLOUR_TYPE_BYTE + 1)
    return SHADE_FACTORS.get(header[BIT_DEPTH_BYTE], 1) if header[COLOUR_TYPE_BYTE] == GREYSCALE else 1
