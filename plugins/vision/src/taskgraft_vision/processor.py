"""Images → pixels of the size that a model reads, and the position of these pixels in the image."""

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
from taskgraft_vision.images import InvalidImage, encode_images, load_image

IMAGE = "image"
"""Name of the input."""

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
"""timm's name → Pillow's filter."""

BLACK = (0, 0, 0)

NO_AUGMENTATION = PolicyList()
"""No policy: training images are processed like all others."""

Colour = Sequence[float]
"""One number each for red, green and blue."""

MAX_RESIZE_FACTOR = 32
"""An image is not resized as a whole if the result would have this many times the pixels of the crop."""


@dataclass(frozen=True)
class Geometry:
    """How an image is resized and cropped to the size that a model reads.

    Attributes:
        height: of the result, in pixels.
        width: of the result, in pixels.
        crop: size of the result as a share of the resized image; see ``mode``.
        mode: ``center`` resizes the shorter side to fit and crops the center; ``squash`` resizes to the aspect ratio of the
            result; ``border`` resizes the longer side to fit and pads.
        interpolation: a key of :data:`RESAMPLING`; always antialiased.
        shortest: pixels of the shorter side after resizing, for ``center``; by default computed from ``crop``.
        halves: how an offset of half a pixel is rounded: ``round`` as Python does, like timm; ``floor``, like transformers.
        fill: red, green and blue of padding, for ``border`` and for augmentation, from 0 to 255.
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
        """Compute the frame for an image of this size."""
        resized_width, resized_height = self._resized_size(width, height)
        left, top = self._offset(resized_width, self.width), self._offset(resized_height, self.height)
        return Frame(resized_width, resized_height, left, top)

    def _offset(self, size: int, target: int) -> int:
        """Compute where the center crop starts; negative if it must be padded."""
        if target > size:
            return -((target - size) // 2)
        return (size - target) // 2 if self.halves == "floor" else round((size - target) / 2)

    def _resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Compute width and height after resizing, rounded as in timm and torchvision."""
        target_height, target_width = floor(self.height / self.crop), floor(self.width / self.crop)
        if self.mode == "squash":
            return target_width, target_height
        if self.mode == "center" and (self.shortest is not None or target_height == target_width):
            shortest = target_height if self.shortest is None else self.shortest
            if width <= height:
                return shortest, int(shortest * height / width)
            return int(shortest * width / height), shortest
        ratios = height / target_height, width / target_width
        ratio = max(ratios) if self.mode == "border" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))


@dataclass(frozen=True)
class Frame:
    """The position of the result in a resized image, in pixels.

    Attributes:
        width, height: of the resized image.
        left: first column of the result in the resized image; negative with padding.
        top: first row of the result, likewise.
    """

    width: int
    height: int
    left: int
    top: int


class ImageProcessor(Processor):
    """Resizes and crops images to the size that a model reads.

    Tensors of a batch:

    * ``pixels`` ``(batch, 3, height, width)`` uint8: red, green and blue, not normalized; zeros for an invalid row.
    * ``place`` ``(batch, 2, 3)`` float32: maps a position (x, y, 1) in the pixels to the position in the upright image, both
      with x and y from -1 to 1 between the outer edges; the theta of :func:`torch.nn.functional.affine_grid` with
      ``align_corners=False``.
    * ``sizes`` ``(batch, 2)`` int64: height and width of the upright image, in pixels; 1 for an invalid row.
    """

    cacheable: ClassVar[bool] = False

    def __init__(
        self,
        geometry: Geometry,
        policies: PolicyList = NO_AUGMENTATION,
        normalization: tuple[Colour, Colour] | None = None,
    ):
        """Configure resizing and augmentation.

        Args:
            normalization: mean and standard deviation of red, green and blue, from 0 to 1, with which the backbone normalizes
                the pixels; included in the settings.
        """
        self._geometry = geometry
        self._policies = policies
        self._normalization = normalization

    def with_normalization(self, mean: Colour, std: Colour) -> "ImageProcessor":
        """Return the same processor for a backbone with this normalization."""
        return ImageProcessor(self._geometry, self._policies, (mean, std))

    @property
    def augments(self) -> bool:
        return len(self._policies.root) > 0

    def settings(self) -> Mapping[str, Any]:
        normalization = (
            {} if self._normalization is None else dict(zip(("mean", "std"), self._normalization, strict=True))
        )
        colours = {"fill": self._geometry.fill} | normalization
        return asdict(self._geometry) | {name: list(colour) for name, colour in colours.items()}

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        images = inputs[IMAGE]
        builder = _BatchBuilder(len(images), self._geometry)
        for row, (image, note) in builder.load(images):
            builder.put(row, image, *self._resize_and_crop(image))
            builder.notes.update([note] if note else [])
        return ProcessedBatch(builder.batch(), builder.invalid, dict(builder.notes))

    def raw_values(self, role: str, value: Any) -> Sequence[Any]:
        return encode_images(value)

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        images = inputs[IMAGE]
        builder = _BatchBuilder(len(images), self._geometry)
        for row, (image, _) in builder.load(images):
            builder.put(row, image, *self._augment(image, seeds[row]))
        if not self._policies.mixes_examples:
            return AugmentedBatch(builder.batch(), invalid=builder.invalid)
        usable = [row for row in range(len(images)) if row not in builder.invalid]
        mixed = augmentation.mix_images(builder.pixels, usable, self._policies, seeds)
        builder.pixels = mixed.pixels
        return AugmentedBatch(
            builder.batch(), torch.from_numpy(mixed.partners), torch.from_numpy(mixed.shares), builder.invalid
        )

    def blank_batch(self, rows: int) -> Batch:
        """Return a processed batch without images."""
        return _BatchBuilder(rows, self._geometry).batch()

    def _resize_and_crop(self, image: Image.Image) -> tuple[Image.Image, "_CropWindow"]:
        """Resize an image and crop it, or pad it."""
        geometry, frame = self._geometry, self._geometry.frame(*image.size)
        size = geometry.width, geometry.height
        window = _CropWindow(
            frame.left / frame.width,
            frame.top / frame.height,
            (frame.left + geometry.width) / frame.width,
            (frame.top + geometry.height) / frame.height,
        )
        resample = RESAMPLING[geometry.interpolation]
        uncropped = (frame.width, frame.height) == size
        if frame.width * frame.height > MAX_RESIZE_FACTOR * geometry.width * geometry.height and window.inside:
            return image.resize(size, resample, window.box(*image.size)), window
        resized = image.resize((frame.width, frame.height), resample)
        if uncropped or window.inside:
            box = (frame.left, frame.top, frame.left + geometry.width, frame.top + geometry.height)
            return resized if uncropped else resized.crop(box), window
        padded = Image.new("RGB", size, geometry.fill if geometry.mode == "border" else BLACK)
        padded.paste(resized, (-frame.left, -frame.top))
        return padded, window

    def _augment(self, image: Image.Image, seed: int) -> tuple[Image.Image, "_CropWindow"]:
        """Apply the policies for single images."""
        geometry, light, rand_augment = self._geometry, self._policies.light, self._policies.rand_augment
        resample = RESAMPLING[geometry.interpolation]
        if light is None:
            result, window = self._resize_and_crop(image)
        else:
            (width, height), aspect = image.size, geometry.width / geometry.height
            crop = augmentation.random_crop(light, width, height, aspect, seed)
            box = (crop.left, crop.top, crop.right, crop.bottom)
            result = image.resize((geometry.width, geometry.height), resample, box)
            left, right = crop.left / width, crop.right / width
            if crop.flipped:
                result, left, right = result.transpose(Image.Transpose.FLIP_LEFT_RIGHT), right, left
            window = _CropWindow(left, crop.top / height, right, crop.bottom / height)
        if rand_augment is not None:
            result = augmentation.apply_rand_augment(result, rand_augment, geometry.fill, resample, seed)
        return result, window


@dataclass(frozen=True)
class _CropWindow:
    """The part of an image that the pixels show; its sides are from 0 to 1 of the image. If flipped, left > right."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def inside(self) -> bool:
        return min(self.left, self.top) >= 0 and max(self.right, self.bottom) <= 1

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Compute left, top, right and bottom in pixels of the image."""
        return self.left * width, self.top * height, self.right * width, self.bottom * height

    def theta(self) -> NDArray[np.float64]:
        """Compute the map from positions in the pixels to positions in the image, ``(2, 3)``; see :class:`ImageProcessor`."""
        width, height = self.right - self.left, self.bottom - self.top
        return np.array([[width, 0, self.left + self.right - 1], [0, height, self.top + self.bottom - 1]])


class _BatchBuilder:
    """A batch that is filled row by row."""

    def __init__(self, rows: int, geometry: Geometry):
        self.pixels = np.zeros((rows, 3, geometry.height, geometry.width), np.uint8)
        self.invalid: dict[int, str] = {}
        self.notes: Counter[str] = Counter()
        self._place = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (rows, 1, 1))
        self._sizes = np.ones((rows, 2), np.int64)

    def load(self, images: Sequence[Any]) -> Iterator[tuple[int, tuple[Image.Image, str | None]]]:
        """Yield loaded images by row, and record invalid ones."""
        for row, image in enumerate(images):
            try:
                yield row, load_image(image)
            except InvalidImage as reason:
                self.invalid[row] = str(reason)

    def put(self, row: int, image: Image.Image, result: Image.Image, window: _CropWindow) -> None:
        """Fill a row with the processed image."""
        self.pixels[row] = np.asarray(result).transpose(2, 0, 1)
        self._place[row] = window.theta()
        self._sizes[row] = image.height, image.width

    def batch(self) -> Batch:
        tensors: dict[str, Tensor] = {
            "pixels": torch.from_numpy(self.pixels),
            "place": torch.from_numpy(self._place),
            "sizes": torch.from_numpy(self._sizes),
        }
        return Batch(tensors)
