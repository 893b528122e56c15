"""Teachers: artifacts whose soft predictions a stage learns from.

They are looked at when a model is composed, asked when it is fitted, and not needed to load what was fitted.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from taskgraft.artifact.artifact import compose_from_manifest, load_fitted
from taskgraft.contract.descriptions import PER_ELEMENT
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Plan, Teacher
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, InvalidRows, Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.batching import batch_budget
from taskgraft.data.dataset import target_columns
from taskgraft.data.preprocessing import label_count_mismatches, preprocess
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.forward import ProgressIterator, compute_soft_labels
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.storage.manifest import SUMS, read_manifest


def teachers_of(plan: Plan) -> tuple[Teacher, ...]:
    """List the teachers of all stages, each once."""
    return tuple(dict.fromkeys(stage.teacher for stage in plan if stage.teacher is not None))


def teacher_target(plan: Plan, head: Head[Any], label: str) -> TargetDescription | None:
    """Give the target description that a head takes over from the teachers of a plan; None where there are none.

    Reads what the artifacts say of themselves and of their base, no weights.

    Args:
        label: what messages call the head.

    Raises:
        InvalidArtifact: for a teacher that is no artifact, damaged, or needs a plugin that is not installed.
        TeacherMismatch: for one that the head cannot learn from.
    """
    found: TargetDescription | None = None
    for teacher in teachers_of(plan):
        target = _target_of(teacher, head, label)
        if found is not None and target != found:
            problem = "what it knows of the targets differs from what the teacher of another stage knows"
            raise TeacherMismatch(teacher.artifact, problem, "Choose teachers that learned from the same rows")
        found = target
    return found


def check_columns(plan: Plan, recipe: Recipe, rows: Rows) -> None:
    """Refuse teachers that predict other columns than the student, or read some that the training rows do not have.

    Raises:
        TeacherMismatch: naming the columns.
    """
    for teacher in teachers_of(plan):
        told = read_manifest(Path(teacher.artifact)).recipe.data
        if set(told.target) != set(recipe.data.target):
            theirs, ours = (join_words(map(repr, names)) for names in (told.target, recipe.data.target))
            raise TeacherMismatch(teacher.artifact, f"it predicts {theirs}, but the target is {ours}", _ALIKE)
        if missing := [column for column in told.columns.values() if column not in rows.columns]:
            problem = f"it reads {join_words(map(repr, missing))}, but {rows.source} has {join_words(rows.columns)}"
            raise TeacherMismatch(
                teacher.artifact, problem, "Give training rows with all columns that the teacher reads"
            )


def teacher_checksums(plan: Plan) -> dict[str, str]:
    """Give the checksum of each teacher, by its folder: a run goes on with the teachers that it began with."""
    return {
        teacher.artifact: hashlib.sha256((Path(teacher.artifact) / SUMS).read_bytes()).hexdigest()
        for teacher in teachers_of(plan)
    }


def teacher_soft_labels(
    teacher: Teacher, rows: Rows, recipe: Recipe, folder: Path, device: torch.device, passes: ProgressIterator
) -> TensorCache:
    """Let a teacher say what it knows of training rows, read by its own columns and prepared in its own way.

    Args:
        recipe: the student's, with the target columns and the settings of the training.
        folder: a temporary one.

    Raises:
        InvalidRows: naming the rows that the teacher cannot use.
    """
    with torch.random.fork_rng(devices=[]):  # making the teacher draws; what the student draws stays the same
        _, own, fitted = load_fitted(teacher.artifact, device=str(device))
    task, columns, settings = fitted.task, own.data.columns, recipe.training
    try:
        made = preprocess(rows, columns, task.backbone, folder / "inputs", settings.memory, settings.workers)
        if fitted.head.description.target in PER_ELEMENT:
            label_count_mismatches(rows, made.elements, target_columns(fitted.head, rows, recipe))
    except InvalidRows as error:
        reasons = {row: f"the teacher cannot use it, for {reason}" for row, reason in error.reasons.items()}
        raise InvalidRows(rows, reasons) from None
    cache = TensorCache(folder / "soft", settings.memory)
    return compute_soft_labels(
        task, made.source, teacher.temperature, cache, batch_budget(settings), passes, settings.workers
    )


def adopt_teacher_target(
    plan: Plan, head: Head[Any], label: str, rows: Rows, recipe: Recipe
) -> TargetDescription | None:
    """Give what :func:`teacher_target` gives, once all training rows can be encoded by it.

    Raises:
        InvalidRows: naming the rows whose target the teachers do not know.
    """
    target = teacher_target(plan, head, label)
    if target is None:
        return None
    columns = target_columns(head, rows, recipe)
    try:
        head.encode(columns, target)
    except InvalidTargets as error:
        names = join_words(repr(teacher.artifact) for teacher in teachers_of(plan))
        told = f"The training split meant is that of the teacher {names}, whose labels and scales the head takes over."
        raise InvalidRows(rows, error.reasons, f"{told}\n{FIX_OR_SKIP_ADVICE}") from None
    own: TargetDescription = head.adopt_from_teacher(target, columns)
    return own


def _target_of(teacher: Teacher, head: Head[Any], label: str) -> TargetDescription:
    folder = Path(teacher.artifact)
    manifest = read_manifest(folder)
    recipe = manifest.recipe
    for axis, choice in (("backbone", recipe.backbone), ("head", recipe.head), ("strategy", recipe.strategy)):
        if choice.object is not None:
            problem = f"its {axis} was an object of the class {choice.object}, which its folder does not hold"
            raise TeacherMismatch(teacher.artifact, problem, "Take a teacher of which everything was named")
    composition = compose_from_manifest(folder, manifest, recipe)
    theirs, its = composition.head_description, composition.head.label
    if theirs.target != head.description.target:
        problem = f"its head '{its}' predicts {theirs.target}, but '{label}' learns {head.description.target}"
        raise TeacherMismatch(teacher.artifact, problem, f"Choose another teacher, or the head '{its}'")
    if not theirs.supports_distillation:
        raise TeacherMismatch(teacher.artifact, f"its head '{its}' gives no soft targets", "Choose another teacher")
    try:
        return head.target.model_validate(manifest.target)
    except ValidationError:
        problem = f"what its head '{its}' knows of the targets is nothing that '{label}' can take over"
        raise TeacherMismatch(teacher.artifact, problem, f"Choose another teacher, or the head '{its}'") from None


_ALIKE = "Let teacher and student predict the same columns"


@dataclass(eq=False)
class TeacherMismatch(TaskgraftError):
    """A teacher from which a student cannot learn."""

    teacher: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"The teacher {self.teacher} cannot teach: {self.problem}. {self.advice}."
