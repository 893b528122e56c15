"""One raw value → an upright RGB picture, or the reason why there is none."""

import io
import math
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError

FORMATS = frozenset(
    {"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP"}
)
"""What is decoded, in Pillow's words: pictures made of pixels. Others would run programs (EPS) or hold drawings."""

STILLS = frozenset({"MPO", "ICO"})
"""Formats in which more than one frame is one picture: with a depth map or a preview, in several sizes."""

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn a picture upright, by its orientation. What is not listed is upright."""

SIXTEEN = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
"""Modes of one channel with 16 bits."""

FRAMES = "first of several frames taken"
"""The note on an animation, or on a file of several pages."""


Made = TypeVar("Made")


class Unusable(Exception):
    """A raw value that is no image. Its text is a clause that follows the place of the row: "the image is empty"."""


def picture(value: Any) -> tuple[Image.Image, str | None]:
    """Decode an image.

    Args:
        value: the path of a file; an encoded file as bytes; a dict with ``bytes`` and ``path``, as Hugging Face's image
            column holds it (without bytes, the path counts); or an array ``(height, width)`` or ``(height, width, 3)`` of
            uint8.

    Returns:
        the picture, upright, RGB with 8 bits per channel, transparent parts over white; and a note on what was left
        out, or None. Of 16 bits per channel, the upper 8 remain (rounded, in greyscale).

    Raises:
        Unusable: saying why there is no picture.
    """
    value, name = content(value)
    if is_empty(value):
        raise Unusable("the image is empty")
    if isinstance(value, np.ndarray):
        return _of_array(value), None
    if isinstance(value, bytes | str):
        return decoded(value, name, _upright_picture)
    raise Unusable(f"the image is {value!r:.40}, not a path or an encoded image")


def content(value: Any) -> tuple[Any, str]:
    """Give what a value holds, taken out of a dict with ``bytes`` and ``path``, and what messages call an encoded file."""
    if isinstance(value, dict) and value and value.keys() <= {"bytes", "path"}:
        path, encoded = value.get("path"), value.get("bytes")
        return (path, "the value") if encoded is None else (encoded, path or "the value")
    return value, "the value"


def decoded(value: bytes | str, name: str, make: Callable[[Image.Image, str], Made]) -> Made:
    """Decode a file, and make something of its first frame.

    Args:
        value: an encoded file, or the path of one.
        name: what messages call an encoded file.
        make: given the decoded image, in the mode of the file, and the name of the file.

    Raises:
        Unusable: saying why there is no picture.
    """
    if isinstance(value, bytes):
        return _decoded(io.BytesIO(value), name, make)
    with _opened(value) as file:
        return _decoded(file, value, make)


def upright(made: Image.Image, image: Image.Image) -> Image.Image:
    """Turn a picture as the metadata of its file say. Metadata that cannot be read say nothing."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return made
    return made if turn is None else made.transpose(turn)


def is_empty(value: Any) -> bool:
    """Say whether a raw value stands for nothing."""
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    if isinstance(value, np.ndarray):
        return value.size == 0
    return value is None or value == b"" or (isinstance(value, str) and not value.strip())


def _of_array(value: NDArray[Any]) -> Image.Image:
    if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)):
        raise Unusable(
            f"the image is an array {value.shape} of {value.dtype}, not (height, width) or (height, width, 3) of uint8"
        )
    return Image.fromarray(value).convert("RGB")


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise Unusable(f"{path} is a folder")
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise Unusable(f"{path} is no file")
        file = Path(path).open("rb")  # noqa: SIM115, what goes wrong inside the with statement below is another matter
    except FileNotFoundError:
        raise Unusable(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise Unusable(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    with file:
        if not file.peek(1):
            raise Unusable(f"{path} is an empty file")
        yield file


def _decoded(file: IO[bytes], name: str, make: Callable[[Image.Image, str], Made]) -> Made:
    """Decode the whole of a file, or of its first frame.

    A decoder that meets a damaged file raises errors of many kinds, none of which it documents.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on metadata that nothing here reads
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                if image.format not in FORMATS:
                    raise Unusable(f"{name} is of the format {image.format}, which is not taken")
                image.load()
                return make(image, name)
        except Unusable:
            raise
        except UnidentifiedImageError:
            raise Unusable(f"{name} is no image that Pillow can read") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise Unusable(f"{name} has more pixels than Pillow opens ({Image.MAX_IMAGE_PIXELS:,})") from None
        except Exception as error:
            reason = str(error).partition(" (")[0].strip().rstrip(".") or type(error).__name__
            raise Unusable(f"{name} is cut off or damaged ({' '.join(reason.split()):.100})") from None


def _upright_picture(image: Image.Image, name: str) -> tuple[Image.Image, str | None]:
    frames = getattr(image, "is_animated", False) and image.format not in STILLS
    return upright(_rgb(image, name), image), FRAMES if frames else None


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """Give the colours of a decoded image."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in SIXTEEN or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _of_sixteen_bits(image)
    if image.mode in ("I", "F"):
        raise Unusable(
            f"{name} has pixels of Pillow's mode {image.mode}, whose range is not known; save it with 8 or 16 bits"
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Adobe's files hold the inverse of the inks. Pillow takes every file for one of Adobe's.
        return ImageChops.invert(image).convert("RGB")
    return image.convert("RGB")


def _of_sixteen_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    grey = np.rint(values * (255 / 65535)).clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
