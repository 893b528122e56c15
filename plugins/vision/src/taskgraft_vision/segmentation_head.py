"""The head ``segmentation``: a class per pixel of an image, by a light decoder over grids and softmax cross-entropy."""

from collections import Counter
from collections.abc import Iterator, Sequence
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
    raise_invalid,
    single_column,
    unseen_label_message,
)
from taskgraft_vision.errors import VisionError
from taskgraft_vision.images import InvalidImage, is_empty, unwrap
from taskgraft_vision.masks import ClassIds, load_mask
from taskgraft_vision.positions import inverse_transform, pixel_centres, transform_positions
from taskgraft_vision.settings import SegmentationConfig, describe_segmentation

HEIGHT, WIDTH = "height", "width"
"""Axis names of a mask."""

PIXELS_PER_BAND = 1 << 18
"""Pixels of an image that are predicted at a time."""


class SegmentationTarget(TargetDescription):
    """The classes of a task.

    Attributes:
        vocabulary: the class ids that occur, ascending.
        ignore: the mask value of pixels ignored in training and evaluation.
        ignored: how many training masks have such pixels.
    """

    column: str
    vocabulary: tuple[int, ...]
    ignore: int
    ignored: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest integer type for the class ids and ``ignore``."""
        ids = (*self.vocabulary, self.ignore)
        return np.promote_types(np.min_scalar_type(min(ids)), np.min_scalar_type(max(ids)))


class SegmentationHead(Head[SegmentationTarget]):
    """Predicts a class per pixel."""

    target = SegmentationTarget

    def __init__(self, config: SegmentationConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_segmentation(self._config)

    def fit_targets(self, targets: Columns) -> SegmentationTarget:
        """Collect the classes of the masks.

        Raises:
            InvalidTargets: naming each row whose mask is missing or invalid.
            VisionError: if there are fewer than two classes, or one is negative.
        """
        column, values = single_column(targets, "segmentation")
        reasons: dict[int, str] = {}
        masks_with = Counter[int]()
        for _, mask in _iter_masks(column, values, reasons):
            masks_with.update(np.unique(mask).tolist())
        raise_invalid(reasons)
        ignore, ids = self._config.ignore, set(masks_with)
        vocabulary = tuple(sorted(ids - {ignore}))
        if vocabulary and vocabulary[0] < 0:
            raise VisionError(
                f"The masks of the target column '{column}' have the negative value {vocabulary[0]} "
                f"({masks_with[vocabulary[0]]:,} of {len(values):,} masks), but classes are numbers from 0. If it marks pixels "
                f"without a class, set head.ignore = {vocabulary[0]}."
            )
        if len(vocabulary) < 2:
            raise _too_few_classes(column, vocabulary, ignore if ignore in ids else None)
        return SegmentationTarget(
            column=column, vocabulary=vocabulary, ignore=ignore, ignored=masks_with[ignore] if ignore in ids else 0
        )

    def summary(self, target: SegmentationTarget) -> Sequence[str]:
        """Say that pixels are ignored, unless the settings name their value."""
        if not target.ignored or "ignore" in self._config.model_fields_set:
            return ()
        return (
            f"Pixels of {target.ignore} are ignored; {target.ignored:,} training masks have some. If that is a class, set "
            "head.ignore to another number (-1).",
        )

    def encode(self, targets: Columns, target: SegmentationTarget) -> Batch:
        """Encode masks.

        Returns:
            ``mask`` ``(batch, height, width)``, of the smallest integer dtype that fits: 0 for ignored pixels and padding,
            else the index of the class in the vocabulary plus 1. ``height`` and ``width`` are padded axes.
        """
        column, values = single_column(targets, "segmentation")
        reasons: dict[int, str] = {}
        kind = np.uint8 if len(target.vocabulary) < 256 else np.int16 if len(target.vocabulary) < 32768 else np.int32
        encoded: list[NDArray[Any]] = [np.zeros((0, 0), kind)] * len(values)
        for row, mask in _iter_masks(column, values, reasons):
            indices, unseen = _encode_mask(mask, target)
            if unseen is not None:
                reasons[row] = unseen_label_message(unseen, target.vocabulary)
            encoded[row] = indices.astype(kind)
        raise_invalid(reasons)
        return _pad_masks(encoded, kind)

    def decode_targets(self, encoded: Batch, target: SegmentationTarget) -> list[Any]:
        """Return arrays ``(height, width)`` of class ids, ``ignore`` for ignored pixels."""
        ids = np.array((target.ignore, *target.vocabulary), target.dtype)
        sizes = zip(encoded.lengths[HEIGHT].tolist(), encoded.lengths[WIDTH].tolist(), strict=True)
        masks = encoded["mask"].cpu().numpy()
        return [ids[mask[:height, :width]] for mask, (height, width) in zip(masks, sizes, strict=True)]

    def build_module(self, features: FeatureDescription, target: SegmentationTarget) -> HeadModule:
        return _Decoder(features, target, self._config.channels)


class _Decoder(HeadModule):
    """Projects each level by a 1 × 1 convolution, upsamples it to the finest, and applies a 3 × 3 convolution to their sum.

    After the decoder of SegFormer (Xie et al., 2021, SegFormer: Simple and Efficient Design for Semantic Segmentation with
    Transformers, section 3.2), which concatenates levels instead of adding them, and uses 1 × 1 convolutions only.
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
        """Set the scale of each level to its root mean square, or 1 if it is all zero."""
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
        """Compute softmax cross-entropy, in nats, summed over the pixels that the model read and that have a class."""
        height, width = (self._stride * cells for cells in output.shape[-2:])
        logits = interpolate(output.float(), (height, width), mode="bilinear")
        rows, columns = pixel_centres(height, output.device), pixel_centres(width, output.device)
        positions = transform_positions(self._geometry(output, features).transform, rows, columns)
        labels = _sample_masks(targets, positions)
        total = cross_entropy(logits, labels - 1, reduction="sum", ignore_index=-1)
        return LossSum(total, (labels > 0).sum().float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        """Predict arrays ``(height, width)`` of class ids, one for each pixel of the raw image.

        Outside of the crop that the model read, the nearest prediction is used.
        """
        geometry = self._geometry(output, features)
        ids = np.array(self._target.vocabulary, self._target.dtype)
        values: list[Any] = []
        for row, (height, width) in enumerate(geometry.sizes.tolist()):
            logits = output[row : row + 1].float()
            classes = _most_likely_classes(logits, inverse_transform(geometry.transform[row]), height, width)
            values.append(ids[classes.cpu().numpy()])
        return Predictions(values, None, self._target.vocabulary)

    def _geometry(self, output: Tensor, features: Features) -> GridGeometry:
        """Return the geometry of the features. Without one, they cover an image of as many pixels as the model read."""
        if features.geometry is not None:
            return GridGeometry(features.geometry.transform.float(), features.geometry.sizes)
        rows, device = len(output), output.device
        sizes = torch.tensor([self._stride * cells for cells in output.shape[-2:]]).expand(rows, 2)
        return GridGeometry(torch.eye(2, 3, device=device).expand(rows, 2, 3), sizes)


def _too_few_classes(column: str, vocabulary: tuple[int, ...], ignored: int | None) -> VisionError:
    only = f"only the class {vocabulary[0]}" if vocabulary else "no class at all"
    hint = ""
    if ignored is not None:
        hint = f"\nPixels of {ignored} are ignored. If that is a class, set head.ignore to another number (-1)."
    return VisionError(
        f"The masks of the target column '{column}' have {only} in the training split; segmentation needs two or more.{hint}"
    )


def _iter_masks(column: str, values: Sequence[Any], reasons: dict[int, str]) -> Iterator[tuple[int, ClassIds]]:
    """Yield loaded masks by row, and record invalid ones."""
    for row, value in enumerate(values):
        if is_empty(unwrap(value)[0]):
            reasons[row] = f"the target column '{column}' is empty"
            continue
        try:
            yield row, load_mask(value)
        except InvalidImage as reason:
            reasons[row] = str(reason)


def _encode_mask(mask: ClassIds, target: SegmentationTarget) -> tuple[NDArray[np.intp], int | None]:
    """Look up the index of each class id in the vocabulary, plus 1; also return an unseen id, or None."""
    known = np.array(target.vocabulary, np.int64)
    indices = np.searchsorted(known, mask).clip(max=len(known) - 1)
    found, ignored = known[indices] == mask, mask == target.ignore
    unseen = mask[~found & ~ignored]
    return np.where(found, indices + 1, 0), int(unseen[0]) if unseen.size else None


def _pad_masks(masks: Sequence[NDArray[Any]], kind: type[np.integer[Any]]) -> Batch:
    """Pad masks of different sizes to one batch."""
    sizes = np.array([mask.shape for mask in masks], np.int64).reshape(len(masks), 2)
    padded = np.zeros((len(masks), *sizes.max(0, initial=0)), kind)
    for row, mask in enumerate(masks):
        padded[row, : mask.shape[0], : mask.shape[1]] = mask
    heights, widths = torch.from_numpy(sizes.T.copy())
    return Batch({"mask": torch.from_numpy(padded)}, {"mask": (HEIGHT, WIDTH)}, {HEIGHT: heights, WIDTH: widths})


def _sample_masks(targets: Batch, positions: tuple[Tensor, Tensor]) -> Tensor:
    """Sample masks at positions of their images, by nearest neighbour.

    Returns:
        ``(batch, height, width)`` int64, with classes as in :meth:`SegmentationHead.encode`; 0 outside an image.
    """
    mask = targets["mask"]
    height, width = (targets.lengths[axis][:, None, None] for axis in (HEIGHT, WIDTH))
    column, line = (
        ((position + 1) / 2 * size).floor().long() for position, size in zip(positions, (width, height), strict=True)
    )
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    index = torch.where(inside, line * mask.shape[2] + column, 0)
    return torch.where(inside, mask.flatten(1).gather(1, index.flatten(1)).view_as(index), 0).long()


def _most_likely_classes(logits: Tensor, inverse: Tensor, height: int, width: int) -> Tensor:
    """Find the most likely class at each pixel of an image, a band of rows at a time.

    Args:
        logits: ``(1, class, …, …)``.
        inverse: ``(1, 2, 3)``; maps positions in the image to positions in the logits.

    Returns:
        ``(height, width)`` int64.
    """
    columns, rows = pixel_centres(width, logits.device), pixel_centres(height, logits.device)
    classes = []
    for band_rows in rows.split(max(1, PIXELS_PER_BAND // width)):
        positions = torch.stack(transform_positions(inverse, band_rows, columns), -1)
        band = grid_sample(logits, positions, mode="bilinear", padding_mode="border", align_corners=False)
        classes.append(band[0].argmax(0))
    return torch.cat(classes)
