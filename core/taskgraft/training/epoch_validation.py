"""Validation after each epoch: the loss of the validation rows, and the first metric of the head."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskgraft.composition.resolve import ResolvedComponent, resolve
from taskgraft.contract.head import Head
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.specs import MetricSpec
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.batching import batch_budget
from taskgraft.data.examples import EncodedDataset
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import evaluate_batches
from taskgraft.engine.task_module import TaskModule
from taskgraft.evaluation.bootstrap import finite_only
from taskgraft.evaluation.tables import metric_label
from taskgraft.preparation.errors import TrainingError
from taskgraft.progress import ProgressReporter
from taskgraft.reading.invalid_rows import OnBadRow
from taskgraft.recipe import TrainingConfig


@dataclass(frozen=True)
class EpochScores:
    """The scores of one epoch: the mean validation loss, in the head's unit, and the first metric by its name, if defined.

    Attributes:
        positive: metric → the class that it is about.
    """

    loss: float
    metric: Mapping[str, float]
    positive: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        metric = {metric_label(name, self.positive): value for name, value in self.metric.items()}
        values = {"validation loss": self.loss, **metric}
        return ", ".join(f"{name} {value:.4g}" for name, value in values.items())

    def to_line(self) -> dict[str, float]:
        """Return the values for metrics.jsonl."""
        return {"validation_loss": self.loss, **{f"validation_{name}": value for name, value in self.metric.items()}}


@dataclass
class EpochValidation:
    """Evaluates validation rows after each epoch.

    Attributes:
        rows: the raw ones of the data set, which metrics may read.
        on_bad_row: whether rows without a finite prediction are an error.
        most: evaluate no more rows than this, evenly spread; None evaluates all.
    """

    head: Head[Any]
    target: TargetDescription
    dataset: EncodedDataset
    rows: Rows
    settings: TrainingConfig
    reporter: ProgressReporter
    most: int | None = None
    on_bad_row: OnBadRow = "error"

    def evaluate(self, task: TaskModule, cut: int | None) -> EpochScores:
        """Evaluate the present weights. The inputs are states at a cut. The task is in eval mode afterwards.

        Raises:
            InvalidRows: naming rows whose predictions are not finite. If invalid rows are skipped, the loss is infinite.
            TrainingError: when no prediction is finite.
        """
        inputs, targets, settings = self.dataset.inputs, self.dataset.targets, self.settings
        budget = batch_budget(settings)
        loss, predictions, wrong = evaluate_batches(task, cut, inputs, targets, self._numbers, budget, settings.workers)
        if wrong and self.on_bad_row == "error":
            if len(wrong) == len(self._numbers):
                raise TrainingError(
                    "No prediction for a validation row is finite after an epoch, so training has diverged. "
                    "Lower the learning rate."
                )
            raise InvalidRows(self.rows, {int(self._numbers[place]): reason for place, reason in wrong.items()})
        metric, chosen = {} if wrong else self._compute_metric(predictions), self._metric
        find = None if chosen is None else chosen.spec.positive
        positive = {} if chosen is None or find is None else find(predictions, chosen.config)
        return EpochScores(loss, metric, positive)

    @property
    def count(self) -> str:
        """How many rows are evaluated, in words; empty for all of them."""
        some, whole = len(self._numbers), len(self.dataset)
        return "" if some == whole else f" ({some:,} of {whole:,} validation rows)"

    @cached_property
    def _numbers(self) -> NDArray[np.int64]:
        """The numbers of the rows to evaluate."""
        whole = len(self.dataset)
        if self.most is None or whole <= self.most:
            return np.arange(whole)
        return np.arange(self.most) * whole // self.most

    def _compute_metric(self, predictions: Predictions) -> Mapping[str, float]:
        """Compute the head's first metric. One that fails is reported and left out from then on: training does not need it."""
        if self._metric is None:
            return {}
        spec, config = self._metric.spec, self._metric.config
        try:
            values = finite_only(
                spec.build(predictions, self._truth, self._columns, config)(np.arange(len(self._truth)))
            )
        except Exception as error:  # any exception of a plugin
            self.reporter.message(f"The metric '{self._metric.label}' is not shown after each epoch: {error}")
            self._metric = None
            return {}
        name = spec.primary or next(iter(values), "")
        return {name: values[name]} if name in values else {}

    @cached_property
    def _metric(self) -> ResolvedComponent[MetricSpec] | None:
        metrics = self.head.description.metrics
        return resolve(catalog(), MetricSpec, metrics[0]) if metrics else None

    @cached_property
    def _truth(self) -> list[Any]:
        return self.head.decode_targets(self.dataset.targets.select(self._numbers), self.target)

    @cached_property
    def _columns(self) -> Mapping[str, Any]:
        rows = self.rows if len(self._numbers) == len(self.rows) else self.rows.take(self._numbers.tolist())
        return rows.lazy_columns({column: column for column in rows.columns})
