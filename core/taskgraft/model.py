"""The task model: compose, fit, evaluate, predict. The words of the Python API."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskgraft.backbone import Backbone
from taskgraft.batch import Batch
from taskgraft.catalog import catalog
from taskgraft.composition import Composition, Reference, composed
from taskgraft.config import parse
from taskgraft.description import TargetKind
from taskgraft.error import TaskgraftError
from taskgraft.fitting import Fitted, encoded, fit, inputs_of, passes
from taskgraft.head import Head, Predictions
from taskgraft.insertion import remove
from taskgraft.name import parse_name
from taskgraft.preparation import columns_for, read
from taskgraft.progress import Reporter
from taskgraft.recipe import DataConfig, Recipe, TrainingConfig
from taskgraft.rows import Rows
from taskgraft.spec import MetricSpec
from taskgraft.stages import StageReport
from taskgraft.strategy import Strategy
from taskgraft.task import predictions


@dataclass(frozen=True)
class Run:
    """What one fit did.

    Attributes:
        metrics: on the validation data; empty when there were none.
        stages: one report per stage.
        seconds: wall-clock, from reading the data to the last metric.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
    """

    metrics: Mapping[str, float]
    stages: tuple[StageReport, ...]
    seconds: float
    notes: Mapping[str, int]


@dataclass(eq=False)
class NotFitted(TaskgraftError):
    """A task model that has no head yet."""

    wish: str

    def __str__(self) -> str:
        return f"This task model has no head yet, so it cannot {self.wish}. Call fit first, or load an artifact."


@dataclass
class TaskModel:
    """A backbone, a head and a strategy, grafted together.

    Attributes:
        recipe: everything that was decided; complete once fitted.
        fitted: None until :meth:`fit`, and after a fit that failed.
    """

    composition: Composition
    recipe: Recipe
    fitted: Fitted | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._composed = self.composition  # what a backbone learns from the inputs of one fit does not bind the next

    def fit(
        self,
        train: Any,
        *,
        validation: Any = None,
        inputs: str | Sequence[str] | Mapping[str, str] | None = None,
        target: str | Sequence[str] = (),
        training: TrainingConfig | Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> Run:
        """Learn from labelled rows. A backbone passed as an object is trained in place.

        Args:
            train: a path, a DataFrame, an Arrow table, a list of dicts or a dict of columns.
            validation: the same; for choosing and judging, never learned from.
            inputs: a column, columns in the order of the backbone's inputs, or input → column. Found by name if left out.
            target: the target column, or several.
            training: settings of the training; the defaults for what is left out.
            quiet: show no progress.

        Raises:
            TaskgraftError: for whatever a person can mend, before training where it can be known before.
        """
        began = time.monotonic()
        if not isinstance(training, TrainingConfig):
            training = parse(TrainingConfig, training or {}, "training")
        targets = _names(target)
        known = catalog()
        rows = read(train, known, "the training data")
        held = None if validation is None else read(validation, known, "the validation data")
        names = columns_for(inputs, self._composed.backbone_description, rows, targets)
        for column in targets:
            rows.values(column, 0, 0)  # raises when there is no such column
        data = DataConfig(inputs=names, target=targets)
        recipe = recipe_of(self._composed).model_copy(update={"data": data, "training": training})
        if self.fitted is not None:
            remove(self.fitted.task.backbone, self.fitted.inserted)
            self.fitted = None
        with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
            outcome = fit(self._composed, recipe, rows, held, Reporter(quiet=quiet), Path(folder))
        self.composition, self.recipe, self.fitted = outcome.composition, outcome.recipe, outcome.fitted
        if held is not None and outcome.validation is not None:
            self.fitted.metrics = self._judged(self.fitted, *outcome.validation, held, ())
        return Run(self.fitted.metrics, outcome.stages, time.monotonic() - began, outcome.notes)

    def evaluate(
        self, data: Any, *, metrics: Sequence[str] = (), batch_size: int | None = None, quiet: bool = False
    ) -> dict[str, float]:
        """Judge predictions for labelled rows.

        Args:
            metrics: names of metrics; the head's own when left out.

        Returns:
            number by name.
        """
        fitted = self._ready("evaluate")
        rows = read(data, catalog(), "the data")
        with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
            made = inputs_of(fitted.task.backbone, rows, self.recipe, Path(folder))
            truth = encoded(fitted.head, fitted.target, rows, self.recipe, made)
            found = predictions(
                fitted.task, 0, made.store, self._rows_at_once(batch_size), passes(Reporter(quiet=quiet))
            )
        return self._judged(fitted, found, truth, rows, metrics)

    def predict(self, data: Any, *, batch_size: int | None = None, quiet: bool = False) -> list[Any]:
        """Predict in the user's own words: a label, a number, or a list of them, per row.

        Args:
            data: as for :meth:`fit`, or a plain list of inputs when the backbone reads one.
        """
        return self._predictions(data, batch_size, quiet).values

    def predict_proba(self, data: Any, *, batch_size: int | None = None, quiet: bool = False) -> list[Any]:
        """Predict probabilities: label → probability per row, or a list of such per row for a label per element.

        Raises:
            NoProbabilities: for a head that has none.
        """
        found = self._predictions(data, batch_size, quiet)
        if not found.values:
            return []
        if found.probabilities is None:
            raise NoProbabilities(self.composition.head.label)
        pairs = [
            [dict(zip(found.classes, line, strict=True)) for line in row.reshape(-1, len(found.classes)).tolist()]
            for row in found.probabilities
        ]
        return [lines if row.ndim > 1 else lines[0] for lines, row in zip(pairs, found.probabilities, strict=True)]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write an artifact: a folder with what was learned. See :mod:`taskgraft.artifact`."""
        from taskgraft.artifact import save

        self._ready("be saved")
        return save(self, Path(path), overwrite=overwrite)

    def _rows_at_once(self, batch_size: int | None) -> int:
        wanted = self.recipe.training.batch_size if batch_size is None else batch_size
        return parse(TrainingConfig, {"batch_size": wanted}, "predicting").batch_size

    def _ready(self, wish: str) -> Fitted:
        if self.fitted is None:
            raise NotFitted(wish)
        return self.fitted

    def _judged(
        self, fitted: Fitted, found: Predictions, targets: Batch, rows: Rows, metrics: Sequence[str]
    ) -> dict[str, float]:
        truth = fitted.head.truth(targets, fitted.target)
        columns = {column: rows.values(column) for column in rows.columns}
        numbers: dict[str, float] = {}
        wanted = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        for name in wanted or fitted.head.description.metrics:
            spec, _ = catalog().find(MetricSpec, parse_name(str(name)))
            if fitted.head.description.target not in spec.targets:
                raise UnfitMetric(name, self.composition.head.label)
            numbers |= spec.compute(found, truth, columns, parse(spec.config, {}, f"metric '{name}'"))
        return numbers

    def _predictions(self, data: Any, batch_size: int | None, quiet: bool) -> Predictions:
        fitted = self._ready("predict")
        names = self.recipe.data.inputs
        if isinstance(data, str) and len(names) == 1 and not Path(data).suffix:
            raise OneInput(data)
        if isinstance(data, Sequence) and not isinstance(data, str) and data and not isinstance(data[0], Mapping):
            if len(names) != 1:
                raise ListOfWhat(tuple(names))
            data = {next(iter(names.values())): list(data)}
        rows = read(data, catalog(), "the data")
        if not len(rows):
            return Predictions([])
        with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
            made = inputs_of(fitted.task.backbone, rows, self.recipe, Path(folder))
            found = predictions(
                fitted.task, 0, made.store, self._rows_at_once(batch_size), passes(Reporter(quiet=quiet))
            )
        if fitted.head.description.target == TargetKind.ELEMENT_CATEGORIES and made.elements is not None:
            return _completed(found, made.elements)
        return found


def compose(backbone: Reference | Backbone, head: Reference | Head[Any], strategy: Reference | Strategy) -> TaskModel:
    """Graft a head onto a backbone, to be trained by a strategy. Reads no weights.

    Args:
        backbone: a name (``"hf-text:some/checkpoint"``), a dict with the name and settings, or an object.
        head: the same.
        strategy: the same.

    Raises:
        TaskgraftError: when a name is unknown, a setting is refused, or the three do not fit together.
    """
    return model_of(composed(catalog(), backbone, head, strategy))


def model_of(composition: Composition) -> TaskModel:
    """Make a task model, without head module, of a composition."""
    return TaskModel(composition, recipe_of(composition))


def recipe_of(composition: Composition) -> Recipe:
    """Write down what was composed."""
    chosen = (composition.backbone, composition.head, composition.strategy)
    backbone, head, strategy = (one.choice() for one in chosen)
    return Recipe(backbone=backbone, head=head, strategy=strategy)


def _completed(found: Predictions, elements: Sequence[int]) -> Predictions:
    """Give elements that were cut off the prediction None."""
    values = [[*value, *[None] * (count - len(value))] for value, count in zip(found.values, elements, strict=True)]
    return Predictions(values, found.probabilities, found.classes)


def _names(target: object) -> tuple[str, ...]:
    names = (target,) if isinstance(target, str) else tuple(target) if isinstance(target, list | tuple) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise NoTarget(target)
    if not names:
        raise NoTarget()
    return tuple(dict.fromkeys(names))


@dataclass(eq=False)
class NoTarget(TaskgraftError):
    """A fit that does not say what to predict."""

    value: object = None

    def __str__(self) -> str:
        said = (
            "No target column was named."
            if self.value is None
            else f"The target is {self.value!r:.60}, which names no column."
        )
        return f"{said} Say which column to predict with target=…."


@dataclass(eq=False)
class OneInput(TaskgraftError):
    """A text to predict for where a path or a list is read."""

    text: str

    def __str__(self) -> str:
        return (
            f"{self.text!r:.60} is no file that can be read. To predict for one input, put it in a list: predict([…])."
        )


@dataclass(eq=False)
class NoProbabilities(TaskgraftError):
    """Probabilities asked of a head that has none."""

    head: str

    def __str__(self) -> str:
        return f"'{self.head}' predicts without probabilities. Use predict."


@dataclass(eq=False)
class UnfitMetric(TaskgraftError):
    """A metric that cannot judge this kind of target."""

    metric: str
    head: str

    def __str__(self) -> str:
        return f"The metric '{self.metric}' cannot judge what '{self.head}' predicts."


@dataclass(eq=False)
class ListOfWhat(TaskgraftError):
    """A plain list for a backbone that reads several inputs."""

    inputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"A plain list was given, but the model reads {', '.join(self.inputs)}. Give a list of dicts."
