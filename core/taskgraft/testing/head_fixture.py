"""A head built on random features, for the checks of heads."""

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
from taskgraft.testing.backbone_fixture import EXTRA_PADDING
from taskgraft.testing.check import InsufficientExamples

_FEATURES: Mapping[Layout, tuple[FeatureDescription, ...]] = {
    Layout.VECTOR: (FeatureDescription(Layout.VECTOR, (6,)), FeatureDescription(Layout.VECTOR, (6,), ensemble_size=3)),
    Layout.SEQUENCE: (FeatureDescription(Layout.SEQUENCE, (6,)),),
    Layout.GRID: (FeatureDescription(Layout.GRID, (6,), strides=(4,)),),
    Layout.PYRAMID: (FeatureDescription(Layout.PYRAMID, (4, 6), strides=(4, 8)),),
    Layout.PAIR: (FeatureDescription(Layout.PAIR, (6,)),),
}
"""The features that a head is tried with, for each layout that it reads; a vector also with a member axis."""


@dataclass(frozen=True)
class HeadUnderTest:
    """A built head in eval mode, with random features and encoded targets."""

    head: Head[Any]
    target: TargetDescription
    module: HeadModule
    features: Features
    encoded: Batch

    @property
    def feature_description(self) -> FeatureDescription:
        """The description of the features that the head reads."""
        layout = self.features.layout
        members = self.features.value.shape[1] if layout == Layout.VECTOR and self.features.value.dim() == 3 else None
        return next(one for one in _FEATURES[layout] if one.ensemble_size == members)

    def __str__(self) -> str:
        """The features that the head reads, for a message: "vector features with 3 members"."""
        members = self.feature_description.ensemble_size
        return f"{self.features.layout} features" + (f" with {members} members" if members else "")

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

    def rebuild(self, target: TargetDescription) -> "HeadUnderTest":
        """Build the module again from another target description, and copy the weights."""
        module = self.head.build_module(self.feature_description, target).eval()
        module.load_state_dict(self.module.state_dict())
        return replace(self, target=target, module=module)

    def with_more_padding(self) -> "HeadUnderTest":
        """Lengthen what is padded: targets, and features that have elements, with large random numbers past every length."""
        features, lengths = self.features, self.encoded.lengths
        encoded = collate([self.encoded], {axis: int(some.max()) + EXTRA_PADDING for axis, some in lengths.items()})
        if features.lengths is None:
            return replace(self, encoded=encoded)
        axes = 1 if features.layout == Layout.SEQUENCE else 2
        generator = torch.Generator().manual_seed(1)
        longest = features.value.shape[1] + EXTRA_PADDING
        shape = (len(features), *[longest] * axes, features.value.shape[-1])
        value = torch.randn(shape, generator=generator) * 100
        for row, length in enumerate(features.lengths.tolist()):
            real = [slice(0, length)] * axes
            value[row][*real] = features.value[row][*real]
        return replace(self, features=Features(features.layout, (value,), features.lengths), encoded=encoded)


def fit_target(head: Head[Any], targets: Columns | ElementSchema) -> TargetDescription:
    """Fit a target description to target columns, or make one of an element schema."""
    return head.fit_element_schema(targets) if isinstance(targets, ElementSchema) else head.fit_targets(targets)  # type: ignore[no-any-return]


def heads_under_test(head: Head[Any], targets: Columns | ElementSchema) -> list[HeadUnderTest]:
    """Build a head for each kind of features that it reads, with random weights and features from one seed.

    Raises:
        InsufficientExamples: with fewer than four rows.
    """
    if isinstance(targets, ElementSchema):
        values = random_element_values(targets)
        target, encoded = fit_target(head, targets), keep_masked(values, head.choose_masked(values, range(len(values))))
    else:
        rows = len(next(iter(targets.values())))
        if rows < 4:
            raise InsufficientExamples(type(head).__name__, f"there are {rows} targets; give four or more")
        target = fit_target(head, targets)
        encoded = head.encode(targets, target)
    return [_build(head, target, encoded, one) for layout in head.description.layouts for one in _FEATURES[layout]]


def random_element_values(schema: ElementSchema, rows: int = 32) -> Batch:
    """Draw element values at random, some of them missing, in the form that a processor returns."""
    generator = torch.Generator().manual_seed(2)
    kinds = schema.kinds if schema.by_position else schema.kinds * 5
    numbers = max(kind.numbers for kind in kinds)
    category = torch.full((rows, len(kinds)), -1)
    number = torch.randn(rows, len(kinds), numbers, generator=generator)
    for position, kind in enumerate(kinds):
        if kind.outputs and not kind.numbers:
            category[:, position] = torch.randint(kind.outputs, (rows,), generator=generator)
        number[:, position, kind.numbers :] = torch.nan
    missing = torch.rand(rows, len(kinds), generator=generator) < 0.2
    category[missing], number[missing] = -1, torch.nan
    lengths = torch.full((rows,), len(kinds)) if schema.by_position else torch.arange(rows) % len(kinds) + 1
    tensors = {CATEGORY: category, NUMBER: number}
    return collate([Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: lengths})])


def _build(
    head: Head[Any], target: TargetDescription, encoded: Batch, description: FeatureDescription
) -> HeadUnderTest:
    generator = torch.Generator().manual_seed(0)
    rows, size, layout = len(encoded), description.feature_size, description.layout
    lengths = next(iter(encoded.lengths.values()), torch.arange(rows) % 4 + 1)
    longest = max(int(lengths.max()), 1)
    members = () if description.ensemble_size is None else (description.ensemble_size,)
    shapes = {
        Layout.VECTOR: [(rows, *members, size)],
        Layout.SEQUENCE: [(rows, longest, size)],
        Layout.GRID: [(rows, size, 4, 4)],
        Layout.PYRAMID: [(rows, one, 8 >> level, 8 >> level) for level, one in enumerate(description.feature_sizes)],
        Layout.PAIR: [(rows, longest, longest, size)],
    }[layout]
    values = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    module = head.build_module(description, target).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    geometry = _geometry(rows) if layout in (Layout.GRID, Layout.PYRAMID) else None
    features = Features(layout, values, lengths if layout in (Layout.SEQUENCE, Layout.PAIR) else None, geometry)
    return HeadUnderTest(head, target, module, features, encoded)


def _geometry(rows: int) -> GridGeometry:
    """Let grids cover the whole raw input, mirrored in every second row, and each input be one wider than the last."""
    transform = torch.eye(2, 3).repeat(rows, 1, 1)
    transform[1::2, 0, 0] = -1.0
    return GridGeometry(transform, torch.stack([torch.full((rows,), 8), 8 + torch.arange(rows)], 1))
