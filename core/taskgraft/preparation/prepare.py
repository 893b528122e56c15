"""Preparation: everything known before training.

Each step reports invalid rows, which are dropped then, or raised (``data.on_bad_row``). Nothing that is learned depends on a
dropped row: the weights are those of data without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.augmentation import Augmentation
from taskgraft.data.dataset import (
    LabelledDataset,
    check_not_empty,
    encode_dataset,
    process_inputs,
    report_notes,
    target_columns,
    train_dataset,
)
from taskgraft.data.examples import EncodedDataset
from taskgraft.data.preprocessing import ProcessedInputs
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import show_progress
from taskgraft.preparation.data_warnings import data_warnings
from taskgraft.preparation.distillation import teacher_advice, teacher_soft_labels, teacher_target, teachers_of
from taskgraft.preparation.fit_functions import augmentation_note
from taskgraft.preparation.label_checks import check_label_marks
from taskgraft.preparation.validation_tuning import check_tuning_rows
from taskgraft.preparation.weight_checks import weight_warnings
from taskgraft.progress import ProgressReporter
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.recipe import Recipe


@dataclass(frozen=True)
class Preparation:
    """Everything known before training.

    Attributes:
        composition: with the settings that the backbone fitted on the inputs, and so the recipe.
        base: the fingerprint of the backbone's base weights; None for random ones.
        rows: the training rows without invalid ones; ``training`` is their data set.
        soft_labels: of the training rows, by teacher.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
        warnings: what the data may mean instead, a sentence each.
    """

    composition: Composition
    recipe: Recipe
    head: Head[Any]
    target: TargetDescription
    backbone: Backbone
    base: str | None
    rows: Rows
    training: EncodedDataset
    soft_labels: Mapping[Teacher, TensorCache]
    notes: Mapping[str, int]
    validation_rows: Rows | None = None
    validation: EncodedDataset | None = None
    warnings: tuple[str, ...] = ()
    validation_notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Preparer:
    """Fits what the training rows decide, builds the backbone, and makes the data sets; the device is for teachers."""

    composition: Composition
    recipe: Recipe
    folder: Path
    device: torch.device
    reporter: ProgressReporter
    augmentation: Augmentation | None = None

    def prepare(self, rows: Rows, validation_rows: Rows | None) -> Preparation:
        """Prepare a fit, and print what happened to the rows.

        Raises:
            DataError: when there are no rows.
            InvalidRows: naming the invalid rows, unless the recipe says to skip them.
        """
        check_not_empty(rows)
        prepared = self._prepare_training(rows)
        for line in (*prepared.backbone.processor.summary, *prepared.head.summary(prepared.target)):
            self.reporter.message(line)
        if validation_rows is not None:
            held_out = self._prepare_validation(prepared, validation_rows)
            validation_rows = held_out.rows
            prepared = replace(
                prepared, validation_rows=held_out.rows, validation=held_out.dataset, validation_notes=held_out.notes
            )
        backbone, data = prepared.composition.backbone_description, self.recipe.data
        warnings = (
            *weight_warnings(prepared.composition, prepared.base),
            *data_warnings(backbone, prepared.head, prepared.target, data, prepared.rows, validation_rows),
        )
        note = augmentation_note(self.augmentation, prepared.head.description.target)
        for line in (*warnings, *filter(None, [note])):
            self.reporter.message(line)
        report_notes(self.reporter, prepared.notes, prepared.rows, "training rows")
        if validation_rows is not None:
            report_notes(self.reporter, prepared.validation_notes, validation_rows, "validation rows")
        return replace(prepared, warnings=warnings)

    def _prepare_training(self, rows: Rows) -> Preparation:
        """Prepare the training rows and the backbone.

        The backbone is built once. Only if its settings are fitted on the inputs, and rows that were found invalid afterwards
        had changed them, it is built again, from the same random state.
        """
        head, data = build_head(self.composition), self.recipe.data
        rows, target = self._fit_target(head, rows)  # before any weights are read
        composition = self._fit_backbone_config(rows)
        torch.manual_seed(self.recipe.training.seed)
        backbone, base = build_backbone(composition.backbone)
        target = target or head.fit_element_schema(backbone.processor.element_schema)
        inputs = process_inputs(backbone, rows, self.recipe, self.folder / "training")
        inputs, dataset = train_dataset(
            head, target, inputs.drop(inputs.invalid, data.on_bad_row), data, self.augmentation
        )
        inputs, soft_labels = self._soft_labels(inputs)
        if len(inputs.rows) < len(rows):  # what was fitted on rows that are dropped now is fitted again
            rows, refitted = self._fit_target(head, inputs.rows)
            if len(rows) < len(inputs.rows) or self._fit_backbone_config(rows).backbone != composition.backbone:
                return self._prepare_training(rows)
            target = refitted or target
            inputs, dataset = train_dataset(head, target, inputs, data, self.augmentation)
            if len(inputs.rows) < len(rows):
                return self._prepare_training(inputs.rows)
        recipe = self.recipe.model_copy(update={"backbone": composition.backbone.to_ref()})
        notes = inputs.all_notes
        return Preparation(composition, recipe, head, target, backbone, base, rows, dataset, soft_labels, notes)

    def _fit_target(self, head: Head[Any], rows: Rows) -> tuple[Rows, TargetDescription | None]:
        """Fit the target description on the rows whose target is valid, or adopt that of the teachers; return both.

        It is None for a head that recovers its inputs, whose elements only the backbone knows.
        """
        plan, data = self.composition.plan, self.recipe.data
        adopted = teacher_target(plan, head, self.composition.head.label)
        if adopted is None and head.description.target == TargetKind.INPUTS:
            return rows, None
        advice = FIX_OR_SKIP_ADVICE if adopted is None else teacher_advice(plan)
        while True:
            try:
                check_label_marks(head.description, rows, data)
                columns = target_columns(head, rows, data)
                if adopted is None:
                    return rows, head.fit_targets(columns)
                head.encode(columns, adopted)
                return rows, head.adopt_from_teacher(adopted, columns)
            except InvalidTargets as error:
                rows = drop_invalid(rows, error.reasons, data.on_bad_row, advice)

    def _fit_backbone_config(self, rows: Rows) -> Composition:
        """Let the backbone complete its settings from the inputs of the training rows."""
        chosen = self.composition.backbone
        if isinstance(chosen, GivenObject) or chosen.spec.fit_config is None:
            return self.composition
        config = chosen.spec.fit_config(chosen.config, rows.lazy_columns(self.recipe.data.columns))
        chosen = replace(chosen, config=config)
        completed = combine(catalog(), chosen, self.composition.head, self.composition.strategy)
        return replace(completed, dry_run_done=self.composition.dry_run_done)

    def _soft_labels(self, inputs: ProcessedInputs) -> tuple[ProcessedInputs, dict[Teacher, TensorCache]]:
        """Compute the soft labels of all teachers; drop rows that one of them cannot use."""
        soft_labels: dict[Teacher, TensorCache] = {}
        progress = show_progress(self.reporter, "computing the teacher's soft labels")
        for index, teacher in enumerate(teachers_of(self.composition.plan)):
            folder, recipe = self.folder / f"teacher-{index}", self.recipe
            invalid, cache = teacher_soft_labels(teacher, inputs.rows, recipe, folder, self.device, progress)
            inputs = inputs.drop(invalid, recipe.data.on_bad_row)
            if invalid and soft_labels:  # of the same rows in other batches, so not of the same bits
                return self._soft_labels(inputs)
            soft_labels[teacher] = cache
        return inputs, soft_labels

    def _prepare_validation(self, prepared: Preparation, rows: Rows) -> LabelledDataset:
        """Make the data set of the validation rows, without invalid ones and those that the head cannot tune on."""
        head, target, data = prepared.head, prepared.target, self.recipe.data
        inputs = process_inputs(prepared.backbone, rows, self.recipe, self.folder / "validation")
        invalid = inputs.invalid
        while True:
            inputs, dataset = encode_dataset(head, target, inputs.drop(invalid, data.on_bad_row), data)
            try:
                check_tuning_rows(head, target, inputs.rows, dataset.targets)
            except InvalidTargets as error:
                invalid = error.reasons
            else:
                return LabelledDataset(inputs.rows, dataset, inputs.all_notes)
