"""Fitting: from rows and a recipe to a trained task, with a report of what was done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from taskgraft.backbone import Backbone
from taskgraft.base import build
from taskgraft.batch import Batch
from taskgraft.catalog import catalog
from taskgraft.composition import Composition, Given, fitted_together
from taskgraft.description import FeatureDescription, TargetKind
from taskgraft.error import TaskgraftError
from taskgraft.examples import Examples
from taskgraft.head import BadTargets, Head, Predictions, Target
from taskgraft.insertion import Inserted, remove
from taskgraft.preparation import Inputs, check_elements, prepare
from taskgraft.progress import Reporter
from taskgraft.recipe import Recipe
from taskgraft.rows import BadRows, InputColumns, Rows
from taskgraft.stages import Loop, StageReport
from taskgraft.task import Passes, Task, predictions


@dataclass
class Fitted:
    """What a fit or an artifact adds to a composition.

    Attributes:
        learned: names of the tensors that learned in any stage.
        base: the fingerprint of the checkpoint below; None when there is none.
    """

    task: Task
    head: Head[Any]
    target: Target
    inserted: tuple[Inserted, ...]
    learned: frozenset[str]
    base: str | None
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a fit ends with.

    Attributes:
        composition: the one that was given, completed by what the backbone learned from the inputs.
        recipe: complete.
        validation: predictions for the validation rows and their encoded targets, or None when there were none.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
    """

    composition: Composition
    recipe: Recipe
    fitted: Fitted
    stages: tuple[StageReport, ...]
    validation: tuple[Predictions, Batch] | None
    notes: Mapping[str, int]


def fit(
    composition: Composition, recipe: Recipe, rows: Rows, held: Rows | None, reporter: Reporter, folder: Path
) -> Outcome:
    """Train what was composed.

    Args:
        held: validation rows, for choosing and judging.
        folder: a temporary folder of the run.
    """
    torch.manual_seed(recipe.training.seed)
    head = built_head(composition)
    target = _learned_target(head, rows, recipe)
    composition, recipe = _learned_backbone(composition, recipe, rows)
    backbone, base = build(composition.backbone)
    made = inputs_of(backbone, rows, recipe, folder / "inputs")
    training = Examples(made.store, encoded(head, target, rows, recipe, made))
    validation = None
    if held is not None:
        more = inputs_of(backbone, held, recipe, folder / "held")
        validation = Examples(more.store, encoded(head, target, held, recipe, more))
    for note, count in made.notes.items():
        reporter.say(f"{note}: {count:,} of {len(rows):,} training rows")
    task = Task(backbone, head.build(feature_of(composition), target), composition.layout)
    loop = Loop(task, training, validation, recipe.training, _accelerator(), reporter, folder)
    try:
        reports = loop.run(composition.plan)
    except BaseException:
        remove(backbone, loop.inserted)
        raise
    judged = None
    if validation is not None and loop.judged is not None:
        cut, stored = loop.judged
        found = predictions(task, cut, stored.inputs, recipe.training.batch_size, passes(reporter))
        judged = found, validation.targets
    fitted = Fitted(task, head, target, loop.inserted, loop.learned, base, {})
    return Outcome(composition, recipe, fitted, tuple(reports), judged, made.notes)


def built_head(composition: Composition) -> Head[Any]:
    """Give the head of a composition."""
    chosen = composition.head
    return chosen.value if isinstance(chosen, Given) else chosen.spec.build(chosen.config)


def feature_of(composition: Composition) -> FeatureDescription:
    """Describe the features that the head reads."""
    feature = composition.backbone_description.feature(composition.layout)
    assert feature is not None
    return feature


def inputs_of(backbone: Backbone, rows: Rows, recipe: Recipe, folder: Path) -> Inputs:
    """Prepare the inputs that a recipe names.

    Raises:
        NoRows, BadRows: when there is nothing to prepare, or something that cannot be.
    """
    if not len(rows):
        raise NoRows(rows.source)
    return prepare(rows, recipe.data.inputs, backbone.processor, folder, recipe.training.memory)


def encoded(head: Head[Any], target: Target, rows: Rows, recipe: Recipe, made: Inputs) -> Batch:
    """Encode the targets that a recipe names.

    Raises:
        BadRows: naming the rows whose target cannot be read, or has another number of labels than elements.
    """
    columns = {column: rows.values(column) for column in recipe.data.target}
    try:
        found = head.encode(columns, target)
    except BadTargets as error:
        raise BadRows(rows, error.reasons) from None
    if head.description.target == TargetKind.ELEMENT_CATEGORIES:
        check_elements(rows, made.elements, columns)
    return found


def passes(reporter: Reporter) -> Passes:
    """Show how far predictions are."""

    def show(batches: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
        return reporter.track(batches, "predicting", len(batches))

    return show


def _learned_backbone(composition: Composition, recipe: Recipe, rows: Rows) -> tuple[Composition, Recipe]:
    """Let a backbone complete its settings from the inputs of the training rows."""
    chosen = composition.backbone
    if isinstance(chosen, Given) or chosen.spec.learn is None:
        return composition, recipe
    config = chosen.spec.learn(chosen.config, InputColumns(rows, recipe.data.inputs))
    chosen = replace(chosen, config=config)
    composition = fitted_together(catalog(), chosen, composition.head, composition.strategy)
    return composition, recipe.model_copy(update={"backbone": chosen.choice()})


def _learned_target(head: Head[Any], rows: Rows, recipe: Recipe) -> Target:
    columns = {column: rows.values(column) for column in recipe.data.target}
    try:
        return head.learn(columns)  # type: ignore[no-any-return]
    except BadTargets as error:
        raise BadRows(rows, error.reasons) from None


def _accelerator() -> Accelerator:
    """Join the processes that were started together. On processors alone accelerate does so only when told to."""
    return Accelerator(cpu=not torch.accelerator.is_available())


@dataclass(eq=False)
class NoRows(TaskgraftError):
    """Data without a row."""

    source: str

    def __str__(self) -> str:
        return f"{self.source} has columns but no rows."
