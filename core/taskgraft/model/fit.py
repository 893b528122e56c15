"""Fit a composition: read its data, train it, and evaluate the validation rows."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskgraft.composition.compose import Composition
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.recipe import DataConfig, Recipe, TrainingConfig
from taskgraft.contract.rows import Rows
from taskgraft.data.preprocessing import match_columns
from taskgraft.data.splitting import read_train_and_validation, split_columns
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.evaluator import evaluate_predictions, prepare_evaluation
from taskgraft.progress import ProgressReporter
from taskgraft.training.checkpoint import StageReport
from taskgraft.training.fit import FitResult, RunOptions, fit
from taskgraft.training.shared_cache import SharedCache


class ModelError(TaskgraftError):
    """A call that does not fit the state of a task model, or its head."""


@dataclass(frozen=True)
class FitReport:
    """The result of one fit.

    Attributes:
        metrics: an :class:`Evaluation` on the validation rows; empty without validation rows, or if they cannot be evaluated.
        stages: one report per training stage.
        seconds: wall-clock, from reading the data to the last metric, including the time before an interruption.
        notes: note → number of training rows that it applies to (``{"cut to 256 pieces": 12}``).
    """

    metrics: Mapping[str, float]
    stages: tuple[StageReport, ...]
    seconds: float
    notes: Mapping[str, int]


@dataclass(frozen=True)
class FitData:
    """What a fit starts from. ``began`` is the time before reading, of :func:`time.monotonic`, in seconds."""

    recipe: Recipe
    rows: Rows
    validation_rows: Rows | None
    run: RunOptions | None
    began: float


def parse_fit_settings(
    train: Any,
    validation: Any,
    split: ComponentReference | None,
    reader: ComponentReference | None,
    target: str | Sequence[str],
    on_bad_row: str,
    training: TrainingConfig | Mapping[str, Any] | None,
) -> tuple[DataConfig, TrainingConfig]:
    """Validate the arguments of a fit. Data without a path are left out.

    Raises:
        ModelError: for a target that is not a column name.
        ConfigError: for another invalid argument.
    """
    if not isinstance(training, TrainingConfig):
        training = parse_config(TrainingConfig, training or {}, "training")
    names = [target] if isinstance(target, str) else target
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"The target is {target!r:.60}, not a column name. {_NAME_THE_TARGET}")
    paths = {key: str(data) for key, data in (("train", train), ("validation", validation)) if _is_path(data)}
    settings = {"split": split, "reader": reader, "target": tuple(names), "on_bad_row": on_bad_row}
    return parse_config(DataConfig, paths | settings, "data"), training


def read_fit_data(
    composition: Composition,
    train: Any,
    validation: Any,
    inputs: Any,
    data: DataConfig,
    training: TrainingConfig,
    run: str | Path | None,
    *,
    resume: bool,
) -> FitData:
    """Read training and validation rows, and match their columns to the inputs of the backbone.

    Args:
        train: in place of the data that the config names; None reads those.
        validation: the same.
        inputs, run, resume: as for :meth:`taskgraft.TaskModel.fit`.

    Raises:
        ModelError: without a target column, or with one for a head that predicts masked elements; to resume without a folder.
        TaskgraftError: for data that cannot be read, or a missing column.
    """
    began = time.monotonic()
    if resume and run is None:
        raise ModelError("A run is resumed from its folder, but none was named. Name it with run=….")
    data = data.model_copy(update={"target": tuple(dict.fromkeys(data.target))})
    _check_target(composition, data.target)
    train, validation = data.train if train is None else train, data.validation if validation is None else validation
    rows, validation_rows = read_train_and_validation(train, validation, data, training.seed, catalog())
    other_columns = (*data.target, *(() if inputs else split_columns(data, catalog())))
    columns = match_columns(inputs, composition.backbone_description, rows, other_columns)
    for column in data.target:
        rows.values(column, 0, 0)  # raises when there is no such column
    data = data.model_copy(update={"inputs": columns})
    recipe = composition.to_recipe().model_copy(update={"data": data, "training": training})
    return FitData(recipe, rows, validation_rows, None if run is None else RunOptions(Path(run), resume), began)


def fit_composition(
    composition: Composition, data: FitData, shared_cache: SharedCache | None, *, quiet: bool
) -> tuple[FitResult, FitReport]:
    """Train, and evaluate the validation rows. An error of that evaluation is reported; the model is fitted all the same."""
    reporter = ProgressReporter(quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        result = fit(
            composition, data.recipe, data.rows, data.validation_rows, reporter, Path(folder), data.run, shared_cache
        )
    metrics: Mapping[str, float] = {}
    if result.validation is not None:
        try:
            settings = prepare_evaluation(result.fitted, result.recipe, composition.head.label, result.validation.rows)
            metrics = evaluate_predictions(result.fitted, result.recipe, result.validation, settings, reporter)
        except TaskgraftError as error:
            reporter.message(f"The model is fitted, but its validation rows could not be evaluated. {error}")
    result.fitted.metrics = dict(metrics)
    seconds = time.monotonic() - data.began + result.seconds_before
    return result, FitReport(metrics, result.stages, seconds, result.notes)


def _is_path(data: Any) -> bool:
    return isinstance(data, str | Path)


def _check_target(composition: Composition, target: tuple[str, ...]) -> None:
    masked = composition.head_description.target == TargetKind.INPUTS
    if masked and target:
        raise ModelError(
            f"'{composition.head.label}' predicts masked elements of the inputs, so it has no target column, but the target "
            f"is {join_words(map(repr, target))}. Leave the target out; to exclude a column, name the inputs."
        )
    if not masked and not target:
        raise ModelError(f"No target column was named. {_NAME_THE_TARGET}")


_NAME_THE_TARGET = "Name the column to predict with target=…."
