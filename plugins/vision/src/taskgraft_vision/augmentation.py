"""The augmentation policies; all random choices for an image come from the seed of its row."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from timm.data.auto_augment import rand_augment_transform

from taskgraft_vision.augmentation_settings import Light, PolicyList, RandAugment

Pixels = NDArray[np.uint8]

SPATIAL_RESAMPLING = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
"""Resampling filters that Pillow supports for rotation and shear."""

MAX_MAGNITUDE = 9.99
"""Largest magnitude that is sampled. At 10, timm posterizes to 0 bits per colour, which Pillow rejects."""


class RandomStream(IntEnum):
    """Independent random streams, so that one policy does not change the random numbers of another."""

    CROP = 0
    RAND_AUGMENT = 1
    MIXING = 2


@dataclass(frozen=True)
class CropBox:
    """A crop in pixels from the upper left corner of an image; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    flipped: bool


@dataclass(frozen=True)
class MixedImages:
    """Images mixed with each other.

    Attributes:
        pixels: ``(row, 3, height, width)`` uint8.
        partners: ``(row,)`` int64, the row that each was mixed with; its own index if unmixed.
        shares: ``(row,)`` float32, from 0 to 1, the weight of each row's own image.
    """

    pixels: Pixels
    partners: NDArray[np.int64]
    shares: NDArray[np.float32]


def random_crop(policy: Light, width: int, height: int, aspect: float, seed: int) -> CropBox:
    """Sample a crop. If its size does not fit, the largest crop of the same aspect ratio is used.

    Args:
        aspect: width / height of the model's input.
    """
    rng = _rng(seed, RandomStream.CROP)
    area = width * height * rng.uniform(*policy.scale)
    ratio = aspect * np.exp(rng.uniform(*np.log(policy.ratio)))
    crop_width, crop_height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fit = min(1.0, width / crop_width, height / crop_height)
    crop_width, crop_height = max(1, round(crop_width * fit)), max(1, round(crop_height * fit))
    left, top = (int(rng.integers(0, room, endpoint=True)) for room in (width - crop_width, height - crop_height))
    return CropBox(left, top, left + crop_width, top + crop_height, bool(rng.random() < policy.flip))


def apply_rand_augment(
    image: Image.Image, policy: RandAugment, fill: Sequence[int], resample: int, seed: int
) -> Image.Image:
    """Apply RandAugment.

    Args:
        fill: red, green and blue for pixels from outside the image, from 0 to 255.
        resample: Pillow's resampling filter.
    """
    interpolation = resample if resample in SPATIAL_RESAMPLING else Image.Resampling.BICUBIC
    transform = rand_augment_transform(
        f"rand-m{policy.magnitude}-n{policy.layers}-mstd{policy.deviation:f}-inc1",
        {"img_mean": tuple(fill), "interpolation": interpolation, "magnitude_max": MAX_MAGNITUDE},
    )
    with _seed_global_generators(seed):
        return cast(Image.Image, transform(image))


def mix_images(pixels: Pixels, usable: Sequence[int], policies: PolicyList, seeds: Sequence[int]) -> MixedImages:
    """Mix images with each other. With both policies, each row chooses one at random.

    Args:
        pixels: ``(row, 3, height, width)`` uint8.
        usable: indices of valid rows, ascending. The others are left unchanged.
        seeds: one per row of ``pixels``.
    """
    rows = len(pixels)
    mixed, partners, shares = pixels.copy(), np.arange(rows), np.ones(rows, np.float32)
    for index, row in enumerate(usable if len(usable) > 1 else ()):
        rng = _rng(seeds[row], RandomStream.MIXING)
        both = policies.mix_up is not None and policies.cut_mix is not None
        cut = rng.random() < 0.5 if both else policies.cut_mix is not None
        other = int(rng.integers(len(usable) - 1))
        partners[row] = usable[other + (other >= index)]
        if policies.cut_mix is not None and cut:
            shares[row] = _cut_mix(mixed[row], pixels[partners[row]], policies.cut_mix.alpha, rng)
        elif policies.mix_up is not None:
            shares[row] = _mix_up(mixed[row], pixels[partners[row]], policies.mix_up.alpha, rng)
    return MixedImages(mixed, partners, shares)


def _mix_up(own: Pixels, other: Pixels, alpha: float, rng: np.random.Generator) -> float:
    share = float(np.float32(rng.beta(alpha, alpha)))
    own[:] = np.rint(own * share + other * (1 - share)).astype(np.uint8)
    return share


def _cut_mix(own: Pixels, other: Pixels, alpha: float, rng: np.random.Generator) -> float:
    """Paste a rectangle of random area at a random center, clipped to the image (Yun et al. 2019, section 3.1)."""
    height, width = own.shape[1:]
    side = np.sqrt(1 - rng.beta(alpha, alpha))
    top, bottom = _random_span(height, side, rng)
    left, right = _random_span(width, side, rng)
    own[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    return float(1 - (bottom - top) * (right - left) / (height * width))


def _random_span(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    size = int(length * share)
    start = int(rng.integers(length)) - size // 2
    return max(0, start), min(length, start + size)


def _rng(seed: int, stream: RandomStream) -> np.random.Generator:
    return np.random.default_rng((seed, stream))


@contextmanager
def _seed_global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of Python and NumPy, which timm uses, and restore them afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    seeds = _rng(seed, RandomStream.RAND_AUGMENT).integers(2**32, size=2)
    try:
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
