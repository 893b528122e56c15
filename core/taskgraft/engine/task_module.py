"""A backbone and a head as one module, and the passes that need no training."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features, batch_to_features, features_to_batch
from taskgraft.contract.head import HeadModule, Predictions, concat_predictions
from taskgraft.data.batching import BatchBudget, inference_batches
from taskgraft.data.examples import Targets, iter_batches
from taskgraft.data.tensor_cache import RowSource, TensorCache
from taskgraft.engine.memory import halve_on_oom
from taskgraft.engine.precision import OneDnnLinear

if TYPE_CHECKING:
    from taskgraft.contract.plan import Stage


class TaskModule(nn.Module):
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
        self.padding_invariant = True

    def features(self, cut: int | None, state: Batch) -> Features:
        """Compute features from what lies at a cut; None when it is the features themselves that were stored."""
        if cut is None:
            return batch_to_features(state, self.layout)
        return self.backbone.forward_from_cut(cut, state, self.layout) if cut else self.backbone(state, self.layout)

    def forward(self, cut: int | None, state: Batch, targets: Batch, stage: "Stage") -> tuple[Tensor, Tensor]:
        """Compute the loss of a stage as (total, weight)."""
        features = self.features(cut, state)
        output = self.head(features)
        compare = self.head.loss if stage.loss is None else partial(stage.loss, self.head)
        loss = compare(output, targets, features)
        if stage.regularizer is None:
            return loss.total, loss.weight
        return loss.total + loss.weight * stage.regularizer(self.backbone), loss.weight

    @property
    def cacheable(self) -> bool:
        """Whether features, and what lies before them, may be stored."""
        feature = self.backbone.description.feature(self.layout)
        return feature is None or feature.cacheable

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.parameters())).device


Result = TypeVar("Result")

ProgressIterator = Callable[[Sequence[RowIndices]], Iterator[RowIndices]]
"""Goes through batches of row numbers, perhaps showing how far it is."""


@torch.no_grad()
def cache_features(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    limit: BatchBudget,
    folder: Path,
    memory: int,
    passes: ProgressIterator,
    workers: int | None = None,
) -> TensorCache:
    """Run every example once, to a cut or (None) to its features, and keep the result.

    Args:
        inputs: prepared examples.
        limit: of a pass.
        folder: where the store may put files.
        memory: bytes that the store keeps in memory.
        workers: processes that gather heavy inputs; None leaves it to the machine.
    """
    task.backbone.eval()
    store = TensorCache(folder, memory)

    def state(batch: Batch) -> Batch:
        if cut is None:
            return features_to_batch(task.backbone(batch, task.layout))
        return task.backbone.forward_to_cut(cut, batch, task.layout)

    for rows, found in _passed(task, inputs, limit, passes, workers, state):
        store.append(rows, found)
    return store.finish()


@torch.no_grad()
def predict_batches(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    limit: BatchBudget,
    passes: ProgressIterator,
    workers: int | None = None,
) -> Predictions:
    """Predict for every example, in the order of the rows. Arguments as for :func:`cache_features`."""
    task.eval()
    pieces: list[Predictions] = []
    order: list[int] = []

    def found(batch: Batch) -> Predictions:
        features = task.features(cut, batch)
        return task.head.predict(task.head(features), features)

    for rows, piece in _passed(task, inputs, limit, passes, workers, found):
        pieces.append(piece)
        order.extend(rows)
    return concat_predictions(pieces, order)


@torch.no_grad()
def compute_soft_labels(
    task: TaskModule,
    inputs: RowSource,
    temperature: float,
    limit: BatchBudget,
    folder: Path,
    memory: int,
    passes: ProgressIterator,
    workers: int | None = None,
) -> TensorCache:
    """Keep what a student may learn of every example. Arguments as for :func:`cache_features`."""
    task.eval()
    store = TensorCache(folder, memory)

    def soft(batch: Batch) -> Batch:
        features = task.features(0, batch)
        return task.head.soft_labels(task.head(features), features, temperature)

    for rows, found in _passed(task, inputs, limit, passes, workers, soft):
        store.append(rows, found)
    return store.finish()


@torch.no_grad()
def evaluate_loss(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    targets: Targets,
    limit: BatchBudget,
    workers: int | None = None,
) -> float:
    """The head's own loss, averaged over all rows. Arguments as for :func:`cache_features`."""
    task.eval()
    total, weight = 0.0, 0.0

    def features(batch: Batch) -> tuple[Tensor, Features]:
        found = task.features(cut, batch)
        return task.head(found), found

    for rows, (output, found) in _passed(task, inputs, limit, iter, workers, features):
        loss = task.head.loss(output, targets.select(rows).to(task.device), found)
        total, weight = total + float(loss.total), weight + float(loss.weight)
    return total / max(weight, 1e-12)


def _passed(
    task: TaskModule,
    inputs: RowSource,
    limit: BatchBudget,
    passes: ProgressIterator,
    workers: int | None,
    work: Callable[[Batch], Result],
) -> Iterator[tuple[RowIndices, Result]]:
    """Do some work with all examples, in batches, or pieces of them where memory does not suffice."""
    batches = inference_batches(inputs.sizes(), limit, even=not task.padding_invariant)
    loaded = iter_batches(inputs, batches, workers)
    for rows in passes(batches):
        whole = next(loaded)

        def piece(places: Sequence[int], whole: Batch = whole) -> Result:
            some = whole if len(places) == len(whole) else whole.select(places)
            with OneDnnLinear():
                return work(some.to(task.device))

        for places, found in halve_on_oom(range(len(rows)), piece):
            yield (rows if len(places) == len(rows) else [rows[place] for place in places]), found
