"""Segmentation: a class for each pixel of a picture, by softmax cross-entropy over what a light decoder makes of its grids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, grid_sample, interpolate

from taskgraft.plugin import (
    Batch,
    Columns,
    FeatureDescription,
    Features,
    GridGeometry,
    Head,
    HeadDescription,
    HeadModule,
    LossSum,
    Predictions,
    TargetDescription,
    TaskgraftError,
    raise_invalid,
    single_column,
    unseen_label_message,
)
from taskgraft_vision.images import Unusable, content, is_empty
from taskgraft_vision.masks import Numbers, class_numbers
from taskgraft_vision.settings import SegmentationConfig, describe_segmentation

HEIGHT, WIDTH = "height", "width"
"""The names of the axes of a mask."""

BAND = 1 << 18
"""Pixels of a picture that are predicted at a time."""


class SegmentationTarget(TargetDescription):
    """The classes of a task.

    Attributes:
        vocabulary: the class numbers that occur, rising.
        ignore: the number of pixels that are neither learned from nor judged.
    """

    column: str
    vocabulary: tuple[int, ...]
    ignore: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds the class numbers and ``ignore``."""
        numbers = (*self.vocabulary, self.ignore)
        return np.promote_types(np.min_scalar_type(min(numbers)), np.min_scalar_type(max(numbers)))


class Segmentation(Head[SegmentationTarget]):
    """A class per pixel."""

    target = SegmentationTarget

    def __init__(self, config: SegmentationConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_segmentation(self._config)

    def fit_targets(self, targets: Columns) -> SegmentationTarget:
        """Collect the classes of the masks.

        Raises:
            InvalidTargets: naming each row whose mask cannot be read.
            OneClass: when there are fewer than two.
        """
        column, values = single_column(targets, "segmentation")
        reasons: dict[int, str] = {}
        found: set[int] = set()
        for _, mask in _masks(column, values, reasons):
            found.update(np.unique(mask).tolist())
        raise_invalid(reasons)
        ignore = self._config.ignore
        vocabulary = tuple(sorted(found - {ignore}))
        if len(vocabulary) < 2:
            raise OneClass(column, vocabulary, ignore if ignore in found else None)
        return SegmentationTarget(column=column, vocabulary=vocabulary, ignore=ignore)

    def encode(self, targets: Columns, target: SegmentationTarget) -> Batch:
        """Encode masks.

        Returns:
            ``mask`` ``(batch, height, width)``, of the smallest integer dtype that fits: 0 where a pixel is ignored or
            padding, else the number of its class in the vocabulary plus 1. ``height`` and ``width`` are padded axes.
        """
        column, values = single_column(targets, "segmentation")
        reasons: dict[int, str] = {}
        kind = np.uint8 if len(target.vocabulary) < 256 else np.int16 if len(target.vocabulary) < 32768 else np.int32
        found: list[NDArray[Any]] = [np.zeros((0, 0), kind)] * len(values)
        for row, mask in _masks(column, values, reasons):
            places, strange = _places(mask, target)
            if strange is not None:
                reasons[row] = unseen_label_message(strange, target.vocabulary)
            found[row] = places.astype(kind)
        raise_invalid(reasons)
        return _padded(found, kind)

    def decode_targets(self, encoded: Batch, target: SegmentationTarget) -> list[Any]:
        """Give arrays ``(height, width)`` of class numbers, ``ignore`` where a pixel has none."""
        names = np.array((target.ignore, *target.vocabulary), target.dtype)
        sizes = zip(encoded.lengths[HEIGHT].tolist(), encoded.lengths[WIDTH].tolist(), strict=True)
        masks = encoded["mask"].cpu().numpy()
        return [names[mask[:height, :width]] for mask, (height, width) in zip(masks, sizes, strict=True)]

    def build_module(self, features: FeatureDescription, target: SegmentationTarget) -> HeadModule:
        return _Decoder(features, target, self._config.channels)


class _Decoder(HeadModule):
    """Each level through a 1 × 1 convolution and enlarged to the finest, their sum through a 3 × 3 convolution.

    After the decoder of SegFormer (Xie et al., 2021, SegFormer: Simple and Efficient Design for Semantic Segmentation with
    Transformers, section 3.2), which puts levels beside each other where this adds them up, and looks at single cells.
    """

    def __init__(self, features: FeatureDescription, target: SegmentationTarget, channels: int):
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(size, channels, 1) for size in features.feature_sizes)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1)
        self.classify = nn.Conv2d(channels, len(target.vocabulary), 1)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(len(features.feature_sizes)))
        self._stride = features.strides[0]
        self._target = target

    def fit_feature_scale(self, features: Features) -> None:
        """Take the root mean square of each level as its scale, 1 where it is all zero."""
        for level, value in enumerate(features.values):
            self.scale[level] = value.detach().float().square().mean().sqrt()
        self.scale.masked_fill_(self.scale == 0, 1.0)

    def forward(self, features: Features) -> Tensor:
        """Compute ``(batch, class, height, width)``, with the height and width of the finest level."""
        finest = features.values[0].shape[-2:]
        dtype = self.classify.weight.dtype
        total = torch.zeros((), dtype=dtype, device=self.classify.weight.device)
        for project, value, scale in zip(self.levels, features.values, self.scale, strict=True):
            total = total + interpolate(project(value.to(dtype) / scale), finest, mode="bilinear")
        return self.classify(gelu(self.mix(total)))  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        """Softmax cross-entropy, in nats, summed over the pixels that the model read and that have a class."""
        height, width = (self._stride * cells for cells in output.shape[-2:])
        logits = interpolate(output.float(), (height, width), mode="bilinear")
        place = self._place(output, features)
        positions = _moved(place.transform, _centres(height, output.device), _centres(width, output.device))
        wanted = _looked_up(targets, positions)
        total = cross_entropy(logits, wanted - 1, reduction="sum", ignore_index=-1)
        return LossSum(total, (wanted > 0).sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Give arrays ``(height, width)`` of class numbers, one for each pixel of the raw picture.

        Where the picture reaches beyond what the model read, the nearest prediction holds.
        """
        place = self._place(output, features)
        names = np.array(self._target.vocabulary, self._target.dtype)
        values: list[Any] = []
        for row, (height, width) in enumerate(place.sizes.tolist()):
            logits = output[row : row + 1].float()
            found = _labels(logits, _inverse(place.transform[row]), height, width)
            values.append(names[found.cpu().numpy()])
        return Predictions(values, None, self._target.vocabulary)

    def _place(self, output: Tensor, features: Features) -> GridGeometry:
        """Give the place of the features. Without one they cover a picture that has as many pixels as the model read."""
        if features.geometry is not None:
            return GridGeometry(features.geometry.transform.float(), features.geometry.sizes)
        rows, device = len(output), output.device
        sizes = torch.tensor([self._stride * cells for cells in output.shape[-2:]]).expand(rows, 2)
        return GridGeometry(torch.eye(2, 3, device=device).expand(rows, 2, 3), sizes)


@dataclass(eq=False)
class OneClass(TaskgraftError):
    """Masks without two classes to tell apart.

    Attributes:
        ignore: the number of the pixels that were ignored, or None when there were none.
    """

    column: str
    vocabulary: tuple[int, ...]
    ignore: int | None

    def __str__(self) -> str:
        have = f"only the class {self.vocabulary[0]}" if self.vocabulary else "no class at all"
        said = (
            f"The masks of the target column '{self.column}' have {have} in the training split; a head needs two or more to "
            "tell apart."
        )
        if self.ignore is None:
            return said
        return (
            f"{said}\nPixels of {self.ignore} were ignored. If that is a class, set head.ignore to another number (-1)."
        )


# --- masks


def _masks(column: str, values: Sequence[Any], reasons: dict[int, str]) -> Iterator[tuple[int, Numbers]]:
    """Read masks one by one, and note which cannot be read."""
    for row, value in enumerate(values):
        if is_empty(content(value)[0]):
            reasons[row] = f"the target column '{column}' is empty"
            continue
        try:
            yield row, class_numbers(value)
        except Unusable as reason:
            reasons[row] = str(reason)


def _places(mask: Numbers, target: SegmentationTarget) -> tuple[NDArray[np.intp], int | None]:
    """Find the place of each class number in the vocabulary, from 1 on, and a number that has none."""
    known = np.array(target.vocabulary, np.int64)
    places = np.searchsorted(known, mask).clip(max=len(known) - 1)
    right, ignored = known[places] == mask, mask == target.ignore
    strange = mask[~right & ~ignored]
    return np.where(right, places + 1, 0), int(strange[0]) if strange.size else None


def _padded(masks: Sequence[NDArray[Any]], kind: type[np.integer[Any]]) -> Batch:
    """Put masks of different sizes into one batch."""
    sizes = np.array([mask.shape for mask in masks], np.int64).reshape(len(masks), 2)
    padded = np.zeros((len(masks), *sizes.max(0, initial=0)), kind)
    for row, mask in enumerate(masks):
        padded[row, : mask.shape[0], : mask.shape[1]] = mask
    lengths: Mapping[str, Tensor] = {HEIGHT: torch.from_numpy(sizes[:, 0]), WIDTH: torch.from_numpy(sizes[:, 1])}
    return Batch({"mask": torch.from_numpy(padded)}, {"mask": (HEIGHT, WIDTH)}, dict(lengths))


# --- positions, from -1 to 1 between the outer edges of the first and the last pixel


def _centres(count: int, device: torch.device) -> Tensor:
    """Give the centres of pixels in a row: ``(count,)`` float32."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def _moved(transforms: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """Move a grid of positions by each of several transforms.

    Not by a product of matrices, which mixed precision would round to whole pixels.

    Args:
        transforms: ``(batch, 2, 3)`` float32.
        down: ``(height,)`` of the positions; ``across`` ``(width,)``.

    Returns:
        x and y, each ``(batch, height, width)``.
    """
    x, y = across[None, None, :], down[None, :, None]
    (along, turned, right), (slanted, upright, below) = (
        (row[:, 0, None, None], row[:, 1, None, None], row[:, 2, None, None]) for row in transforms.unbind(1)
    )
    return along * x + turned * y + right, slanted * x + upright * y + below


def _inverse(transform: Tensor) -> Tensor:
    """Turn a transform ``(2, 3)`` round: ``(1, 2, 3)``."""
    square = np.vstack([transform.cpu().numpy().astype(np.float64), [0, 0, 1]])
    return torch.from_numpy(np.linalg.inv(square)[None, :2]).float().to(transform.device)


def _looked_up(targets: Batch, positions: tuple[Tensor, Tensor]) -> Tensor:
    """Look masks up at some positions of their pictures.

    Returns:
        ``(batch, height, width)`` int64, as :meth:`Segmentation.encode` numbers classes; 0 outside a picture.
    """
    mask = targets["mask"]
    height, width = (targets.lengths[axis][:, None, None] for axis in (HEIGHT, WIDTH))
    column, line = (
        ((position + 1) / 2 * size).floor().long() for position, size in zip(positions, (width, height), strict=True)
    )
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    at = torch.where(inside, line * mask.shape[2] + column, 0)
    return torch.where(inside, mask.flatten(1).gather(1, at.flatten(1)).view_as(at), 0).long()


def _labels(logits: Tensor, inverse: Tensor, height: int, width: int) -> Tensor:
    """Find the likeliest class at each pixel of a picture, a band of its lines at a time.

    Args:
        logits: ``(1, class, …, …)``.
        inverse: ``(1, 2, 3)``; takes positions of the picture to those of the logits.

    Returns:
        ``(height, width)`` int64.
    """
    across, bands = _centres(width, logits.device), _centres(height, logits.device).split(max(1, BAND // width))
    found = []
    for down in bands:
        positions = torch.stack(_moved(inverse, down, across), -1)
        band = grid_sample(logits, positions, mode="bilinear", padding_mode="border", align_corners=False)
        found.append(band[0].argmax(0))
    return torch.cat(found)
