"""Distillation teachers: artifacts whose soft labels a stage trains on.

They are checked when a model is composed, and run when it is fitted. Loading what was fitted does not need them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from taskgraft.artifact.load import compose_from_manifest, load_fitted
from taskgraft.contract.descriptions import PER_ELEMENT
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Plan, Teacher
from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, Rows
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.batching import batch_budget
from taskgraft.data.dataset import target_columns
from taskgraft.data.preprocessing import label_count_mismatches, preprocess
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.forward import ProgressIterator, compute_soft_labels
from taskgraft.errors import join_words
from taskgraft.preparation.errors import TrainingError
from taskgraft.reading.invalid_rows import drop_invalid
from taskgraft.recipe import Recipe
from taskgraft.storage.component_paths import located_recipe
from taskgraft.storage.manifest import read_manifest, read_sums


def teachers_of(plan: Plan) -> tuple[Teacher, ...]:
    """List the teachers of all stages, each once."""
    return tuple(dict.fromkeys(stage.teacher for stage in plan if stage.teacher is not None))


def check_teacher_columns(plan: Plan, recipe: Recipe, rows: Rows) -> None:
    """Raise TrainingError unless teachers predict the target columns, and the training rows have the columns they read."""
    for teacher in teachers_of(plan):
        data = read_manifest(Path(teacher.artifact)).recipe.data
        if set(data.target) != set(recipe.data.target):
            theirs, ours = (join_words(map(repr, names)) for names in (data.target, recipe.data.target))
            problem = f"it predicts {theirs}, but the target is {ours}"
            raise _mismatch(teacher, problem, "Let teacher and student predict the same columns")
        if missing := [column for column in data.columns.values() if column not in rows.columns]:
            problem = f"it reads {join_words(map(repr, missing))}, but {rows.source} has {join_words(rows.columns)}"
            advice = "Give training rows with all columns that the teacher reads"
            raise _mismatch(teacher, problem, advice)


def teacher_checksums(plan: Plan) -> dict[str, str]:
    """Return the checksum of each teacher by its folder; a run is resumed with the teachers it was started with."""
    folders = [teacher.artifact for teacher in teachers_of(plan)]
    return {folder: hashlib.sha256(read_sums(Path(folder))).hexdigest() for folder in folders}


def teacher_target(plan: Plan, head: Head[Any], label: str) -> TargetDescription | None:
    """Return the target description that the teachers of a plan share; None without teachers. Reads no weights.

    Args:
        head: the student's, which messages call ``label``.

    Raises:
        InvalidArtifact: for a teacher whose manifest is damaged, or that needs a plugin that is not installed.
        TrainingError: for one that the head cannot be trained with.
    """
    shared: TargetDescription | None = None
    for teacher in teachers_of(plan):
        target = _read_target(teacher, head, label)
        if shared is not None and target != shared:
            problem = "its target description differs from that of another stage's teacher"
            raise _mismatch(teacher, problem, "Choose teachers that were trained on the same rows")
        shared = target
    return shared


def teacher_advice(plan: Plan) -> str:
    """Return the advice on rows whose target the teachers do not know."""
    names = join_words(repr(teacher.artifact) for teacher in teachers_of(plan))
    source = f"The training split meant is that of the teacher {names}, whose labels and scales the head adopts."
    return f"{source}\n{FIX_OR_SKIP_ADVICE}"


def teacher_soft_labels(
    teacher: Teacher, rows: Rows, recipe: Recipe, folder: Path, device: torch.device, progress: ProgressIterator
) -> tuple[Mapping[int, str], TensorCache]:
    """Compute a teacher's soft labels for training rows, which it reads by its own columns and processor.

    Args:
        recipe: the student's, for the target columns and the training settings.
        folder: a temporary one.

    Returns:
        row → why the teacher cannot use it, and the soft labels of the other rows.

    Raises:
        InvalidRows: naming the rows that the teacher cannot use, unless the recipe says to skip them.
    """
    with torch.random.fork_rng(devices=[]):  # initializing the teacher must not change the student's weights
        _, own_recipe, fitted = load_fitted(teacher.artifact, device=str(device))
    task, settings = fitted.task, recipe.training
    columns = own_recipe.data.columns
    inputs = preprocess(rows, columns, task.backbone, folder / "inputs", settings.memory, settings.workers)
    invalid = inputs.invalid
    if fitted.head.description.target in PER_ELEMENT:
        labels = target_columns(fitted.head, rows, recipe.data)
        invalid = {**label_count_mismatches(inputs.elements, labels), **invalid}
    invalid = {row: f"the teacher cannot use it: {reason}" for row, reason in invalid.items()}
    inputs = inputs.drop(invalid, recipe.data.on_bad_row)
    cache, budget = TensorCache(folder / "soft", settings.memory), batch_budget(settings)
    temperature, workers = teacher.temperature, settings.workers
    soft, wrong = compute_soft_labels(task, inputs.source, temperature, cache, budget, progress, workers)
    if wrong:
        wrong = {row: f"the teacher cannot use it: {reason}" for row, reason in wrong.items()}
        drop_invalid(inputs.rows, wrong, recipe.data.on_bad_row)
        valid = [row for row in range(len(rows)) if row not in invalid]
        soft = soft.take([row for row in range(len(valid)) if row not in wrong])
        invalid |= {valid[row]: reason for row, reason in wrong.items()}
    return invalid, soft


def _read_target(teacher: Teacher, head: Head[Any], label: str) -> TargetDescription:
    folder = Path(teacher.artifact)
    manifest = read_manifest(folder)
    recipe = located_recipe(manifest, folder)
    for axis, choice in (("backbone", recipe.backbone), ("head", recipe.head), ("strategy", recipe.strategy)):
        if choice.object is not None:
            problem = f"its {axis} was an object of the class {choice.object}, which its folder does not contain"
            raise _mismatch(teacher, problem, "Choose a teacher whose components were all named")
    composition = compose_from_manifest(folder, manifest, recipe)
    theirs, its = composition.head_description, composition.head.label
    other_head = f"Choose another teacher, or the head '{its}'"
    if theirs.target != head.description.target:
        problem = f"its head '{its}' predicts {theirs.target}, but '{label}' predicts {head.description.target}"
        raise _mismatch(teacher, problem, other_head)
    if not theirs.supports_distillation:
        raise _mismatch(teacher, f"its head '{its}' has no soft labels", "Choose another teacher")
    try:
        return head.target.model_validate(manifest.target)
    except ValidationError:
        problem = f"'{label}' cannot adopt the target description of its head '{its}'"
        raise _mismatch(teacher, problem, other_head) from None


def _mismatch(teacher: Teacher, problem: str, advice: str) -> TrainingError:
    return TrainingError(f"The teacher {teacher.artifact} cannot be used: {problem}. {advice}.")
