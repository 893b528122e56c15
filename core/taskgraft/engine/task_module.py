"""The task module: a backbone and a head as one ``nn.Module``."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features, batch_to_features
from taskgraft.contract.head import HeadModule

if TYPE_CHECKING:
    from taskgraft.contract.plan import Stage


class TaskModule(nn.Module):
    """A composed model: from the inputs, or the state cached at a cut, to a loss.

    Attributes:
        layout: of the features that the head reads.
        padding_invariant: whether padding to a longer batch leaves features unchanged.
    """

    def __init__(self, backbone: Backbone, head: HeadModule, layout: Layout):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.layout = layout
        self.padding_invariant = True

    def features(self, cut: int | None, state: Batch) -> Features:
        """Compute features from the state at a cut: 0 for the inputs, None if ``state`` holds the features themselves."""
        if cut is None:
            return batch_to_features(state, self.layout)
        return self.backbone.forward_from_cut(cut, state, self.layout) if cut else self.backbone(state, self.layout)

    def output(self, cut: int | None, state: Batch) -> tuple[Tensor, Features]:
        """Compute the output of the head, and the features that it read."""
        features = self.features(cut, state)
        return self.head(features), features

    def forward(self, cut: int | None, state: Batch, targets: Batch, stage: "Stage") -> tuple[Tensor, Tensor]:
        """Compute the loss of a stage as (total, weight)."""
        output, features = self.output(cut, state)
        loss_of = self.head.loss if stage.loss is None else partial(stage.loss, self.head)
        loss = loss_of(output, targets, features)
        if stage.regularizer is None:
            return loss.total, loss.weight
        return loss.total + loss.weight * stage.regularizer(self.backbone), loss.weight

    @property
    def cacheable(self) -> bool:
        """Whether features, and states at cuts, may be cached."""
        feature = self.backbone.description.feature(self.layout)
        return feature is None or feature.cacheable

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return module_device(self)


def module_device(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter, else of its first buffer; the CPU if it has neither."""
    tensor = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def restore_modes(module: nn.Module) -> Iterator[None]:
    """Put every submodule back into the training or eval mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
