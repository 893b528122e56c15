"""Forward passes over many rows, without gradients: cached features, predictions, soft labels and the mean loss."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from taskgraft.engine.finite import NotFinite, features_not_finite, finite_predictions, output_not_finite
from taskgraft.engine.memory import halve_on_oom
from taskgraft.engine.precision import OneDnnLinear
from taskgraft.engine.task_module import TaskModule
from taskgraft.progress import ProgressReporter

_Result = TypeVar("_Result")

Reasons = Mapping[int, str]
"""Row → why what is computed for it is not finite."""

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

    Raises:
        NotFinite: naming the rows whose features are not finite.
    """
    task.backbone.eval()

    def state(batch: Batch) -> tuple[Batch, Reasons]:
        if cut is None:
            features = task.backbone(batch, task.layout)
            return features_to_batch(features), features_not_finite(features)
        return task.backbone.forward_to_cut(cut, batch, task.layout), {}

    batches, invalid = _batches(task, inputs, budget), dict[int, str]()
    for rows, (states, reasons) in forward_batches(inputs, batches, task.device, state, progress, workers):
        cache.append(rows, states)
        invalid |= _of_rows(rows, reasons)
    if invalid:
        raise NotFinite(invalid)
    return cache.finish()


def compute_soft_labels(
    task: TaskModule,
    inputs: RowSource,
    temperature: float,
    cache: TensorCache,
    budget: BatchBudget,
    progress: ProgressIterator,
    workers: int | None = None,
) -> tuple[TensorCache, dict[int, str]]:
    """Finish a cache of the soft labels of every row, for a student. Arguments as for :func:`cache_features`.

    Returns:
        the cache; and row → why its soft labels are not finite.
    """
    task.eval()

    def soft_labels(batch: Batch) -> tuple[Batch, Reasons]:
        output, features = task.output(0, batch)
        return task.head.soft_labels(output, features, temperature), output_not_finite(output, features)

    batches, invalid = _batches(task, inputs, budget), dict[int, str]()
    for rows, (labels, reasons) in forward_batches(inputs, batches, task.device, soft_labels, progress, workers):
        cache.append(rows, labels)
        invalid |= _of_rows(rows, reasons)
    return cache.finish(), invalid


def predict_batches(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    budget: BatchBudget,
    progress: ProgressIterator,
    workers: int | None = None,
) -> tuple[Predictions, dict[int, str]]:
    """Predict for every row. Arguments as for :func:`cache_features`.

    Returns:
        the predictions of the rows where they are finite, in order; and row → why its prediction is not.
    """
    task.eval()
    collected = _Collected()

    def predict(batch: Batch) -> tuple[Predictions, Reasons]:
        output, features = task.output(cut, batch)
        return finite_predictions(task.head.predict(output, features), output, features)

    batches = _batches(task, inputs, budget)
    for rows, (predictions, reasons) in forward_batches(inputs, batches, task.device, predict, progress, workers):
        collected.add(rows, predictions, reasons)
    return collected.joined(), collected.invalid


@torch.no_grad()
def evaluate_batches(
    task: TaskModule,
    cut: int | None,
    inputs: RowSource,
    targets: Targets,
    rows: RowIndices,
    budget: BatchBudget,
    workers: int | None = None,
) -> tuple[float, Predictions, dict[int, str]]:
    """Compute the head's own loss, averaged over some rows, and predict for them, in their order, in the same pass.

    Arguments as for :func:`cache_features`; ``rows`` in ascending order.

    Returns:
        the loss, infinite if a prediction is not finite; and as :func:`predict_batches`, by place in ``rows``.
    """
    task.eval()
    total, weight, collected = 0.0, 0.0, _Collected()
    chosen, sizes = np.asarray(rows), np.asarray(inputs.sizes())
    batches = inference_batches(sizes[chosen].tolist(), budget, even=not task.padding_invariant)
    numbers: list[RowIndices] = [chosen[batch] for batch in batches]
    output_at_cut = partial(task.output, cut)
    for some, (output, features) in forward_batches(inputs, numbers, task.device, output_at_cut, workers=workers):
        loss = task.head.loss(output, targets.select(some).to(task.device), features)
        total, weight = total + float(loss.total), weight + float(loss.weight)
        predictions, reasons = finite_predictions(task.head.predict(output, features), output, features)
        collected.add(np.searchsorted(chosen, some).tolist(), predictions, reasons)
    mean = math.inf if collected.invalid else total / max(weight, 1e-12)
    return mean, collected.joined(), collected.invalid


class _Collected:
    """Predictions of batches, and why rows have none."""

    def __init__(self) -> None:
        self.invalid: dict[int, str] = {}
        self._chunks: list[Predictions] = []
        self._order: list[int] = []

    def add(self, rows: RowIndices, predictions: Predictions, reasons: Reasons) -> None:
        """Add the predictions of a batch, without those of rows that have a reason (place in the batch → why)."""
        self.invalid |= _of_rows(rows, reasons)
        self._chunks.append(predictions)
        self._order += [int(row) for place, row in enumerate(rows) if place not in reasons]

    def joined(self) -> Predictions:
        """Return the predictions in the order of their rows."""
        return concat_predictions(self._chunks, self._order)


def _of_rows(rows: RowIndices, reasons: Reasons) -> dict[int, str]:
    """Name rows by their index instead of their place in a batch."""
    return {int(rows[place]): reason for place, reason in reasons.items()}


def _batches(task: TaskModule, inputs: RowSource, budget: BatchBudget) -> Sequence[RowIndices]:
    return inference_batches(inputs.sizes(), budget, even=not task.padding_invariant)
