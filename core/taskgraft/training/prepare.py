"""Preparation: everything known before training.

    fit the target description on the training rows, or adopt that of the teachers      (before weights are read)
    let the backbone complete its settings from their inputs; build it with its weights
    process the inputs, encode the targets, compute the teachers' soft labels
    if that found invalid rows: fit the target description, and the settings, again without them
    process and encode the validation rows

Each step reports invalid rows. They are dropped then, or raised (``data.on_bad_row``). Nothing that is learned depends on a
dropped row: the weights are those of data without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from taskgraft.adaptation.base_weights import build_backbone
from taskgraft.composition.compose import Composition, build_head, combine
from taskgraft.composition.resolve import GivenObject
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Teacher
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, RenamedColumns, Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.dataset import check_not_empty, encode_dataset, process_inputs, target_columns, train_dataset
from taskgraft.data.examples import EncodedDataset
from taskgraft.data.invalid_rows import drop_invalid
from taskgraft.data.preprocessing import ProcessedInputs
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import show_progress
from taskgraft.progress import ProgressReporter
from taskgraft.training.distillation import teacher_advice, teacher_soft_labels, teacher_target, teachers_of
from taskgraft.training.validation_tuning import check_tuning_rows


@dataclass(frozen=True)
class PreparedTraining:
    """What is known before training.

    Attributes:
        composition: the one given, with the backbone's completed settings.
        recipe: the same.
        base: the fingerprint of the backbone's base weights; None for random ones.
        rows: the training rows without invalid ones.
        soft_labels: of the training rows, by teacher.
        notes: what happened to how many training rows.
    """

    composition: Composition
    recipe: Recipe
    head: Head[Any]
    target: TargetDescription
    backbone: Backbone
    base: str | None
    rows: Rows
    dataset: EncodedDataset
    soft_labels: Mapping[Teacher, TensorCache]
    notes: Mapping[str, int]


def prepare_training(
    composition: Composition,
    recipe: Recipe,
    rows: Rows,
    folder: Path,
    device: torch.device,
    reporter: ProgressReporter,
) -> PreparedTraining:
    """Fit what the training rows decide, build the backbone, and make the training data set.

    The backbone is built once. Only if its settings are fitted on the inputs, and rows that were found invalid afterwards had
    changed them, it is built again, from the same random state.

    Args:
        folder: a temporary one.
        device: for the teachers.

    Raises:
        DataError: when there are no rows.
        InvalidRows: naming the invalid rows, unless the recipe says to skip them.
    """
    check_not_empty(rows)
    head = build_head(composition)
    rows, target = _fit_target(composition, head, rows, recipe)
    completed = _fit_backbone_config(composition, recipe, rows)
    torch.manual_seed(recipe.training.seed)
    backbone, base = build_backbone(completed.backbone)
    target = target or head.fit_element_schema(backbone.processor.element_schema)
    inputs = process_inputs(backbone, rows, recipe, folder / "training")
    inputs = inputs.drop(inputs.invalid, recipe.data.on_bad_row)
    inputs, dataset = train_dataset(head, target, inputs, recipe.data)
    inputs, soft_labels = _soft_labels(composition, inputs, recipe, folder, device, reporter)
    if len(inputs.rows) < len(rows):
        rows = inputs.rows
        if _fit_backbone_config(composition, recipe, rows).backbone != completed.backbone:
            return prepare_training(composition, recipe, rows, folder, device, reporter)
        rows, fitted = _fit_target(composition, head, rows, recipe)
        target = fitted or target
        inputs, dataset = train_dataset(head, target, inputs, recipe.data)
    recipe = recipe.model_copy(update={"backbone": completed.backbone.to_ref()})
    return PreparedTraining(
        completed, recipe, head, target, backbone, base, inputs.rows, dataset, soft_labels, inputs.notes
    )


def prepare_validation(prepared: PreparedTraining, rows: Rows, folder: Path) -> tuple[Rows, EncodedDataset]:
    """Make the validation data set.

    Returns:
        the rows without invalid ones, and their data set.

    Raises:
        InvalidRows: naming the invalid rows, those that the head cannot tune on included, unless the recipe says to skip them.
    """
    head, target, data = prepared.head, prepared.target, prepared.recipe.data
    inputs = process_inputs(prepared.backbone, rows, prepared.recipe, folder)
    invalid = inputs.invalid
    while True:
        inputs, dataset = encode_dataset(head, target, inputs.drop(invalid, data.on_bad_row), data)
        try:
            check_tuning_rows(head, target, inputs.rows, dataset.targets)
        except InvalidTargets as error:
            invalid = error.reasons
        else:
            return inputs.rows, dataset


def _fit_target(
    composition: Composition, head: Head[Any], rows: Rows, recipe: Recipe
) -> tuple[Rows, TargetDescription | None]:
    """Fit the target description on the rows whose target is valid, or adopt that of the teachers.

    Returns:
        these rows, and the target description; None for a head that recovers its inputs, which needs the backbone.
    """
    adopted = teacher_target(composition.plan, head, composition.head.label)
    if adopted is None and head.description.target == TargetKind.INPUTS:
        return rows, None
    advice = FIX_OR_SKIP_ADVICE if adopted is None else teacher_advice(composition.plan)
    while True:
        columns = target_columns(head, rows, recipe.data)
        try:
            if adopted is None:
                return rows, head.fit_targets(columns)
            head.encode(columns, adopted)
            return rows, head.adopt_from_teacher(adopted, columns)
        except InvalidTargets as error:
            rows = drop_invalid(rows, error.reasons, recipe.data.on_bad_row, advice)


def _fit_backbone_config(composition: Composition, recipe: Recipe, rows: Rows) -> Composition:
    """Let the backbone complete its settings from the inputs of the training rows."""
    chosen = composition.backbone
    if isinstance(chosen, GivenObject) or chosen.spec.fit_config is None:
        return composition
    config = chosen.spec.fit_config(chosen.config, RenamedColumns(rows, recipe.data.columns))
    completed = combine(catalog(), replace(chosen, config=config), composition.head, composition.strategy)
    return replace(completed, dry_run_done=composition.dry_run_done)


def _soft_labels(
    composition: Composition,
    inputs: ProcessedInputs,
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    reporter: ProgressReporter,
) -> tuple[ProcessedInputs, dict[Teacher, TensorCache]]:
    """Compute the soft labels of all teachers; drop rows that one of them cannot use."""
    soft_labels: dict[Teacher, TensorCache] = {}
    progress = show_progress(reporter, "computing the teacher's soft labels")
    for index, teacher in enumerate(teachers_of(composition.plan)):
        teacher_folder = folder / f"teacher-{index}"
        invalid, cache = teacher_soft_labels(teacher, inputs.rows, recipe, teacher_folder, device, progress)
        kept = [row for row in range(len(inputs.rows)) if row not in invalid]
        soft_labels = {other: labels.take(kept) for other, labels in soft_labels.items()} | {teacher: cache}
        inputs = inputs.drop(invalid, recipe.data.on_bad_row)
    return inputs, soft_labels
