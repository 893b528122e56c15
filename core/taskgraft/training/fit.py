"""Fit: the procedure from rows and a recipe to a fitted task.

check that there are validation rows if something needs them
prepare the training and validation rows, and the backbone   (prepare)
open the run directory
try the strategy's insertions on two rows, unless that was done when the model was composed
run the stages of the plan                                    (trainer)
predict the validation rows, tune the head on them, and predict again   (validation_tuning)
fit the head's baselines
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from taskgraft.adaptation.dry_run import DRY_RUN_ROWS, dry_run
from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import remove_modules
from taskgraft.composition.compose import Composition, head_features
from taskgraft.composition.resolve import ResolvedComponent
from taskgraft.contract.config import Config
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import RenamedColumns, Rows
from taskgraft.data.batching import batch_budget
from taskgraft.data.dataset import report_notes
from taskgraft.data.examples import all_targets
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.engine.precision import resolve_precision
from taskgraft.engine.task_module import TaskModule
from taskgraft.evaluation.baselines import fit_baselines
from taskgraft.evaluation.evaluator import LabelledPredictions
from taskgraft.progress import ProgressReporter
from taskgraft.storage.run_directory import RunDirectory
from taskgraft.training.checkpoint import StageReport
from taskgraft.training.distillation import check_teacher_columns, teacher_checksums
from taskgraft.training.prepare import PreparedTraining, prepare_training, prepare_validation
from taskgraft.training.shared_cache import SharedCache, SharedCacheKeys
from taskgraft.training.tracking import MetricsLogger, make_accelerator, tracking
from taskgraft.training.trainer import Trainer
from taskgraft.training.validation_tuning import check_validation, tune_on_validation

_FREE_TRAINING_SETTINGS = ("workers", "memory", "checkpoint_every", "trackers")
"""May change when a run is resumed: they do not change its weights."""

_DATA_LOCATIONS = ("train", "validation")
"""Where the rows come from may change as well; the rows may not."""


@dataclass(frozen=True)
class RunOptions:
    """The directory of a run, and whether to resume the run that is there."""

    folder: Path
    resume: bool


@dataclass(frozen=True)
class FitResult:
    """The result of a fit.

    Attributes:
        composition: the one given, with the settings that the backbone completed from the inputs.
        recipe: complete.
        validation: predictions for the validation rows; None if there were none.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
        seconds_before: wall-clock seconds of the process that was interrupted, if this one resumed its run.
    """

    composition: Composition
    recipe: Recipe
    fitted: FittedTask
    stages: tuple[StageReport, ...]
    validation: LabelledPredictions | None
    notes: Mapping[str, int]
    seconds_before: float


def fit(
    composition: Composition,
    recipe: Recipe,
    rows: Rows,
    validation_rows: Rows | None,
    reporter: ProgressReporter,
    folder: Path,
    run_options: RunOptions | None = None,
    shared_cache: SharedCache | None = None,
) -> FitResult:
    """Train a composed model.

    Args:
        folder: a temporary one.
        run_options: None saves no checkpoints.
        shared_cache: of frozen features, with other runs; None shares nothing.

    Raises:
        ValidationRequired: when something needs validation rows, and there are none.
        TaskgraftError: for anything else that prevents training.
    """
    plan, settings = composition.plan, recipe.training
    check_validation(plan, settings.patience, composition.head.label, composition.head_description, validation_rows)
    check_teacher_columns(plan, recipe, rows)
    accelerator = make_accelerator(settings.trackers, None if run_options is None else run_options.folder)
    recipe = _resolve_precision(recipe, accelerator.device)
    prepared = prepare_training(composition, recipe, rows, folder, accelerator.device, reporter)
    validation = None
    if validation_rows is not None:
        validation_rows, validation = prepare_validation(prepared, validation_rows, folder / "validation")
    _report_rows(prepared, validation_rows, reporter)
    features = head_features(prepared.composition)
    module = prepared.head.build_module(features, prepared.target)
    task = TaskModule(prepared.backbone, module, prepared.composition.layout)
    with (
        _open_run(run_options, accelerator, prepared, validation_rows) as directory,
        tracking(accelerator, settings.trackers),
    ):
        if not prepared.composition.dry_run_done:
            batch = prepared.dataset.inputs.gather(range(min(DRY_RUN_ROWS, len(prepared.rows))))
            dry_run(prepared.composition, prepared.backbone, batch)
        trainer = Trainer(
            task,
            prepared.dataset,
            validation,
            prepared.recipe.training,
            accelerator,
            reporter,
            folder,
            MetricsLogger(accelerator, directory),
            directory,
            None if shared_cache is None else _cache_keys(shared_cache, prepared, validation_rows),
            prepared.soft_labels,
        )
        try:
            stages = trainer.run(prepared.composition.plan)
        except BaseException:
            remove_modules(prepared.backbone, trainer.inserted)
            raise
    target, predictions = prepared.target, _predict_validation(trainer, validation_rows, reporter)
    if validation_rows is not None and predictions is not None and prepared.head.description.tunes:
        target = tune_on_validation(
            prepared.head, target, task, features, predictions.predictions, validation_rows, predictions.targets
        )
        predictions = _predict_validation(trainer, validation_rows, reporter)
    baselines, problems = _fit_baselines(prepared, reporter)
    fitted = FittedTask(task, prepared.head, target, trainer.inserted, trainer.trained, prepared.base, {}, baselines)
    notes = {**prepared.rows.notes, **prepared.notes, **problems}
    return FitResult(
        prepared.composition, prepared.recipe, fitted, tuple(stages), predictions, notes, trainer.seconds_before
    )


def run_identity(recipe: Recipe, rows: Rows, validation_rows: Rows | None) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed, as plain JSON."""
    identity = recipe.model_dump(mode="json")
    for name, free in (("training", _FREE_TRAINING_SETTINGS), ("data", _DATA_LOCATIONS)):
        identity[name] = {key: value for key, value in identity[name].items() if key not in free}
    validation = None if validation_rows is None else validation_rows.digest()
    return identity | {"training rows": rows.digest(), "validation rows": validation}


@contextmanager
def _open_run(
    options: RunOptions | None, accelerator: Accelerator, prepared: PreparedTraining, validation_rows: Rows | None
) -> Iterator[RunDirectory | None]:
    """Open the run directory, to start a run or to resume one with the same recipe, rows and teachers."""
    if options is None:
        yield None
        return
    teachers = teacher_checksums(prepared.composition.plan)
    identity = run_identity(prepared.recipe, prepared.rows, validation_rows)
    directory = RunDirectory(options.folder, accelerator.is_main_process)
    directory.open(identity | ({"teachers": teachers} if teachers else {}), resume=options.resume)
    try:
        yield directory
    finally:
        directory.close()


def _cache_keys(cache: SharedCache, prepared: PreparedTraining, validation_rows: Rows | None) -> SharedCacheKeys:
    """Return everything that decides the inputs of each data set, and what the backbone computes of them."""
    chosen, recipe = prepared.composition.backbone, prepared.recipe
    key = {
        "backbone": chosen.to_ref().model_dump(mode="json"),
        "source": str(chosen.source) if isinstance(chosen, ResolvedComponent) else None,
        "head": recipe.head.model_dump(mode="json"),  # it may choose masked elements
        "processor": prepared.backbone.processor.settings(),
        "columns": recipe.data.columns,
    }
    rows = {"training": prepared.rows} | ({} if validation_rows is None else {"validation": validation_rows})
    return SharedCacheKeys(cache, {kind: key | {"rows": some.digest()} for kind, some in rows.items()})


def _report_rows(prepared: PreparedTraining, validation_rows: Rows | None, reporter: ProgressReporter) -> None:
    for line in prepared.backbone.processor.summary:
        reporter.message(line)
    report_notes(reporter, {**prepared.rows.notes, **prepared.notes}, prepared.rows, "training rows")
    if validation_rows is not None:
        report_notes(reporter, validation_rows.notes, validation_rows, "validation rows")


def _predict_validation(
    trainer: Trainer, validation_rows: Rows | None, reporter: ProgressReporter
) -> LabelledPredictions | None:
    """Predict for the validation rows, from where the last stage cached them."""
    if trainer.evaluated is None or validation_rows is None:
        return None
    cut, dataset = trainer.evaluated
    budget = batch_budget(trainer.settings)
    predictions = predict_batches(trainer.task, cut, dataset.inputs, budget, show_progress(reporter))
    return LabelledPredictions(predictions, all_targets(dataset.targets), validation_rows)


def _fit_baselines(prepared: PreparedTraining, reporter: ProgressReporter) -> tuple[dict[str, Config], dict[str, int]]:
    """Fit the head's baselines on the training rows.

    Returns:
        their states by name, and notes on those that were left out.
    """
    head, targets = prepared.head, prepared.dataset.targets
    inputs = RenamedColumns(prepared.rows, prepared.recipe.data.columns)
    truth = cache(lambda: head.decode_targets(all_targets(targets), prepared.target))
    baselines, problems = fit_baselines(head.description, inputs, truth)
    for problem in problems:
        reporter.message(f"{problem}.")
    return baselines, dict.fromkeys(problems, len(prepared.rows))


def _resolve_precision(recipe: Recipe, device: torch.device) -> Recipe:
    precision = resolve_precision(recipe.training.precision, device)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"precision": precision})})
