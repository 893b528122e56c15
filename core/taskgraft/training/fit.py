"""Fitting: from rows and a recipe to a trained task, with a report of what was done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from taskgraft.adaptation.base_weights import build_backbone
from taskgraft.adaptation.dry_run import ROWS, dry_run
from taskgraft.adaptation.fitted import FittedTask
from taskgraft.adaptation.insertion import remove_modules
from taskgraft.composition.compose import Composition, build_head, combine, head_features
from taskgraft.composition.resolve import GivenObject, ResolvedComponent
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import RowIndices
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Plan, Teacher
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import InvalidRows, RenamedColumns, Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.batching import limit_of
from taskgraft.data.dataset import (
    EmptyData,
    dropping_invalid_rows,
    eval_dataset,
    report_notes,
    target_columns,
    train_dataset,
)
from taskgraft.data.examples import EncodedDataset, all_targets
from taskgraft.data.tensor_cache import RowSource
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import ProgressIterator, predict_batches
from taskgraft.engine.precision import resolve_precision
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError
from taskgraft.evaluation.baselines import fit_baselines
from taskgraft.evaluation.evaluator import LabelledPredictions
from taskgraft.progress import ProgressReporter
from taskgraft.storage.run_directory import RunDirectory
from taskgraft.training.distillation import (
    adopt_teacher_target,
    check_columns,
    teacher_checksums,
    teacher_soft_labels,
    teachers_of,
)
from taskgraft.training.shared_cache import SharedCache, SharedCacheKeys
from taskgraft.training.tracking import MetricsLogger, make_accelerator, tracking
from taskgraft.training.trainer import TRAINING, VALIDATION, StageReport, Trainer
from taskgraft.training.validation_tuning import check_tuning_rows, check_validation, tune_on_validation

FREE = ("workers", "memory", "checkpoint_every", "trackers")
"""Training settings that may be others when a run goes on: they do not change its weights."""


PLACES = ("train", "validation")
"""Where the rows come from; what counts when a run goes on is which they are."""


@dataclass(frozen=True)
class RunOptions:
    """Where a run keeps its state, and whether it goes on from what is there."""

    folder: Path
    resume: bool


@dataclass(frozen=True)
class FitResult:
    """What a fit ends with.

    Attributes:
        composition: the one that was given, completed by what the backbone learned from the inputs.
        recipe: complete.
        validation: what was predicted for the validation rows, or None when there were none.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
        seconds_before: wall-clock, of the process that was interrupted, if this one went on.
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
    held: Rows | None,
    reporter: ProgressReporter,
    folder: Path,
    keeping: RunOptions | None = None,
    shelf: SharedCache | None = None,
) -> FitResult:
    """Train what was composed.

    Args:
        held: validation rows, for choosing and judging.
        folder: a temporary folder of the run.
        keeping: where the state is kept from which a run that was killed goes on; None keeps none.
        shelf: where other runs find what stays frozen; None shares nothing.

    Raises:
        NoValidation: when training is to stop early, and there are no rows to tell when.
        NothingToSettleBy: when the head settles, and there are no rows to do it by.
    """
    check_patience(composition.plan, recipe.training.patience, held)
    check_validation(composition.head.label, composition.head_description, held)
    check_columns(composition.plan, recipe, rows)
    engine = make_accelerator(recipe.training.trackers, None if keeping is None else keeping.folder)
    recipe = _with_precision(recipe, engine.device)
    torch.manual_seed(recipe.training.seed)
    ask = partial(
        teacher_soft_labels,
        recipe=recipe,
        device=engine.device,
        passes=show_progress(reporter, "asking the teacher, once"),
    )
    rows, prepared = dropping_invalid_rows(
        rows, recipe, lambda some: _prepared(composition, recipe, some, folder / f"{len(some)}", ask)
    )
    composition, recipe = prepared.composition, prepared.recipe
    head, target, backbone = prepared.head, prepared.target, prepared.backbone
    for line in backbone.processor.summary:
        reporter.message(line)
    validation = None
    if held is not None:
        more = folder / "held"
        held, validation = dropping_invalid_rows(
            held, recipe, lambda some: _validation(prepared, some, more / f"{len(some)}")
        )
    notes = {**rows.notes, **prepared.notes}
    report_notes(reporter, notes, rows, "training rows")
    if held is not None:
        report_notes(reporter, held.notes, held, "validation rows")
    task = TaskModule(backbone, head.build_module(head_features(composition), target), composition.layout)
    teachers = teacher_checksums(composition.plan)
    with _kept(keeping, engine, recipe, rows, held, teachers) as run_folder, tracking(engine, recipe.training.trackers):
        journal = MetricsLogger(engine, run_folder)
        if not composition.dry_run_done:
            dry_run(composition, backbone, prepared.training.inputs.gather(range(min(ROWS, len(rows)))))
        sharing = None if shelf is None else SharedCacheKeys(shelf, _made_of(prepared, rows, held))
        loop = Trainer(
            task, prepared.training, validation, recipe.training, engine, reporter, folder, journal, run_folder, sharing
        )
        loop.soft = prepared.soft
        try:
            reports = loop.run(composition.plan)
        except BaseException:
            remove_modules(backbone, loop.inserted)
            raise
    judged = None if held is None else _judged(task, loop, held, reporter)
    if held is not None and judged is not None and head.description.tunes:
        target = tune_on_validation(
            head, target, task, head_features(composition), judged.predictions, held, judged.targets
        )
        judged = _judged(task, loop, held, reporter)
    rivals, problems = _rivals(prepared, rows, reporter)
    fitted = FittedTask(task, head, target, loop.inserted, loop.learned, prepared.base, {}, rivals)
    return FitResult(composition, recipe, fitted, tuple(reports), judged, notes | problems, loop.seconds_before)


def check_patience(plan: Plan, patience: int | None, held: Rows | None) -> None:
    """Refuse early stopping, of the whole training or of one stage, without rows that tell when."""
    for setting, epochs in (
        ("training.patience", patience),
        *((f"the stage '{one.name}'", one.patience) for one in plan),
    ):
        if epochs is not None and held is None:
            raise NoValidation(setting, epochs)


def show_progress(reporter: ProgressReporter, what: str = "predicting") -> ProgressIterator:
    """Show how far predictions are.

    Args:
        what: to call them.
    """

    def show(batches: Sequence[RowIndices]) -> Iterator[RowIndices]:
        return reporter.track(batches, what, len(batches))

    return show


def run_identity(recipe: Recipe, rows: Rows, held: Rows | None) -> dict[str, Any]:
    """Say what must be the same for a run to go on. Plain JSON."""
    said = recipe.model_dump(mode="json")
    said["training"] = {key: value for key, value in said["training"].items() if key not in FREE}
    said["data"] = {key: value for key, value in said["data"].items() if key not in PLACES}
    return said | {"training rows": rows.digest(), "validation rows": None if held is None else held.digest()}


@contextmanager
def _kept(
    keeping: RunOptions | None,
    engine: Accelerator,
    recipe: Recipe,
    rows: Rows,
    held: Rows | None,
    teachers: Mapping[str, str],
) -> Iterator[RunDirectory | None]:
    """Open the folder of a run, for a run with the same recipe and data as before."""
    if keeping is None:
        yield None
        return
    taught = {"teachers": dict(teachers)} if teachers else {}
    run_folder = RunDirectory(keeping.folder, engine.is_main_process)
    run_folder.open(run_identity(recipe, rows, held) | taught, resume=keeping.resume)
    try:
        yield run_folder
    finally:
        run_folder.close()


@dataclass(frozen=True)
class _Prepared:
    """What is known before training: everything learned from the training rows, and the rows as examples."""

    composition: Composition
    recipe: Recipe
    head: Head[Any]
    target: TargetDescription
    backbone: Backbone
    base: str | None
    training: EncodedDataset
    soft: dict[Teacher, RowSource]
    notes: dict[str, int]


def _made_of(prepared: _Prepared, rows: Rows, held: Rows | None) -> dict[str, dict[str, Any]]:
    """Say what decides the inputs of each part of the data, and how the backbone computes."""
    chosen, recipe = prepared.composition.backbone, prepared.recipe
    by = {
        "backbone": chosen.to_ref().model_dump(mode="json"),
        "source": str(chosen.source) if isinstance(chosen, ResolvedComponent) else None,
        "head": recipe.head.model_dump(mode="json"),  # it may choose what is hidden of the inputs
        "processor": prepared.backbone.processor.settings(),
        "columns": recipe.data.columns,
    }
    parts = {TRAINING: rows} if held is None else {TRAINING: rows, VALIDATION: held}
    return {part: by | {"rows": some.digest()} for part, some in parts.items()}


def _prepared(
    composition: Composition, recipe: Recipe, rows: Rows, folder: Path, ask: Callable[..., RowSource]
) -> _Prepared:
    if not len(rows):
        raise EmptyData(rows.source)
    head = build_head(composition)
    hides = head.description.target == TargetKind.INPUTS
    target = adopt_teacher_target(composition.plan, head, composition.head.label, rows, recipe)
    if target is None and not hides:
        target = _learned_target(head, rows, recipe)  # bad targets are told before weights are read
    composition, recipe = _learned_backbone(composition, recipe, rows)
    backbone, base = build_backbone(composition.backbone)
    target = target or head.fit_element_schema(backbone.processor.element_schema)
    training, notes = train_dataset(head, target, backbone, rows, recipe, folder)
    soft = {
        teacher: ask(teacher, rows=rows, folder=folder / f"teacher-{number}")
        for number, teacher in enumerate(teachers_of(composition.plan))
    }
    return _Prepared(composition, recipe, head, target, backbone, base, training, soft, notes)


def _validation(prepared: _Prepared, rows: Rows, folder: Path) -> EncodedDataset:
    head, target = prepared.head, prepared.target
    examples, _ = eval_dataset(head, target, prepared.backbone, rows, prepared.recipe, folder)
    check_tuning_rows(head, target, rows, examples.targets)
    return examples


def _judged(task: TaskModule, loop: Trainer, held: Rows, reporter: ProgressReporter) -> LabelledPredictions | None:
    """Predict for the validation rows, from where the latest stage judged them."""
    if loop.judged is None:
        return None
    cut, examples = loop.judged
    found = predict_batches(task, cut, examples.inputs, limit_of(loop.settings), show_progress(reporter))
    return LabelledPredictions(found, all_targets(examples.targets), held)


def _rivals(prepared: _Prepared, rows: Rows, reporter: ProgressReporter) -> tuple[dict[str, Config], dict[str, int]]:
    """Let the head's baselines learn from the training rows.

    Returns:
        what each learned, and notes about those that were left out.
    """
    head, targets = prepared.head, prepared.training.targets
    inputs = RenamedColumns(rows, prepared.recipe.data.columns)
    truth = cache(lambda: head.decode_targets(all_targets(targets), prepared.target))
    learned, problems = fit_baselines(head.description, inputs, truth)
    for problem in problems:
        reporter.message(f"{problem}.")
    return learned, dict.fromkeys(problems, len(rows))


def _with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    precision = resolve_precision(recipe.training.precision, device)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"precision": precision})})


def _learned_backbone(composition: Composition, recipe: Recipe, rows: Rows) -> tuple[Composition, Recipe]:
    """Let a backbone complete its settings from the inputs of the training rows."""
    chosen = composition.backbone
    if isinstance(chosen, GivenObject) or chosen.spec.fit_config is None:
        return composition, recipe
    config = chosen.spec.fit_config(chosen.config, RenamedColumns(rows, recipe.data.columns))
    chosen = replace(chosen, config=config)
    known = combine(catalog(), chosen, composition.head, composition.strategy)
    composition = replace(known, dry_run_done=composition.dry_run_done)
    return composition, recipe.model_copy(update={"backbone": chosen.to_ref()})


def _learned_target(head: Head[Any], rows: Rows, recipe: Recipe) -> TargetDescription:
    try:
        return head.fit_targets(target_columns(head, rows, recipe))  # type: ignore[no-any-return]
    except InvalidTargets as error:
        raise InvalidRows(rows, error.reasons) from None


@dataclass(eq=False)
class NoValidation(TaskgraftError):
    """Early stopping without rows that tell when."""

    setting: str
    patience: int

    def __str__(self) -> str:
        return (
            f"Training is to stop after {self.patience} epochs without a lower validation loss ({self.setting}), but "
            "there are no validation rows. Give data.validation or data.split."
        )
