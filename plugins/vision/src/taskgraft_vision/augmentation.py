"""Augmentation: what each policy does to a picture, every choice drawn from the seed of its row."""

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

SPATIAL = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
"""What Pillow offers for rotating and shearing."""

STRONGEST = 9.99
"""The largest magnitude that is drawn. At 10, timm has posterizing keep 0 bits per colour, which Pillow refuses."""


class Choices(IntEnum):
    """What is drawn at random. Each kind has numbers of its own, so that one policy does not change another's."""

    RECTANGLE = 0
    CHANGES = 1
    MIXING = 2


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture, in pixels from its upper left corner; ``right`` and ``bottom`` are the first past it."""

    left: int
    top: int
    right: int
    bottom: int
    mirrored: bool


@dataclass(frozen=True)
class Mixture:
    """Pictures that were mixed.

    Attributes:
        pixels: ``(row, 3, height, width)`` uint8.
        partners: ``(row,)`` int64, the row that each was mixed with; itself where there was no other.
        shares: ``(row,)`` float32, from 0 to 1, how much of each is its own.
    """

    pixels: Pixels
    partners: NDArray[np.int64]
    shares: NDArray[np.float32]


def rectangle(policy: Light, width: int, height: int, aspect: float, seed: int) -> Rectangle:
    """Draw what is read of a picture. Where a rectangle of the drawn shape does not fit, the largest that does is taken.

    Args:
        aspect: width to height of what the model reads.
    """
    generator = _generator(seed, Choices.RECTANGLE)
    area = width * height * generator.uniform(*policy.scale)
    ratio = aspect * np.exp(generator.uniform(*np.log(policy.ratio)))
    across, down = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fit = min(1.0, width / across, height / down)
    across, down = max(1, round(across * fit)), max(1, round(down * fit))
    left, top = (int(generator.integers(0, room, endpoint=True)) for room in (width - across, height - down))
    return Rectangle(left, top, left + across, top + down, bool(generator.random() < policy.flip))


def changed(picture: Image.Image, policy: RandAugment, fill: Sequence[int], resample: int, seed: int) -> Image.Image:
    """Apply random changes.

    Args:
        fill: red, green and blue of what is moved in from outside of the picture, from 0 to 255.
        resample: how Pillow is to interpolate.
    """
    interpolation = resample if resample in SPATIAL else Image.Resampling.BICUBIC
    change = rand_augment_transform(
        f"rand-m{policy.magnitude}-n{policy.layers}-mstd{policy.deviation:f}-inc1",
        {"img_mean": tuple(fill), "interpolation": interpolation, "magnitude_max": STRONGEST},
    )
    with _seeded(seed):
        return cast(Image.Image, change(picture))


def mixed(pixels: Pixels, usable: Sequence[int], policies: PolicyList, seeds: Sequence[int]) -> Mixture:
    """Mix pictures with each other. If there are two ways, each row draws one.

    Args:
        pixels: ``(row, 3, height, width)`` uint8.
        usable: the rows that hold a picture, rising. The others stay as they are.
        seeds: one per row of ``pixels``.
    """
    rows = len(pixels)
    made, partners, shares = pixels.copy(), np.arange(rows), np.ones(rows, np.float32)
    for place, row in enumerate(usable if len(usable) > 1 else ()):
        generator = _generator(seeds[row], Choices.MIXING)
        both = policies.mix_up is not None and policies.cut_mix is not None
        cut = generator.random() < 0.5 if both else policies.cut_mix is not None
        other = int(generator.integers(len(usable) - 1))
        partners[row] = usable[other + (other >= place)]
        if policies.cut_mix is not None and cut:
            shares[row] = _pasted(made[row], pixels[partners[row]], policies.cut_mix.alpha, generator)
        elif policies.mix_up is not None:
            shares[row] = _blended(made[row], pixels[partners[row]], policies.mix_up.alpha, generator)
    return Mixture(made, partners, shares)


def _blended(own: Pixels, other: Pixels, alpha: float, generator: np.random.Generator) -> float:
    share = float(np.float32(generator.beta(alpha, alpha)))
    own[:] = np.rint(own * share + other * (1 - share)).astype(np.uint8)
    return share


def _pasted(own: Pixels, other: Pixels, alpha: float, generator: np.random.Generator) -> float:
    """Paste a rectangle of the drawn area around a drawn point; what reaches beyond the edge is cut off (section 3.1)."""
    height, width = own.shape[1:]
    side = np.sqrt(1 - generator.beta(alpha, alpha))
    top, bottom = _span(height, side, generator)
    left, right = _span(width, side, generator)
    own[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    return float(1 - (bottom - top) * (right - left) / (height * width))


def _span(length: int, share: float, generator: np.random.Generator) -> tuple[int, int]:
    size = int(length * share)
    start = int(generator.integers(length)) - size // 2
    return max(0, start), min(length, start + size)


def _generator(seed: int, choices: Choices) -> np.random.Generator:
    return np.random.default_rng((seed, choices))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python and numpy, from which timm draws, and put them back as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    drawn = _generator(seed, Choices.CHANGES).integers(2**32, size=2)
    try:
        random.seed(int(drawn[0]))
        np.random.seed(int(drawn[1]))
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
