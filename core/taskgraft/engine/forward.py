"""Forward passes over many rows, without gradients: cached features, predictions, soft labels and the mean loss."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from taskgraft.contract.batch import Batch, RowIndices
from taskgraft.contract.features import features_to_batch
from taskgraft.contract.predictions import Predictions, concat_predictions
from taskgraft.data.batching import BatchBudget, inference_batches
from taskgraft.data.examples import Targets, iter_batches
from taskgraft.data.tensor_cache import RowSource, TensorCache
from taskgraft.engine.memory import halve_on_oom
from taskgraft.engine.precision import OneDnnLinear
from taskgraft.engine.task_module import TaskModule
from taskgraft.progress import ProgressReporter

_Result = TypeVar("_Result")

ProgressIterator = Callable[[Sequence[RowIndices]], Iterator[RowIndices]]
"""Iterates over batches of row indices, perhaps showing progress."""


def show_progress(reporter: ProgressReporter, description: str = "predicting") -> ProgressIterator:
    """Return an iterator over batches that shows progress under a description."""
    return lambda batches: reporter.track(batches, description, len(batches))


def forward_batches(
    inputs: RowSource,
    batches: Sequence[RowIndices],
    device: torch.device,
    compute: Callable[[Batch], _Result],
    progress: ProgressIterator = iter,
    workers: int | None = None,
) -> Iterator[tuple[RowIndices, _Result]]:
    """Yield row indices and what ``compute`` returns for them, without gradients; a batch that needs too much memory is halved.

    Args:
        compute: is called with a batch on the device.
        workers: processes that load heavy inputs; None chooses by the machine.
    """
    loaded = iter_batches(inputs, batches, workers)
    for rows in progress(batches):
        batch = next(loaded)

        def compute_some(places: Sequence[int], batch: Batch = batch) -> _Result:
            some = batch if len(places) == len(batch) else batch.select(places)
            with torch.no_grad(), OneDnnLinear():
                return compute(some.to(device))

        for places, result in halve_on_oom(range(len(rows)), compute_some):
            yield (rows if len(places) == len(rows) else [rows[place] for place in places]), result


def cache_features(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    cache: TensorCache,
    budget: BatchBudget,
    progress: ProgressIterator,
    workers: int | None = None,
) -> TensorCache:
    """Run every row once through the backbone, up to a cut or (None) to its features, and finish a cache of the results.

    Args:
        inputs: processed rows.
        cache: an empty one.
        budget: of a forward pass.
        progress, workers: as for :func:`forward_batches`.
    """
    task.backbone.eval()

    def state(batch: Batch) -> Batch:
        if cut is None:
            return features_to_batch(task.backbone(batch, task.layout))
        return task.backbone.forward_to_cut(cut, batch, task.layout)

    batches = _batches(task, inputs, budget)
    for rows, states in forward_batches(inputs, batches, task.device, state, progress, workers):
        cache.append(rows, states)
    return cache.finish()


def compute_soft_labels(
    task: TaskModule,
    inputs: RowSource,
    temperature: float,
    cache: TensorCache,
    budget: BatchBudget,
    progress: ProgressIterator,
    workers: int | None = None,
) -> TensorCache:
    """Finish a cache of the soft labels of every row, for a student. Arguments as for :func:`cache_features`."""
    task.eval()

    def soft_labels(batch: Batch) -> Batch:
        return task.head.soft_labels(*task.output(0, batch), temperature)

    batches = _batches(task, inputs, budget)
    for rows, labels in forward_batches(inputs, batches, task.device, soft_labels, progress, workers):
        cache.append(rows, labels)
    return cache.finish()


def predict_batches(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    budget: BatchBudget,
    progress: ProgressIterator,
    workers: int | None = None,
) -> Predictions:
    """Predict for every row, in order. Arguments as for :func:`cache_features`."""
    task.eval()
    chunks: list[Predictions] = []
    order: list[int] = []

    def predict(batch: Batch) -> Predictions:
        return task.head.predict(*task.output(cut, batch))

    batches = _batches(task, inputs, budget)
    for rows, predictions in forward_batches(inputs, batches, task.device, predict, progress, workers):
        chunks.append(predictions)
        order.extend(rows)
    return concat_predictions(chunks, order)


@torch.no_grad()
def evaluate_batches(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    targets: Targets,
    rows: RowIndices,
    budget: BatchBudget,
    workers: int | None = None,
) -> tuple[float, Predictions]:
    """Compute the head's own loss, averaged over some rows, and predict for them, in their order, in the same pass.

    Arguments as for :func:`cache_features`; ``rows`` in ascending order.
    """
    task.eval()
    total, weight, output_of = 0.0, 0.0, partial(task.output, cut)
    chunks: list[Predictions] = []
    order: list[int] = []
    chosen, sizes = np.asarray(rows), np.asarray(inputs.sizes())
    batches = inference_batches(sizes[chosen].tolist(), budget, even=not task.padding_invariant)
    numbers: list[RowIndices] = [chosen[batch] for batch in batches]
    for some, (output, features) in forward_batches(inputs, numbers, task.device, output_of, workers=workers):
        loss = task.head.loss(output, targets.select(some).to(task.device), features)
        total, weight = total + float(loss.total), weight + float(loss.weight)
        chunks.append(task.head.predict(output, features))
        order.extend(np.searchsorted(chosen, some).tolist())
    return total / max(weight, 1e-12), concat_predictions(chunks, order)


def _batches(task: TaskModule, inputs: RowSource, budget: BatchBudget) -> Sequence[RowIndices]:
    return inference_batches(inputs.sizes(), budget, even=not task.padding_invariant)
