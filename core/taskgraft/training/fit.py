"""Fit: the procedure from rows and a recipe to a fitted task.

check that there are validation rows if something needs them
fit the target description, build the backbone, make the data sets without invalid rows  (prepare)
open the run directory
try the strategy's insertions on two rows, unless that was done when the model was composed
for each stage of the plan: cache frozen features, train or solve, save a checkpoint     (trainer)
predict the validation rows
if the head tunes something on them: tune it, and predict again                          (validation_tuning)
fit the head's baselines
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from taskgraft.adaptation.dry_run import DRY_RUN_ROWS, dry_run
from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import remove_modules
from taskgraft.composition.compose import Composition, head_features
from taskgraft.contract.config import Config
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.batching import batch_budget
from taskgraft.data.examples import all_targets
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.engine.new_tensors import limit_new_tensors
from taskgraft.engine.precision import resolve_precision
from taskgraft.engine.random_state import seed_generators
from taskgraft.engine.shared_cache import SharedCache, SharedCacheKeys
from taskgraft.engine.task_module import TaskModule
from taskgraft.evaluation.baseline_tuning import TuningRows, threshold_note, tunes_baselines
from taskgraft.evaluation.baselines import FittedBaseline, fit_baselines, resolve_baseline
from taskgraft.evaluation.evaluator import LabelledPredictions
from taskgraft.optimization.batch_losses import check_undivided
from taskgraft.preparation.distillation import check_teacher_columns
from taskgraft.preparation.fit_functions import NO_FUNCTIONS, FitFunctions
from taskgraft.preparation.identity import feature_keys, fit_identity
from taskgraft.preparation.memory_estimate import memory_note
from taskgraft.preparation.prepare import Preparation, Preparer
from taskgraft.preparation.validation_choices import chosen_on_validation
from taskgraft.preparation.validation_tuning import check_validation, tune_on_validation
from taskgraft.progress import ProgressReporter
from taskgraft.recipe import Recipe
from taskgraft.storage.run_directory import RunDirectory
from taskgraft.training.checkpoint import StageReport
from taskgraft.training.tracking import make_accelerator
from taskgraft.training.trainer import Trainer


@dataclass(frozen=True)
class RunOptions:
    """The directory of a run, and whether to resume the run that is there."""

    folder: Path
    resume: bool


@dataclass(frozen=True)
class FitResult:
    """The result of a fit.

    Attributes:
        composition: with the settings that the backbone fitted on the inputs, and so the recipe.
        validation: predictions for the validation rows; None if there were none.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
        warnings: what the data may mean instead, a sentence each.
        seconds_before: wall-clock seconds of the process that was interrupted, if this one resumed its run.
    """

    composition: Composition
    recipe: Recipe
    fitted: FittedTask
    stages: tuple[StageReport, ...]
    validation: LabelledPredictions | None
    notes: Mapping[str, int]
    warnings: tuple[str, ...]
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
    functions: FitFunctions = NO_FUNCTIONS,
) -> FitResult:
    """Train a composed model.

    Args:
        folder: a temporary one.
        run_options: None saves no checkpoints.
        shared_cache: of frozen features; None shares nothing with other runs.
        functions: callbacks and augmentation of the caller.

    Raises:
        ValidationRequired: when something needs validation rows, and there are none.
        TaskgraftError: for anything else that prevents training.
    """
    plan, settings = composition.plan, recipe.training
    check_validation(plan, settings.patience, composition.head.label, composition.head_description, validation_rows)
    check_teacher_columns(plan, recipe, rows)
    seed_generators(settings.seed)
    accelerator = make_accelerator(settings.trackers, None if run_options is None else run_options.folder)
    check_undivided(plan, composition.head_description, settings, accelerator.num_processes)
    precision = resolve_precision(settings.precision, accelerator.device)
    recipe = recipe.model_copy(update={"training": settings.model_copy(update={"precision": precision})})
    preparer = Preparer(composition, recipe, folder, accelerator.device, reporter, functions.augmentation)
    prepared = preparer.prepare(rows, validation_rows)
    features = head_features(prepared.composition)
    with limit_new_tensors(f"The head '{composition.head.label}'"):
        module = prepared.head.build_module(features, prepared.target)
    validation_count = 0 if prepared.validation_rows is None else len(prepared.validation_rows)
    if note := memory_note(module, plan, validation_count):
        reporter.message(note)
    task = TaskModule(prepared.backbone, module, prepared.composition.layout)
    trainer = Trainer(task, prepared, accelerator, reporter, folder, functions)
    with _removed_on_failure(trainer):
        stages = _run_stages(trainer, run_options, shared_cache)
        target, predictions = prepared.target, _predict_validation(trainer)
        if predictions is not None and prepared.head.description.tunes:
            target = tune_on_validation(prepared.head, target, task, features, predictions)
            predictions = _predict_validation(trainer)
        baselines, problems = _fit_baselines(prepared, reporter)
        baseline_targets = _tune_baselines(prepared, baselines, predictions, reporter)
    chosen = chosen_on_validation([(stage.name, stage.chosen) for stage in stages], prepared.target, target)
    inserted, trained, base = trainer.inserted, trainer.trained, prepared.base
    return FitResult(
        prepared.composition,
        prepared.recipe,
        FittedTask(
            task, prepared.head, target, inserted, trained, base, {}, baselines, False, chosen, baseline_targets
        ),
        tuple(stages),
        predictions,
        {**prepared.notes, **problems},
        prepared.warnings,
        trainer.seconds_before,
    )


def _run_stages(
    trainer: Trainer, run_options: RunOptions | None, shared_cache: SharedCache | None
) -> list[StageReport]:
    """Open the run directory, try the strategy's insertions, and run the stages of the plan."""
    prepared, accelerator = trainer.prepared, trainer.accelerator
    with ExitStack() as stack:
        if run_options is not None:
            trainer.directory = RunDirectory(run_options.folder, accelerator.is_main_process)
            from_start = trainer.directory.open(
                fit_identity(prepared, trainer.reporter) | trainer.functions.identity(), resume=run_options.resume
            )
            stack.callback(trainer.directory.close)
            if from_start:
                trainer.reporter.message(
                    f"There is no checkpoint in {run_options.folder}: training starts from the beginning."
                )
        if trainer.settings.trackers:
            accelerator.init_trackers("taskgraft")
            stack.callback(accelerator.end_training)
        if shared_cache is not None:
            trainer.shared = SharedCacheKeys(shared_cache, feature_keys(prepared, trainer.reporter))
        if not prepared.composition.dry_run_done:
            batch = prepared.training.inputs.gather(range(min(DRY_RUN_ROWS, len(prepared.rows))))
            dry_run(prepared.composition, prepared.backbone, batch)
        return trainer.run()


@contextmanager
def _removed_on_failure(trainer: Trainer) -> Iterator[None]:
    """Leave the backbone without inserted modules if the block fails."""
    try:
        yield
    except BaseException:
        remove_modules(trainer.prepared.backbone, trainer.inserted)
        raise


def _predict_validation(trainer: Trainer) -> LabelledPredictions | None:
    """Predict for the validation rows, from where the last stage cached them.

    Raises:
        InvalidRows: if a prediction is not finite, and the head tunes something on it; else that is reported, with None.
    """
    rows = trainer.prepared.validation_rows
    if trainer.evaluated is None or rows is None:
        return None
    cut, dataset = trainer.evaluated
    budget, progress = batch_budget(trainer.settings), show_progress(trainer.reporter)
    predictions, wrong = predict_batches(trainer.task, cut, dataset.inputs, budget, progress)
    notes = trainer.prepared.validation_notes
    labelled = LabelledPredictions(predictions, all_targets(dataset.targets), rows, notes)
    try:
        return labelled.without(wrong, trainer.prepared.recipe.data.on_bad_row) if wrong else labelled
    except InvalidRows as error:
        if trainer.prepared.head.description.tunes:
            raise
        trainer.reporter.message(f"The model is fitted, but its validation rows could not be evaluated. {error}")
        return None


def _fit_baselines(prepared: Preparation, reporter: ProgressReporter) -> tuple[dict[str, Config], dict[str, int]]:
    """Fit the head's baselines on the training rows; return their states by name, and notes on those left out."""
    head, targets = prepared.head, prepared.training.targets
    inputs = prepared.rows.lazy_columns(prepared.recipe.data.columns)
    truth = cache(lambda: head.decode_targets(all_targets(targets), prepared.target))
    baselines, problems = fit_baselines(head.description, inputs, truth)
    for problem in problems:
        reporter.message(f"{problem}.")
    return baselines, dict.fromkeys(problems, len(prepared.rows))


def _tune_baselines(
    prepared: Preparation,
    baselines: Mapping[str, Config],
    predictions: LabelledPredictions | None,
    reporter: ProgressReporter,
) -> dict[str, TargetDescription]:
    """Let the head tune its threshold for each baseline, on the same validation rows as for the model."""
    tuned: dict[str, TargetDescription] = {}
    if predictions is None or not tunes_baselines(prepared.head):
        return tuned
    validation, columns = TuningRows(predictions.rows, predictions.targets), prepared.recipe.data.columns
    for name, state in baselines.items():
        try:
            baseline = FittedBaseline(resolve_baseline(name), state, validation=validation)
            target = baseline.tune(prepared.head, prepared.target, predictions.predictions, columns)
        except Exception as error:  # any exception of a plugin; the baseline is evaluated with a note
            reporter.message(threshold_note(name, f"{type(error).__name__}: {error}"))
        else:
            tuned |= {} if target is None else {name: target}
    return tuned
