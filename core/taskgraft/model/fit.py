"""Fit a composition: read its data, train it, and evaluate the validation rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.second_fit import undone_on_failure
from taskgraft.composition.compose import Composition
from taskgraft.composition.resolve import GivenObject
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.data.column_matching import match_columns
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.shared_cache import SharedCache
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.evaluation.evaluator import evaluate_predictions, prepare_evaluation
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.optimization.lr_schedule import resolve_schedule
from taskgraft.optimization.optimizer import resolve_optimizer
from taskgraft.preparation.fit_functions import FitFunctions
from taskgraft.preparation.validation_choices import selection_note
from taskgraft.progress import ProgressReporter
from taskgraft.reading.cell_formats import verbatim_columns
from taskgraft.reading.splitting import read_train_and_validation, split_columns
from taskgraft.recipe import DataConfig, Recipe, TrainingConfig
from taskgraft.training.checkpoint import StageReport
from taskgraft.training.fit import FitResult, RunOptions, fit


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
        warnings: what the data may mean instead, a sentence each, with the setting to write.
        chosen: what the validation rows decided besides, so that their metrics are a little too kind: the ``penalty``, the
            ``epoch`` of early stopping, the ``threshold``, …; None for what is not a single number.
    """

    metrics: Mapping[str, float]
    stages: tuple[StageReport, ...]
    seconds: float
    notes: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    chosen: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def selection_note(self) -> str:
        """One sentence about ``chosen``; empty if the validation rows chose nothing."""
        return selection_note(self.chosen, self.metrics.rows) if isinstance(self.metrics, Evaluation) else ""

    @classmethod
    def of(cls, result: FitResult, metrics: Mapping[str, float], seconds: float) -> Self:
        """Report a fit that took some seconds since it began or was resumed."""
        seconds += result.seconds_before
        return cls(metrics, result.stages, seconds, result.notes, result.warnings, result.fitted.chosen)


def recipe_of_arguments(
    composition: Composition,
    train: Any,
    validation: Any,
    settings: Mapping[str, Any],
    training: TrainingConfig | Mapping[str, Any] | None,
    more: Mapping[str, Any],
) -> Recipe:
    """Write the arguments of :meth:`taskgraft.TaskModel.fit` into a recipe. Data without a path are left out.

    Args:
        settings: the other arguments about the data.
        more: settings about the data that have no argument.

    Raises:
        ModelError: for a target that is not a column name, or an argument among the other settings.
        ConfigError: for another invalid argument.
    """
    target = settings["target"]
    names = [target] if isinstance(target, str) else target
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"The target is {target!r:.60}, not a column name. {_NAME_THE_TARGET}")
    if not isinstance(more, Mapping):
        raise ModelError(f"data is {more!r:.60}, not a dict of settings, such as {{'missing': ['NA']}}.")
    data = {"train": train, "validation": validation}
    if both := sorted((settings.keys() | data.keys()) & more.keys()):
        raise ModelError(f"'{both[0]}' is an argument of fit: write fit(…, {both[0]}=…), and leave it out of data.")
    paths = {key: str(value) for key, value in data.items() if isinstance(value, str | Path)}
    if not isinstance(training, TrainingConfig):
        training = parse_config(TrainingConfig, training or {}, "training")
    config = parse_config(DataConfig, {**more, **settings, **paths, "inputs": settings["inputs"] or ()}, "data")
    return composition.to_recipe().model_copy(update={"data": config, "training": training})


def run_options(run: str | Path | None, *, resume: bool) -> RunOptions | None:
    """Say where a run saves its checkpoints. Raises ModelError for one to resume without a folder."""
    if resume and run is None:
        raise ModelError("A run is resumed from its folder, but none was named. Name it with run=….")
    return None if run is None else RunOptions(Path(run), resume)


def read_fit_data(
    composition: Composition, recipe: Recipe, train: Any, validation: Any
) -> tuple[Recipe, Rows, Rows | None]:
    """Read training and validation rows, and match their columns to the inputs of the backbone.

    Args:
        recipe: with the data and the training of the fit.
        train, validation: in place of the data that the recipe names; None reads those.

    Returns:
        the complete recipe, the training rows and the validation rows.

    Raises:
        ModelError: without a target column, or with one for a head that predicts masked elements.
        TaskgraftError: for data that cannot be read, a missing column, or an optimizer or schedule that does not exist.
    """
    data, seed = recipe.data, recipe.training.seed
    resolve_optimizer(recipe.training)
    resolve_schedule(recipe.training)
    data = data.model_copy(update={"target": tuple(dict.fromkeys(data.target))})
    _check_target(composition, data.target)
    train, validation = data.train if train is None else train, data.validation if validation is None else validation
    verbatim = verbatim_columns(data, composition.backbone_description, composition.head_description.target)
    rows, validation_rows = read_train_and_validation(train, validation, data, seed, catalog(), verbatim)
    by_split = () if data.inputs else split_columns(data, catalog())
    exclude = (*data.exclude, *(column for column in by_split if column not in data.target))
    columns = match_columns(data.inputs or None, composition.backbone_description, rows, data.target, exclude)
    for column in data.target:
        rows.values(column, 0, 0)  # raises when there is no such column
    complete = {"data": data.model_copy(update={"inputs": columns}), "training": recipe.training}
    return composition.to_recipe().model_copy(update=complete), rows, validation_rows


def fit_and_evaluate(
    composition: Composition,
    recipe: Recipe,
    data: tuple[Any, Any],
    run: RunOptions | None,
    shared_cache: SharedCache | None,
    reporter: ProgressReporter,
    functions: FitFunctions,
    before: FittedTask | None,
) -> tuple[FitResult, Mapping[str, float]]:
    """Read the data, train, and evaluate the validation rows.

    An error of that evaluation is reported; the model is fitted all the same.

    Args:
        data: training and validation rows, as for :func:`read_fit_data`.
        before: what the model was fitted to, which stays as it is, also on a backbone object, if this fails.
    """
    recipe, rows, validation_rows = read_fit_data(composition, recipe, *data)
    on_object = isinstance(composition.backbone, GivenObject)
    with undone_on_failure(before if on_object else None), temporary_folder() as folder:
        result = fit(composition, recipe, rows, validation_rows, reporter, folder, run, shared_cache, functions)
    metrics: Mapping[str, float] = {}
    if result.validation is not None:
        try:
            settings = prepare_evaluation(result.fitted, result.recipe, composition.head.label, result.validation.rows)
            metrics = evaluate_predictions(result.fitted, result.recipe, result.validation, settings, reporter)
        except TaskgraftError as error:
            reporter.message(f"The model is fitted, but its validation rows could not be evaluated. {error}")
    result.fitted.metrics = dict(metrics)
    return result, metrics


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
