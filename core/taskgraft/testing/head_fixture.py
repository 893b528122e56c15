"""A head built on features drawn at random, for the checks of :mod:`taskgraft.testing.head`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import FeatureDescription, Layout
from taskgraft.contract.features import ELEMENT_AXIS, Features, GridGeometry
from taskgraft.contract.head import Head, HeadModule, LossSum
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementSchema, keep_masked
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.targets import TargetDescription
from taskgraft.testing.check import LONGER, InsufficientExamples

FEATURES: Mapping[Layout, tuple[FeatureDescription, ...]] = {
    Layout.VECTOR: (FeatureDescription(Layout.VECTOR, (6,)), FeatureDescription(Layout.VECTOR, (6,), ensemble_size=3)),
    Layout.SEQUENCE: (FeatureDescription(Layout.SEQUENCE, (6,)),),
    Layout.GRID: (FeatureDescription(Layout.GRID, (6,), strides=(4,)),),
    Layout.PYRAMID: (FeatureDescription(Layout.PYRAMID, (4, 6), strides=(4, 8)),),
    Layout.PAIR: (FeatureDescription(Layout.PAIR, (6,)),),
}
"""What checks let a head read, for each layout that it says it reads; a vector also with a member axis."""


@dataclass(frozen=True)
class HeadUnderTest:
    """A built head in eval mode, with features drawn at random and encoded targets."""

    head: Head[Any]
    target: TargetDescription
    module: HeadModule
    features: Features
    encoded: Batch

    def rows(self, rows: Sequence[int]) -> "HeadUnderTest":
        """Take some of the examples."""
        return HeadUnderTest(self.head, self.target, self.module, self.features.select(rows), self.encoded.select(rows))

    def output(self) -> Tensor:
        """Compute the output."""
        return self.module(self.features)  # type: ignore[no-any-return]

    def loss(self) -> LossSum:
        """Compute the loss."""
        return self.module.loss(self.output(), self.encoded, self.features)

    def predictions(self) -> Predictions:
        """Predict."""
        with torch.no_grad():
            return self.module.predict(self.output(), self.features)


def learned(head: Head[Any], targets: Columns | ElementSchema) -> TargetDescription:
    """Let a head learn from target columns, or from what the elements of a backbone hold."""
    return head.fit_element_schema(targets) if isinstance(targets, ElementSchema) else head.fit_targets(targets)  # type: ignore[no-any-return]


def head_trials(head: Head[Any], targets: Columns | ElementSchema) -> list[HeadUnderTest]:
    """Build a head for each kind of features that it reads, its weights and the features drawn from a seed.

    Raises:
        InsufficientExamples: with fewer than four rows.
    """
    if isinstance(targets, ElementSchema):
        held = random_element_values(targets)
        target, encoded = learned(head, targets), keep_masked(held, head.choose_masked(held, range(len(held))))
    else:
        rows = len(next(iter(targets.values())))
        if rows < 4:
            raise InsufficientExamples(type(head).__name__, f"there are {rows} targets; give four or more")
        target = learned(head, targets)
        encoded = head.encode(targets, target)
    return [_trial(head, target, encoded, one) for layout in head.description.layouts for one in FEATURES[layout]]


def random_element_values(contents: ElementSchema, rows: int = 32) -> Batch:
    """Draw what elements hold, some of them nothing, as a processor would say it."""
    generator = torch.Generator().manual_seed(2)
    kinds = contents.kinds if contents.by_position else contents.kinds * 5
    numbers = max(kind.numbers for kind in kinds)
    category = torch.full((rows, len(kinds)), -1)
    number = torch.randn(rows, len(kinds), numbers, generator=generator)
    for place, kind in enumerate(kinds):
        if kind.outputs and not kind.numbers:
            category[:, place] = torch.randint(kind.outputs, (rows,), generator=generator)
        number[:, place, kind.numbers :] = torch.nan
    nothing = torch.rand(rows, len(kinds), generator=generator) < 0.2
    category[nothing], number[nothing] = -1, torch.nan
    lengths = torch.full((rows,), len(kinds)) if contents.by_position else torch.arange(rows) % len(kinds) + 1
    tensors = {CATEGORY: category, NUMBER: number}
    return collate([Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: lengths})])


def described(tried: HeadUnderTest) -> FeatureDescription:
    """Describe the features that the head reads."""
    layout = tried.features.layout
    members = tried.features.value.shape[1] if layout == Layout.VECTOR and tried.features.value.dim() == 3 else None
    return next(one for one in FEATURES[layout] if one.ensemble_size == members)


def words(tried: HeadUnderTest) -> str:
    """Say which features the head reads, for a message."""
    what = described(tried)
    return f"{what.layout} features" + (f" with {what.ensemble_size} members" if what.ensemble_size else "")


def _trial(head: Head[Any], target: TargetDescription, encoded: Batch, wanted: FeatureDescription) -> HeadUnderTest:
    generator = torch.Generator().manual_seed(0)
    rows = len(encoded)
    lengths = next(iter(encoded.lengths.values()), None)
    if lengths is None:
        lengths = torch.arange(rows) % 4 + 1
    longest = max(int(lengths.max()), 1)
    shapes = {
        Layout.VECTOR: [(rows, wanted.feature_size)]
        if wanted.ensemble_size is None
        else [(rows, wanted.ensemble_size, wanted.feature_size)],
        Layout.SEQUENCE: [(rows, longest, wanted.feature_size)],
        Layout.GRID: [(rows, wanted.feature_size, 4, 4)],
        Layout.PYRAMID: [(rows, size, 8 >> level, 8 >> level) for level, size in enumerate(wanted.feature_sizes)],
        Layout.PAIR: [(rows, longest, longest, wanted.feature_size)],
    }[wanted.layout]
    values = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    counted = lengths if wanted.layout in (Layout.SEQUENCE, Layout.PAIR) else None
    module = head.build_module(wanted, target).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    place = _place(rows) if wanted.layout in (Layout.GRID, Layout.PYRAMID) else None
    return HeadUnderTest(head, target, module, Features(wanted.layout, values, counted, place), encoded)


def _place(rows: int) -> GridGeometry:
    """Let grids lie over all of a raw input, mirrored in every second row, and each input be one wider than the one before."""
    transform = torch.eye(2, 3).repeat(rows, 1, 1)
    transform[1::2, 0, 0] = -1.0
    return GridGeometry(transform, torch.stack([torch.full((rows,), 8), 8 + torch.arange(rows)], 1))


def padded(tried: HeadUnderTest) -> HeadUnderTest:
    """Lengthen what is padded: targets, and features that have elements, with large random numbers past every length."""
    features = tried.features
    encoded = collate([tried.encoded], {axis: int(some.max()) + LONGER for axis, some in tried.encoded.lengths.items()})
    if features.lengths is None:
        return replace(tried, encoded=encoded)
    axes = 1 if features.layout == Layout.SEQUENCE else 2
    generator = torch.Generator().manual_seed(1)
    longest = features.value.shape[1] + LONGER
    shape = (len(features), *[longest] * axes, features.value.shape[-1])
    value = torch.randn(shape, generator=generator) * 100
    for row, length in enumerate(features.lengths.tolist()):
        real = [slice(0, length)] * axes
        value[row][*real] = features.value[row][*real]
    return replace(tried, features=Features(features.layout, (value,), features.lengths), encoded=encoded)
