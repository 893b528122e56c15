"""A backbone with processed examples, for the checks of backbones and strategies."""

from dataclasses import dataclass

import torch

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.features import Features
from taskgraft.testing.check import InsufficientExamples

EXTRA_PADDING = 3
"""Positions of padding that checks add."""


@dataclass(frozen=True)
class BackboneUnderTest:
    """A backbone in eval mode with processed examples."""

    backbone: Backbone
    batch: Batch

    @property
    def description(self) -> BackboneDescription:
        """The backbone's description of itself."""
        return self.backbone.description

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The layouts that the backbone emits."""
        return tuple(feature.layout for feature in self.description.features)

    @property
    def padded_lengths(self) -> dict[str, int]:
        """A length of each padded axis that is longer than any example needs."""
        return {axis: int(length.max()) + EXTRA_PADDING for axis, length in self.batch.lengths.items()}

    def features(self, layout: Layout, batch: Batch | None = None) -> Features:
        """Compute features without gradients."""
        with torch.no_grad():
            return self.backbone(self.batch if batch is None else batch, layout)  # type: ignore[no-any-return]


def prepare_backbone(backbone: Backbone, inputs: Columns) -> BackboneUnderTest:
    """Process examples, after checking that they can show a fault.

    Raises:
        InsufficientExamples: with fewer than three rows, an invalid row, or padded examples that all have one length.
    """
    who = type(backbone).__name__
    processed = backbone.processor.prepare(inputs)
    if len(processed.batch) < 3:
        raise InsufficientExamples(who, f"there are {len(processed.batch)} rows; give three or more")
    if processed.invalid:
        row, reason = next(iter(processed.invalid.items()))
        raise InsufficientExamples(who, f"its processor calls row {row} invalid ({reason}); give valid rows")
    for axis, length in processed.batch.lengths.items():
        if len(set(length.tolist())) == 1:
            raise InsufficientExamples(
                who, f"all have {int(length[0])} positions along '{axis}'; give different lengths"
            )
    return BackboneUnderTest(backbone.eval(), processed.batch)
