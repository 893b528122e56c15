"""The saved task model: a folder with what was learned, verified in full before anything of it is used.

``taskgraft.json`` says what the model is; ``learned.safetensors`` holds its tensors; ``SHA256SUMS`` holds the checksums of
both, in the form that ``sha256sum --check`` reads. Checksums find damage and mix-ups. They do not prove who made an artifact.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from taskgraft.adaptation.base_weights import (
    build_backbone,
    check_owners,
    copy_verified,
    is_finite,
    owner_of,
    read_tensors,
)
from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import InsertedModule, insert_modules, is_inserted, remove_modules
from taskgraft.adaptation.trainable import TrainableTensors, resolve_trainable
from taskgraft.composition.compose import Composition, build_head, compose_components, head_features
from taskgraft.composition.consent import check_consent
from taskgraft.composition.resolve import ComponentReference, resolve
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.descriptions import BackboneDescription
from taskgraft.contract.head import Head
from taskgraft.contract.recipe import ComponentRef, Recipe
from taskgraft.contract.specs import BackboneSpec, HeadSpec, StrategySpec
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import is_installed
from taskgraft.discovery.names import parse_name
from taskgraft.engine.task_module import TaskModule
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.baselines import baseline_sources, read_baselines
from taskgraft.storage.atomic_write import atomic_folder
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import (
    MANIFEST,
    SCHEMA,
    SUMS,
    TENSORS,
    InvalidArtifact,
    Manifest,
    TensorRecord,
    checksums,
    is_artifact,
    read_artifact,
    rebase_data_paths,
)


@dataclass(eq=False)
class SaveError(TaskgraftError):
    """A place where an artifact cannot be written."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"The artifact cannot be written to {self.path}: {self.problem}."


@dataclass(eq=False)
class InvalidDevice(TaskgraftError):
    """A device that cannot be used."""

    device: str
    problem: str

    def __str__(self) -> str:
        return f"The device {self.device!r} cannot be used: {self.problem}. 'cpu' always can."


def save(fitted: FittedTask, composition: Composition, recipe: Recipe, path: Path, *, overwrite: bool = False) -> Path:
    """Write an artifact beside its place and rename it, so that no half-written one is ever found.

    Raises:
        SaveError: when something is there already and is not an artifact to overwrite, or the place cannot be written.
    """
    path = _resolved(path)
    _check_place(path, overwrite=overwrite)
    tensors = tensors_to_save(fitted)
    parameters = {name for name, tensor in _learning(fitted).tensors().items() if isinstance(tensor, nn.Parameter)}
    if broken := [name for name, tensor in tensors.items() if name in parameters and not is_finite(tensor)]:
        raise SaveError(str(path), f"the tensor {join_words(broken, 3)} holds values that are not finite")
    files = {TENSORS: save_tensors(tensors), MANIFEST: _manifest(path, composition, recipe, fitted, tensors).encode()}
    try:
        with atomic_folder(path) as fresh:
            for name, content in {**files, SUMS: checksums(files).encode()}.items():
                (fresh / name).write_bytes(content)
    except OSError as error:
        raise SaveError(str(path), str(error.strerror)) from None
    return path


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise SaveError(str(path)[:200], str(error.args[-1])) from None


def _check_place(path: Path, *, overwrite: bool) -> None:
    try:
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
        if not overwrite:
            raise SaveError(str(path), "something is there already; choose another folder, or pass overwrite=True")
        if not is_artifact(path):
            raise SaveError(str(path), "what is there is no artifact, so it is not overwritten")
        if strangers := sorted({file.name for file in path.iterdir()} - {MANIFEST, TENSORS, SUMS}):
            raise SaveError(
                str(path), f"the folder also holds {join_words(strangers, 3)}, which is no part of an artifact"
            )
    except (OSError, ValueError) as error:
        raise SaveError(str(path)[:200], str(error.args[-1])) from None


def load_fitted(
    path: str | Path,
    *,
    backbone: ComponentReference | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
    device: str = "cpu",
) -> tuple[Composition, Recipe, FittedTask]:
    """Load an artifact after verifying all of it.

    Args:
        backbone: where the base lies now, when it has moved; or the object that was composed.
        head: the object, when the head was composed from one.
        strategy: the object, when the strategy was composed from one.

    Raises:
        InvalidArtifact: for damage, another base, another processor, a newer form, a missing or unexpected tensor.
    """
    folder = Path(path)
    manifest, content = read_artifact(folder)
    recipe = rebase_data_paths(manifest.recipe, folder, Path.cwd())
    composition = compose_from_manifest(folder, manifest, recipe, backbone, head, strategy)
    chosen = composition.backbone
    below, base = build_backbone(chosen)
    if base != manifest.base:
        raise InvalidArtifact(
            str(folder), f"it was trained on another base than '{chosen.label}' ({manifest.base} there, {base} here)"
        )
    if (now := _json(below.processor.settings())) != manifest.processor:
        differing = sorted(key for key in {*now, *manifest.processor} if now.get(key) != manifest.processor.get(key))
        raise InvalidArtifact(
            str(folder), f"the processor's settings differ from those it was trained with: {join_words(differing)}"
        )
    top = build_head(composition)
    try:
        target = top.target.model_validate(manifest.target)
    except ValidationError as error:
        raise InvalidArtifact(
            str(folder), f"its target description does not fit the head ({error.error_count()} faults)"
        ) from None
    rivals = read_baselines(folder, manifest.baselines)
    task = TaskModule(below, top.build_module(head_features(composition), target), composition.layout)
    task.padding_invariant = manifest.pads
    inserted: tuple[InsertedModule, ...] = ()
    learned: frozenset[str] = frozenset()
    recipe = recipe.model_copy(update={"backbone": composition.backbone.to_ref()})
    try:
        for stage in composition.plan:
            inserted = (*inserted, *insert_modules(below, stage.insertions, inserted))
            learned |= resolve_trainable(stage, below, task.layout, task.head, inserted).declared
        fitted = FittedTask(task, top, target, inserted, learned, base, manifest.metrics, rivals)
        if manifest.merged:
            remove_modules(below, inserted)
            inserted = ()
            fitted.take_as_merged()
        _fill(folder, fitted, manifest, content)
    except BaseException:
        remove_modules(below, inserted)
        raise
    try:
        if device == "meta":
            raise RuntimeError("it holds no data")
        task.to(device).eval()
    except (RuntimeError, TypeError) as error:
        raise InvalidDevice(device, str(error).splitlines()[0].rstrip(".")) from None
    return composition, recipe, fitted


def compose_from_manifest(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    backbone: ComponentReference | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
) -> Composition:
    """Put together what an artifact names, as far as that goes without weights. Arguments as for :func:`load_fitted`.

    Raises:
        InvalidArtifact: when it needs what is not installed, asks for what only a person may grant, or names other inputs.
    """
    _check_sources(folder, manifest)
    for kind, choice, given in (
        (BackboneSpec, recipe.backbone, backbone),
        (HeadSpec, recipe.head, head),
        (StrategySpec, recipe.strategy, strategy),
    ):
        if given is None and choice.name is not None:
            spec, _ = catalog().find(kind, parse_name(choice.name))
            check_consent(folder, spec, choice.settings, {})
            for one in resolve(catalog(), kind, choice).with_nested() if kind is StrategySpec else ():
                check_consent(folder, one.spec, one.config.model_dump(), {})
    composition = compose_components(
        catalog(),
        _reference(folder, "backbone", recipe.backbone, backbone),
        _reference(folder, "head", recipe.head, head),
        _reference(folder, "strategy", recipe.strategy, strategy),
    )
    _check_inputs(folder, manifest, composition.backbone_description)
    return composition


def tensors_to_save(fitted: FittedTask) -> dict[str, Tensor]:
    """Choose what an artifact holds: what learned or was inserted; over a base without checkpoint, the whole backbone."""
    named = _learning(fitted).tensors()
    persistent = {id(tensor) for tensor in (*_state(fitted.task.backbone), *_state(fitted.task.head))}
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in sorted(named.items())
        if id(tensor) in persistent and (fitted.base is None or name in fitted.learned or is_inserted(name))
    }


def _learning(fitted: FittedTask) -> TrainableTensors:
    return TrainableTensors(fitted.task.backbone, fitted.task.head, fitted.inserted, ())


def _state(module: nn.Module) -> list[Tensor]:
    return list(module.state_dict(keep_vars=True).values())


def _manifest(
    path: Path, composition: Composition, recipe: Recipe, fitted: FittedTask, tensors: Mapping[str, Tensor]
) -> str:
    description = fitted.task.backbone.description
    records = {}
    for name, tensor in tensors.items():
        records[name] = TensorRecord(
            owner=owner_of(name, description),
            dtype=str(tensor.dtype),
            shape=tuple(tensor.shape),
            sha256=tensor_digest(tensor),
        )
    sources = (*composition.sources(), *baseline_sources(list(fitted.baselines)))
    manifest = Manifest(
        schema_version=SCHEMA,
        recipe=rebase_data_paths(recipe, Path.cwd(), path),
        target=fitted.target.model_dump(mode="json"),
        processor=_json(fitted.task.backbone.processor.settings()),
        base=fitted.base,
        pads=fitted.task.padding_invariant,
        merged=fitted.merged,
        sources={source.distribution: source.version for source in sources},
        metrics=dict(fitted.metrics),
        baselines={name: learned.model_dump(mode="json") for name, learned in fitted.baselines.items()},
        tensors=records,
    )
    return manifest.model_dump_json(indent=1) + "\n"


def _check_sources(folder: Path, manifest: Manifest) -> None:
    missing = {name: version for name, version in manifest.sources.items() if not is_installed(name)}
    if missing:
        needed = join_words(f"{name} {version}" for name, version in missing.items())
        raise InvalidArtifact(str(folder), f"it needs {needed}, not installed here: pip install {' '.join(missing)}")


def _check_inputs(folder: Path, manifest: Manifest, description: BackboneDescription) -> None:
    """Refuse inputs that the backbone does not read."""
    roles, named = {role.name for role in description.inputs}, manifest.recipe.data.columns.keys()
    required = {role.name for role in description.inputs if role.required}
    if roles and not required <= named <= roles:
        problem = f"its inputs are {join_words(named)}, but the backbone reads {join_words(sorted(roles))}"
        raise InvalidArtifact(str(folder), problem)


def _reference(folder: Path, axis: str, choice: ComponentRef, given: Any) -> Any:
    if choice.object is not None:
        if given is None or isinstance(given, str | Mapping):
            raise InvalidArtifact(
                str(folder), f"its {axis} was an object of the class {choice.object}; pass it as {axis}=…"
            )
        return given
    if given is not None:
        return given
    return choice


def _fill(folder: Path, fitted: FittedTask, manifest: Manifest, content: bytes) -> None:
    """Put the saved tensors in their places, after comparing every name, dtype, shape and digest."""
    wanted = tensors_to_save(fitted)
    if missing := sorted(wanted.keys() - manifest.tensors.keys()):
        raise InvalidArtifact(str(folder), f"{MANIFEST} lists no tensor {join_words(missing, 3)}")
    if strange := sorted(manifest.tensors.keys() - wanted.keys()):
        raise InvalidArtifact(str(folder), f"{MANIFEST} lists an unexpected tensor {join_words(strange, 3)}")
    check_owners(folder, manifest, fitted.task.backbone.description)
    tensors = read_tensors(folder, content, manifest.tensors)
    copy_verified(folder, tensors, manifest.tensors, _learning(fitted).tensors())


def _json(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]
