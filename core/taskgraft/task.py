"""A backbone and a head as one module, and the passes that need no training."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from taskgraft.arithmetic import FrozenArithmetic
from taskgraft.backbone import Backbone
from taskgraft.batch import Batch
from taskgraft.description import Layout
from taskgraft.features import Features, from_batch, to_batch
from taskgraft.head import HeadModule, Loss, Predictions, joined
from taskgraft.memory import in_pieces
from taskgraft.ordering import inference_batches
from taskgraft.store import Store

if TYPE_CHECKING:
    from taskgraft.plan import StageLoss


class Task(nn.Module):
    """A composed model: from what lies at a cut to a loss.

    Attributes:
        layout: what the head reads.
        pads: whether the backbone's features stay the same among longer companions.
    """

    def __init__(self, backbone: Backbone, head: HeadModule, layout: Layout):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.layout = layout
        self.pads = True

    def features(self, cut: int | None, state: Batch) -> Features:
        """Compute features from what lies at a cut; None when it is the features themselves that were stored."""
        if cut is None:
            return from_batch(state, self.layout)
        return self.backbone.resume(cut, state, self.layout) if cut else self.backbone(state, self.layout)

    def forward(
        self, cut: int | None, state: Batch, targets: Batch, around: "StageLoss | None"
    ) -> tuple[Tensor, Tensor]:
        """Compute a loss as (total, weight)."""
        features = self.features(cut, state)
        output = self.head(features)
        if around is not None:
            loss = around(self.head, output, targets, features.lengths)
        else:
            loss = self.head.loss(output, targets, features.lengths)
        return loss.total, loss.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.parameters())).device


Passes = Callable[[Sequence[Sequence[int]]], Iterator[Sequence[int]]]
"""Goes through batches of row numbers, perhaps showing how far it is."""


@torch.no_grad()
def stored(task: Task, cut: int | None, inputs: Store, size: int, folder: Path, memory: int, passes: Passes) -> Store:
    """Run every example once, to a cut or (None) to its features, and keep the result.

    Args:
        inputs: prepared examples.
        size: rows per pass.
        folder: where the store may put files.
        memory: bytes that the store keeps in memory.
    """
    task.backbone.eval()
    store = Store(folder, memory)

    def state(rows: Sequence[int]) -> Batch:
        batch = inputs.gather(rows).to(task.device)
        with FrozenArithmetic():
            return to_batch(task.backbone(batch, task.layout)) if cut is None else task.backbone.run_to(cut, batch)

    for batch in passes(inference_batches(inputs.sizes(), size, even=not task.pads)):
        for rows, found in in_pieces(batch, state):
            store.append(rows, found)
    return store.finish()


@torch.no_grad()
def predictions(task: Task, cut: int | None, inputs: Store, size: int, passes: Passes) -> Predictions:
    """Predict for every example, in the order of the rows."""
    task.eval()
    pieces: list[Predictions] = []
    order: list[int] = []

    def found(rows: Sequence[int]) -> Predictions:
        batch = inputs.gather(rows).to(task.device)
        with FrozenArithmetic():
            features = task.features(cut, batch)
            return task.head.predict(task.head(features), features.lengths)

    for batch in passes(inference_batches(inputs.sizes(), size, even=not task.pads)):
        for rows, piece in in_pieces(batch, found):
            pieces.append(piece)
            order += rows
    return joined(pieces, order)


@torch.no_grad()
def mean_loss(task: Task, cut: int | None, inputs: Store, targets: Batch, size: int) -> float:
    """The head's own loss, averaged over all rows."""
    task.eval()

    def loss(rows: Sequence[int]) -> Loss:
        batch, truth = inputs.gather(rows).to(task.device), targets.rows(rows).to(task.device)
        with FrozenArithmetic():
            features = task.features(cut, batch)
            return task.head.loss(task.head(features), truth, features.lengths)

    batches = inference_batches(inputs.sizes(), size, even=not task.pads)
    losses = [piece for batch in batches for _, piece in in_pieces(batch, loss)]
    return float(sum(float(loss.total) for loss in losses) / max(sum(float(loss.weight) for loss in losses), 1e-12))
