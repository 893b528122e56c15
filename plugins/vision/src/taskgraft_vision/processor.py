"""Images → pixels of the size that a model reads, and where these pixels lie in the image."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from taskgraft.plugin import AugmentedBatch, Batch, Columns, ProcessedBatch, Processor
from taskgraft_vision import augmentation
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.images import Unusable, picture

IMAGE = "image"
"""The input role of images."""

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Kinds of interpolation by their names in timm."""

BLACK = (0, 0, 0)

UNVARIED = PolicyList()
"""No policy: training examples are prepared like all others."""

Colour = Sequence[float]
"""A number for each of red, green and blue."""

LONG = 32
"""Resized pictures that are so many times as large as what is read of them are never made as a whole."""


@dataclass(frozen=True)
class Geometry:
    """How a picture gets the size that a model reads.

    Attributes:
        height: of the result, in pixels.
        width: of the result, in pixels.
        crop: share of the resized picture's side that the result has; see ``mode``.
        mode: ``center`` keeps the picture's shape, so that its shorter side fits, and takes the middle; ``squash`` gives it the
            shape of the result; ``border`` keeps its shape, so that its longer side fits, and fills what is missing.
        interpolation: a key of :data:`RESAMPLING`; always over the whole area that a pixel of the result covers.
        shortest: pixels of the shorter side after resizing, for ``center``; found by ``crop`` when left out.
        halves: where the middle starts when half a pixel is left over: rounded as Python does, as timm takes it, or cut off, as
            transformers does.
        fill: red, green and blue of what is missing, for ``border`` and for augmentation, from 0 to 255.
    """

    height: int
    width: int
    crop: float = 1.0
    mode: Literal["center", "squash", "border"] = "center"
    interpolation: str = "bicubic"
    shortest: int | None = None
    fill: tuple[int, int, int] = (124, 116, 104)
    halves: Literal["round", "floor"] = "round"

    def frame(self, width: int, height: int) -> "Frame":
        """Find what becomes of a picture of a certain size."""
        wide, high = self._resized(width, height)
        return Frame(wide, high, self._offset(wide, self.width), self._offset(high, self.height))

    def _offset(self, have: int, want: int) -> int:
        """Find where the middle starts: half of what is too much, or less half of what is missing."""
        if want > have:
            return -((want - have) // 2)
        return (have - want) // 2 if self.halves == "floor" else round((have - want) / 2)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Give width and height after resizing, rounded as timm and torchvision round them."""
        high, wide = floor(self.height / self.crop), floor(self.width / self.crop)
        if self.mode == "squash":
            return wide, high
        if self.mode == "center" and (self.shortest is not None or high == wide):
            shortest = high if self.shortest is None else self.shortest
            if width <= height:
                return shortest, int(shortest * height / width)
            return int(shortest * width / height), shortest
        ratios = height / high, width / wide
        ratio = max(ratios) if self.mode == "border" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))


@dataclass(frozen=True)
class Frame:
    """Where the result lies in a resized picture.

    Attributes:
        wide: width of the resized picture, in pixels.
        high: height of the resized picture, in pixels.
        left: first column of the result in the resized picture; negative where columns are missing.
        top: first row of the result, alike.
    """

    wide: int
    high: int
    left: int
    top: int


class ImageProcessor(Processor):
    """Gives images the size that a model reads.

    Tensors of a batch:

    * ``pixels`` ``(batch, 3, height, width)`` uint8: red, green and blue, not normalized; zeros for a refused row.
    * ``place`` ``(batch, 2, 3)`` float32: a position (x, y, 1) of the pixels, x and y from -1 to 1 between their outer edges,
      times this is the position in the upright image, from -1 to 1 between its edges, as
      :func:`torch.nn.functional.affine_grid` understands theta with ``align_corners=False``.
    * ``sizes`` ``(batch, 2)`` int64: height and width of the upright image, in pixels; 1 for a refused row.
    """

    cacheable: ClassVar[bool] = False

    def __init__(
        self,
        geometry: Geometry,
        policies: PolicyList = UNVARIED,
        normalization: tuple[Colour, Colour] | None = None,
    ):
        """Say how images are read.

        Args:
            normalization: mean and standard deviation of red, green and blue, from 0 to 1, by which the backbone scales the
                pixels later; stated among the settings.
        """
        self._geometry = geometry
        self._policies = policies
        self._normalization = normalization

    def normalized(self, mean: Colour, std: Colour) -> "ImageProcessor":
        """Give the same processor for a backbone that scales its pixels so."""
        return ImageProcessor(self._geometry, self._policies, (mean, std))

    @property
    def augments(self) -> bool:
        return len(self._policies.root) > 0

    def settings(self) -> Mapping[str, Any]:
        scaling = {} if self._normalization is None else dict(zip(("mean", "std"), self._normalization, strict=True))
        colours = {"fill": self._geometry.fill} | scaling
        return asdict(self._geometry) | {name: list(colour) for name, colour in colours.items()}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        images = inputs[IMAGE]
        sheet = _Sheet(len(images), self._geometry)
        for row, (image, note) in sheet.pictures(images):
            sheet.put(row, image, *self._framed(image))
            sheet.notes.update([note] if note else [])
        return ProcessedBatch(sheet.batch(), sheet.refused, dict(sheet.notes))

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        images = inputs[IMAGE]
        sheet = _Sheet(len(images), self._geometry)
        for row, (image, _) in sheet.pictures(images):
            sheet.put(row, image, *self._varied(image, seeds[row]))
        if not self._policies.mixes:
            return AugmentedBatch(sheet.batch(), invalid=sheet.refused)
        usable = [row for row in range(len(images)) if row not in sheet.refused]
        made = augmentation.mixed(sheet.pixels, usable, self._policies, seeds)
        sheet.pixels = made.pixels
        return AugmentedBatch(
            sheet.batch(), torch.from_numpy(made.partners), torch.from_numpy(made.shares), sheet.refused
        )

    def blank(self, rows: int) -> Batch:
        """Give prepared rows without pictures."""
        return _Sheet(rows, self._geometry).batch()

    def _framed(self, image: Image.Image) -> tuple[Image.Image, "_Window"]:
        """Resize a picture and take the frame out of it."""
        geometry, frame = self._geometry, self._geometry.frame(*image.size)
        size = geometry.width, geometry.height
        window = _Window(
            frame.left / frame.wide,
            frame.top / frame.high,
            (frame.left + geometry.width) / frame.wide,
            (frame.top + geometry.height) / frame.high,
        )
        resample = RESAMPLING[geometry.interpolation]
        whole = (frame.wide, frame.high) == size
        if frame.wide * frame.high > LONG * geometry.width * geometry.height and window.inside:
            return image.resize(size, resample, window.box(*image.size)), window
        resized = image.resize((frame.wide, frame.high), resample)
        if whole or window.inside:
            box = (frame.left, frame.top, frame.left + geometry.width, frame.top + geometry.height)
            return resized if whole else resized.crop(box), window
        around = Image.new("RGB", size, geometry.fill if geometry.mode == "border" else BLACK)
        around.paste(resized, (-frame.left, -frame.top))
        return around, window

    def _varied(self, image: Image.Image, seed: int) -> tuple[Image.Image, "_Window"]:
        """Apply the policies that take a picture alone."""
        geometry, light, changes = self._geometry, self._policies.light, self._policies.rand_augment
        resample = RESAMPLING[geometry.interpolation]
        if light is None:
            made, window = self._framed(image)
        else:
            (width, height), aspect = image.size, geometry.width / geometry.height
            found = augmentation.rectangle(light, width, height, aspect, seed)
            box = (found.left, found.top, found.right, found.bottom)
            made = image.resize((geometry.width, geometry.height), resample, box)
            left, right = found.left / width, found.right / width
            if found.mirrored:
                made, left, right = made.transpose(Image.Transpose.FLIP_LEFT_RIGHT), right, left
            window = _Window(left, found.top / height, right, found.bottom / height)
        if changes is not None:
            made = augmentation.changed(made, changes, geometry.fill, resample, seed)
        return made, window


@dataclass(frozen=True)
class _Window:
    """The part of an image that the pixels show, its sides from 0 to 1 of the image. A mirrored one has left > right."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def inside(self) -> bool:
        return min(self.left, self.top) >= 0 and max(self.right, self.bottom) <= 1

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Give left, top, right and bottom in pixels of the image."""
        return self.left * width, self.top * height, self.right * width, self.bottom * height

    def theta(self) -> NDArray[np.float64]:
        """Map positions of the pixels, (x, y, 1) from -1 to 1, to those of the image: ``(2, 3)``."""
        across, down = self.right - self.left, self.bottom - self.top
        return np.array([[across, 0, self.left + self.right - 1], [0, down, self.top + self.bottom - 1]])


class _Sheet:
    """Rows of a batch, filled one by one."""

    def __init__(self, rows: int, geometry: Geometry):
        self.pixels = np.zeros((rows, 3, geometry.height, geometry.width), np.uint8)
        self.refused: dict[int, str] = {}
        self.notes: Counter[str] = Counter()
        self._place = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (rows, 1, 1))
        self._sizes = np.ones((rows, 2), np.int64)

    def pictures(self, images: Sequence[Any]) -> Iterator[tuple[int, tuple[Image.Image, str | None]]]:
        """Decode images, and note which cannot be used."""
        for row, image in enumerate(images):
            try:
                yield row, picture(image)
            except Unusable as reason:
                self.refused[row] = str(reason)

    def put(self, row: int, image: Image.Image, made: Image.Image, window: _Window) -> None:
        """Fill a row with what was made of an image."""
        self.pixels[row] = np.asarray(made).transpose(2, 0, 1)
        self._place[row] = window.theta()
        self._sizes[row] = image.height, image.width

    def batch(self) -> Batch:
        tensors: dict[str, Tensor] = {
            "pixels": torch.from_numpy(self.pixels),
            "place": torch.from_numpy(self._place),
            "sizes": torch.from_numpy(self._sizes),
        }
        return Batch(tensors)
