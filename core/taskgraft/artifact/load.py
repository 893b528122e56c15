"""Load an artifact: all of it is verified before anything in it is used."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from taskgraft.adaptation.base_weights import build_backbone, check_owners, copy_verified, read_tensors
from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import InsertedModule, insert_modules, remove_modules
from taskgraft.adaptation.trainable import resolve_trainable
from taskgraft.artifact.save import processor_settings, tensors_to_save
from taskgraft.composition.compose import Composition, build_head, compose_components, head_features
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.descriptions import BackboneDescription
from taskgraft.contract.head import Head
from taskgraft.contract.specs import BackboneSpec, HeadSpec, StrategySpec
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import is_installed
from taskgraft.discovery.names import is_distribution
from taskgraft.engine.new_tensors import limit_new_tensors, tensors_of_artifact
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError, first_line, join_words
from taskgraft.evaluation.baselines import read_baselines
from taskgraft.recipe import Recipe
from taskgraft.storage.checkpoints import CheckpointNotFound
from taskgraft.storage.component_paths import WHERE_IS_THE_BASE, check_base, located_recipe, with_base_at
from taskgraft.storage.consent import check_consent
from taskgraft.storage.manifest import MANIFEST, TENSORS, InvalidArtifact, Manifest, read_manifest


class InvalidDevice(TaskgraftError):
    """A device that cannot be used."""


def load_fitted(
    path: str | Path,
    *,
    backbone: ComponentReference | Path | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
    device: str = "cpu",
) -> tuple[Composition, Recipe, FittedTask]:
    """Load an artifact after verifying all of it.

    Args:
        backbone: where the base is, if it has moved: its path, or the backbone's name with it. Another name, or a dict, stands
            for the whole backbone with its settings. Or the object that was composed.
        head, strategy: the objects, if they were composed from objects.

    Raises:
        InvalidArtifact: for damage, another base, another processor, a newer format, a missing or unexpected tensor.
        InvalidDevice: if the device cannot be used.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    recipe = located_recipe(manifest, folder)
    if isinstance(backbone, str | Path):
        with_base = with_base_at(manifest, folder, str(backbone), catalog())
        recipe, backbone = (recipe, str(backbone)) if with_base is None else (with_base, None)
    with tensors_of_artifact(os.path.getsize(folder / TENSORS)):
        composition = compose_from_manifest(folder, manifest, recipe, backbone, head, strategy)
        fitted = _build(folder, manifest, composition)
    move_to_device(fitted.task.eval(), device)
    return composition, recipe.model_copy(update={"backbone": composition.backbone.to_ref()}), fitted


def _build(folder: Path, manifest: Manifest, composition: Composition) -> FittedTask:
    with limit_new_tensors(f"The backbone '{composition.backbone.label}'") if manifest.base is None else nullcontext():
        built, base = build_backbone(composition.backbone)
    _check_backbone(folder, manifest, built, base, composition.backbone.label)
    built_head = build_head(composition)
    try:
        parse_target = built_head.target.model_validate
        target = parse_target(manifest.target)
        baseline_targets = {name: parse_target(tuned) for name, tuned in manifest.baseline_targets.items()}
    except ValidationError as error:
        problem = f"its target description does not fit the head ({error.error_count()} errors)"
        raise InvalidArtifact(str(folder), problem) from None
    baselines = read_baselines(folder, manifest.baselines)
    with limit_new_tensors(f"The head '{composition.head.label}'"):
        module = built_head.build_module(head_features(composition), target)
    task = TaskModule(built, module, composition.layout)
    task.padding_invariant = manifest.pads
    metrics, chosen = manifest.metrics, manifest.chosen
    fitted = FittedTask(
        task, built_head, target, (), frozenset(), base, metrics, baselines, False, chosen, baseline_targets
    )
    _restore(folder, composition, fitted, manifest)
    return fitted


def compose_from_manifest(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    backbone: ComponentReference | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
) -> Composition:
    """Compose what an artifact names, without reading weights. Arguments as for :func:`load_fitted`.

    Raises:
        InvalidArtifact: if a plugin is not installed, a setting needs the user's consent, or the inputs do not fit.
    """
    _check_sources(folder, manifest)
    if backbone is None:
        check_base(manifest, folder, recipe)
    replaced = {"backbone": backbone, "head": head, "strategy": strategy}
    check_consent(folder, recipe, catalog(), [axis for axis, given in replaced.items() if given is not None])
    chosen: list[Any] = []
    for kind, saved, given in (
        (BackboneSpec, recipe.backbone, backbone),
        (HeadSpec, recipe.head, head),
        (StrategySpec, recipe.strategy, strategy),
    ):
        if saved.object is not None and (given is None or isinstance(given, str | Mapping)):
            problem = f"its {kind.axis} was an object of the class {saved.object}; pass it as {kind.axis}=…"
            raise InvalidArtifact(str(folder), problem)
        chosen.append(saved if given is None else given)
    try:
        composition = compose_components(catalog(), *chosen)
    except CheckpointNotFound as error:
        problem = f"its base cannot be found: no checkpoint '{error.name}' ({error.problem}); {WHERE_IS_THE_BASE}"
        raise InvalidArtifact(str(folder), problem) from None
    _check_inputs(folder, manifest, composition.backbone_description)
    return composition


def move_to_device(module: nn.Module, device: str) -> None:
    """Move a module to a device. Raises InvalidDevice if it is unknown, is not on this machine, or holds no data."""
    try:
        if device == "meta":
            raise RuntimeError("it holds no data")
        module.to(device)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise InvalidDevice(f"The device {device!r} cannot be used: {first_line(error)}. 'cpu' always can.") from None


def _check_sources(folder: Path, manifest: Manifest) -> None:
    missing = {name: version for name, version in manifest.sources.items() if not is_installed(name)}
    if missing:
        names = join_words(f"{name} {version}" for name, version in missing.items())
        advice = f": pip install {' '.join(missing)}" if all(map(is_distribution, missing)) else ""
        raise InvalidArtifact(str(folder), f"it needs {names}, not installed here{advice}")


def _check_inputs(folder: Path, manifest: Manifest, description: BackboneDescription) -> None:
    reads, named = {field.name for field in description.inputs}, manifest.recipe.data.columns.keys()
    required = {field.name for field in description.inputs if field.required}
    if reads and not required <= named <= reads:
        problem = f"its inputs are {join_words(named)}, but the backbone reads {join_words(sorted(reads))}"
        raise InvalidArtifact(str(folder), problem)


def _check_backbone(folder: Path, manifest: Manifest, backbone: Backbone, base: str | None, label: str) -> None:
    if base != manifest.base:
        problem = f"it was trained on another base than '{label}' ({manifest.base} there, {base} here)"
        raise InvalidArtifact(str(folder), problem)
    settings, saved = processor_settings(backbone), manifest.processor
    if settings != saved:
        differing = sorted(key for key in {*settings, *saved} if settings.get(key) != saved.get(key))
        problem = f"the processor's settings differ from those it was trained with: {join_words(differing)}"
        raise InvalidArtifact(str(folder), problem)


def _restore(folder: Path, composition: Composition, fitted: FittedTask, manifest: Manifest) -> None:
    """Insert the modules of all stages, and copy the saved tensors after comparing names, dtypes, shapes and digests."""
    task, inserted = fitted.task, tuple[InsertedModule, ...]()
    try:
        for stage in composition.plan:
            inserted = (*inserted, *insert_modules(task.backbone, stage.insertions, inserted))
            fitted.trained |= resolve_trainable(stage, task.backbone, task.layout, task.head, inserted).declared
        fitted.inserted = inserted
        if manifest.merged:
            remove_modules(task.backbone, inserted)
            inserted = ()
            fitted.mark_merged()
        expected = tensors_to_save(fitted)
        if missing := sorted(expected.keys() - manifest.tensors.keys()):
            raise InvalidArtifact(str(folder), f"{MANIFEST} lists no tensor {join_words(missing, 3)}")
        if unexpected := sorted(manifest.tensors.keys() - expected.keys()):
            raise InvalidArtifact(str(folder), f"{MANIFEST} lists an unexpected tensor {join_words(unexpected, 3)}")
        check_owners(folder, manifest, task.backbone.description)
        tensors = read_tensors(folder, manifest.tensors, fitted.tensors())
        copy_verified(folder, tensors, manifest.tensors, fitted.tensors())
    except BaseException:
        remove_modules(task.backbone, inserted)
        raise
