"""Load one image: an upright RGB image, or the reason why it is invalid."""

import io
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError

from taskgraft.plugin import ignored_warnings, limit, open_regular_file

FORMATS = frozenset(
    {"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP"}
)
"""Formats that are decoded, by Pillow's names: raster images. Others would run programs (EPS) or are vector drawings."""

SINGLE_IMAGE_FORMATS = frozenset({"MPO", "ICO"})
"""Formats in which several frames are one image: with a depth map or a preview, in several sizes."""

ORIENTATION_TAG = 0x0112
"""The EXIF tag of the camera's orientation."""

TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the operation that makes an image upright. Other orientations need none."""

MODES_16_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes of one channel with 16 bits."""

PIXELS_VARIABLE, BYTES_VARIABLE = "TASKGRAFT_IMAGE_PIXELS", "TASKGRAFT_IMAGE_BYTES"

MAX_PIXELS, MAX_BYTES = 52_000_000, 100_000_000
"""Pixels of an image, and bytes of its file, unless these environment variables say otherwise. Decoding takes up to 12 bytes a
pixel; a file may hold metadata of any size, which are read whole."""

TILE = 1_000_000
"""Pixels that are converted at a time, where that takes much more memory than the image."""

FRAMES_NOTE = "used the first of several frames"
"""The note on an animation, or a file of several pages."""

Result = TypeVar("Result")


class InvalidImage(Exception):
    """A raw value that is not a valid image. Its text is a clause to follow the location of the row: "the image is empty"."""


def load_image(value: Any) -> tuple[Image.Image, str | None]:
    """Load an image.

    Args:
        value: the path of a file; an encoded file as bytes; a dict with ``bytes`` and ``path``, as in Hugging Face's Image
            column (the path is used if there are no bytes); or an array ``(height, width)`` or ``(height, width, 3)`` of
            uint8.

    Returns:
        the image, upright, RGB with 8 bits per channel, transparent parts over white; and a note on skipped frames, or None. Of
        16 bits per channel the upper 8 are used (rounded, in greyscale).

    Raises:
        InvalidImage: with the reason.
    """
    value, name = unwrap(value)
    if is_empty(value):
        raise InvalidImage("the image is empty")
    if isinstance(value, np.ndarray):
        return _from_array(value), None
    if isinstance(value, bytes | str):
        return decode_file(value, name, _to_upright_rgb)
    raise InvalidImage(f"the image is {value!r:.40}, not a path or an encoded image")


def encode_images(value: Any) -> list[bytes]:
    """Encode images in memory without loss, as rows of data hold them.

    Args:
        value: a Pillow image; or an array of uint8: ``(height, width)``, ``(height, width, channel)`` with 1, 3 or 4 channels,
            or ``(image, height, width, channel)`` for several images.

    Raises:
        ValueError: with a clause that says what to pass instead.
    """
    if isinstance(value, Image.Image):
        return [_encode_upright(value)]
    shape = getattr(value, "shape", None)
    if not isinstance(value, np.ndarray):
        arrays = "a uint8 array (height, width, channel)"
        array = "; a tensor with the channels first becomes one by .permute(1, 2, 0).numpy()" if shape else ""
        raise ValueError(f"a {type(value).__name__} is not an image: pass a path, a Pillow image or {arrays}{array}")
    if value.dtype != np.uint8 or value.size == 0:
        raise ValueError(f"an array {value.shape} of {value.dtype} is not an image: pass values from 0 to 255 of uint8")
    images = list(value) if value.ndim == 4 else [value]
    if images[0].ndim != 2 and not (images[0].ndim == 3 and images[0].shape[2] in (1, 3, 4)):
        raise ValueError(
            f"an array {value.shape} is not an image: pass (height, width), (height, width, channel) or (image, height, "
            "width, channel), with 1, 3 or 4 channels"
        )
    return [_encode_upright(Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)) for image in images]


def _encode_upright(image: Image.Image) -> bytes:
    try:
        upright, _ = _to_upright_rgb(image, "the image")
    except InvalidImage as reason:
        raise ValueError(str(reason)) from None
    except OSError as error:  # opened, but not read so far
        raise ValueError(f"the image is truncated or damaged ({error!s:.100})") from None
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue()


def unwrap(value: Any) -> tuple[Any, str]:
    """Take the value out of a dict with ``bytes`` and ``path``; also return the name of an encoded file for messages."""
    if isinstance(value, dict) and value and value.keys() <= {"bytes", "path"}:
        path, encoded = value.get("path"), value.get("bytes")
        return (path, "the value") if encoded is None else (encoded, path or "the value")
    return value, "the value"


def decode_file(value: bytes | str, name: str, convert: Callable[[Image.Image, str], Result]) -> Result:
    """Decode the first frame of a file and convert it.

    Args:
        value: an encoded file, or the path of one.
        name: the name of an encoded file in messages.
        convert: called with the decoded image, in the mode of the file, and the name of the file.

    Raises:
        InvalidImage: with the reason.
    """
    if isinstance(value, bytes):
        return _decode(io.BytesIO(value), name, convert)
    with _open_file(value) as file:
        return _decode(file, value, convert)


def apply_orientation(image: Image.Image, source: Image.Image) -> Image.Image:
    """Rotate or flip an image as the metadata of its source say. Unreadable metadata are ignored."""
    try:
        operation = TRANSPOSE_BY_ORIENTATION.get(source.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return image
    return image if operation is None else image.transpose(operation)


def is_empty(value: Any) -> bool:
    """Whether a raw value is missing."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    if isinstance(value, np.ndarray):
        return value.size == 0
    return value is None or value == b"" or (isinstance(value, str) and not value.strip())


def _from_array(value: NDArray[Any]) -> Image.Image:
    if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)):
        raise InvalidImage(
            f"the image is an array {value.shape} of {value.dtype}, not (height, width) or (height, width, 3) of uint8"
        )
    return Image.fromarray(value).convert("RGB")


@contextmanager
def _open_file(path: str) -> Iterator[IO[bytes]]:
    try:
        file = open_regular_file(path)
    except FileNotFoundError:
        raise InvalidImage(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InvalidImage(f"{path} is a folder") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        try:
            empty = not file.peek(1)
        except OSError as error:
            raise _unreadable(path, error) from None
        if empty:
            raise InvalidImage(f"{path} is an empty file")
        size, most = os.fstat(file.fileno()).st_size, limit(BYTES_VARIABLE, MAX_BYTES)
        if size > most:
            raise InvalidImage(f"{path} has {size:,} bytes, more than {most:,}; {BYTES_VARIABLE} sets the limit")
        yield file


def _unreadable(name: str, error: OSError) -> InvalidImage:
    return InvalidImage(f"{name} cannot be read ({error.strerror or error})")


def _decode(file: IO[bytes], name: str, convert: Callable[[Image.Image, str], Result]) -> Result:
    """Decode a whole file, or its first frame.

    For damaged files, decoders raise many kinds of errors, none of them documented.
    """
    most = limit(PIXELS_VARIABLE, MAX_PIXELS)
    if PIXELS_VARIABLE in os.environ and Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, most)
    most = min(most, Image.MAX_IMAGE_PIXELS or most)
    with ignored_warnings():  # about metadata that are not used, and many pixels, which are counted here
        try:
            with Image.open(file) as image:
                if image.format not in FORMATS:
                    raise InvalidImage(f"{name} has the format {image.format}, which is not supported")
                _check_size(image, name, most)
                image.load()
                _check_size(image, name, most)  # an icon has it from an image inside
                return convert(image, name)
        except InvalidImage:
            raise
        except UnidentifiedImageError:
            raise InvalidImage(f"{name} is not an image that Pillow can read") from None
        except Image.DecompressionBombError:
            raise InvalidImage(f"{name} has more than {most:,} pixels; {PIXELS_VARIABLE} sets the limit") from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk; Pillow's own have no number
                raise _unreadable(name, error) from None
            reason = str(error).partition(" (")[0].strip().rstrip(".") or type(error).__name__
            raise InvalidImage(f"{name} is truncated or damaged ({' '.join(reason.split()):.100})") from None


def _check_size(image: Image.Image, name: str, most: int) -> None:
    if image.width * image.height > most:
        size = f"{image.width:,} × {image.height:,} pixels"
        raise InvalidImage(f"{name} has {size}, more than {most:,}; {PIXELS_VARIABLE} sets the limit")


def _to_upright_rgb(image: Image.Image, name: str) -> tuple[Image.Image, str | None]:
    frames = getattr(image, "is_animated", False) and image.format not in SINGLE_IMAGE_FORMATS
    return apply_orientation(_to_rgb(image, name), image), FRAMES_NOTE if frames else None


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert a decoded image to RGB."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in MODES_16_BIT or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _by_tiles(image, _from_16_bits)
    if image.mode in ("I", "F"):
        raise InvalidImage(f"{name} has Pillow's mode {image.mode}, whose range is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return _by_tiles(image, _over_white)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Adobe's files store inverted inks. Pillow assumes every file is Adobe's.
        return ImageChops.invert(image).convert("RGB")
    return image.convert("RGB")


def _by_tiles(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB, a tile after another."""
    width = min(image.width, TILE)
    height = max(TILE // width, 1)
    result = Image.new("RGB", image.size)
    for top in range(0, image.height, height):
        for left in range(0, image.width, width):
            box = (left, top, min(left + width, image.width), min(top + height, image.height))
            result.paste(convert(image.crop(box)), box)
    return result


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    grey = np.rint(values * (255 / 65535)).clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
