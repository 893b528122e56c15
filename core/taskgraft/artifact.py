"""The saved task model: a folder with what was learned, verified in full before anything of it is used.

``taskgraft.json`` says what the model is; ``learned.safetensors`` holds its tensors; ``SHA256SUMS`` holds the checksums of
both, in the form that ``sha256sum --check`` reads. Checksums find damage and mix-ups. They do not prove who made an artifact.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from taskgraft.backbone import Backbone, owner
from taskgraft.catalog import catalog
from taskgraft.composition import Given, Reference, composed
from taskgraft.config import Config
from taskgraft.error import TaskgraftError, listed
from taskgraft.fingerprint import digest
from taskgraft.head import Head
from taskgraft.hook import GROUP
from taskgraft.insertion import Inserted, insert, is_inserted, remove
from taskgraft.learning import HEAD, Learning, resolve
from taskgraft.model import Fitted, TaskModel, built_head, feature_of, model_of
from taskgraft.name import normalized
from taskgraft.recipe import Choice, Recipe
from taskgraft.source import installed
from taskgraft.strategy import Strategy
from taskgraft.task import Task

SCHEMA = 1
"""The version of the artifact's form. Older ones stay readable; a newer one is refused."""

MANIFEST, TENSORS, SUMS = "taskgraft.json", "learned.safetensors", "SHA256SUMS"


class TensorRecord(Config):
    """One saved tensor. ``owner`` is a part, ``head`` or ``inserted``; ``sha256`` covers dtype, shape and bytes."""

    owner: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Manifest(Config):
    """What an artifact says of itself."""

    schema_version: int
    recipe: Recipe
    target: dict[str, Any]
    processor: dict[str, Any]
    base: str | None
    pads: bool
    sources: dict[str, str]
    metrics: dict[str, float]
    tensors: dict[str, TensorRecord]


@dataclass(eq=False)
class BadArtifact(TaskgraftError):
    """An artifact that must not be used."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"The artifact {self.path} is refused: {self.problem}."


@dataclass(eq=False)
class CannotSave(TaskgraftError):
    """A place where an artifact cannot be written."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"The artifact cannot be written to {self.path}: {self.problem}."


def save(model: TaskModel, path: Path, *, overwrite: bool = False) -> Path:
    """Write an artifact beside its place and rename it, so that no half-written one is ever found.

    Raises:
        CannotSave: when something is there already and is not an artifact to overwrite, or the place cannot be written.
    """
    assert model.fitted is not None
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        if not overwrite:
            raise CannotSave(str(path), "something is there already; choose another folder, or pass overwrite=True")
        if not (path / MANIFEST).is_file():
            raise CannotSave(str(path), "what is there is no artifact, so it is not overwritten")
    tensors = saved_tensors(model.fitted)
    files = {TENSORS: save_tensors(tensors), MANIFEST: _manifest(model, model.fitted, tensors).encode()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            for name, content in {**files, SUMS: _sums(files).encode()}.items():
                (fresh / name).write_bytes(content)
            fresh.chmod(0o755)
            _replace(fresh, path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise CannotSave(str(path), str(error.strerror)) from None
    return path


def load(
    path: str | Path,
    *,
    backbone: Reference | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
    device: str = "cpu",
) -> TaskModel:
    """Load an artifact after verifying all of it.

    Args:
        backbone: where the base lies now, when it has moved; or the object that was composed.
        head: the object, when the head was composed from one.
        strategy: the object, when the strategy was composed from one.

    Raises:
        BadArtifact: for damage, another base, another processor, a newer form, a missing or unexpected tensor.
    """
    folder = Path(path)
    files = _verified_files(folder)
    manifest = _parsed(folder, files[MANIFEST])
    _check_sources(folder, manifest)
    recipe = manifest.recipe
    composition = composed(
        catalog(),
        _reference(folder, "backbone", recipe.backbone, backbone),
        _reference(folder, "head", recipe.head, head),
        _reference(folder, "strategy", recipe.strategy, strategy),
    )
    chosen = composition.backbone
    below = chosen.value if isinstance(chosen, Given) else chosen.spec.build(chosen.config)
    base = below.fingerprint()
    if base != manifest.base:
        raise BadArtifact(
            str(folder), f"it was trained on another base than '{chosen.label}' ({manifest.base} there, {base} here)"
        )
    if (now := _json(below.processor.settings())) != manifest.processor:
        differing = sorted(key for key in {*now, *manifest.processor} if now.get(key) != manifest.processor.get(key))
        raise BadArtifact(
            str(folder), f"the processor's settings differ from those it was trained with: {listed(differing)}"
        )
    top = built_head(composition)
    try:
        target = top.target.model_validate(manifest.target)
    except ValidationError as error:
        raise BadArtifact(
            str(folder), f"its target description does not fit the head ({error.error_count()} faults)"
        ) from None
    task = Task(below, top.build(feature_of(composition), target), composition.layout)
    task.pads = manifest.pads
    inserted: tuple[Inserted, ...] = ()
    learned: frozenset[str] = frozenset()
    model = model_of(composition)
    model.recipe = recipe.model_copy(update={"backbone": model.recipe.backbone})
    try:
        for stage in composition.plan:
            inserted = (*inserted, *insert(below, stage.insert))
            learned |= resolve(stage, below, task.head, inserted).declared
        model.fitted = Fitted(task, top, target, inserted, learned, base, manifest.metrics)
        _fill(folder, model.fitted, manifest, files[TENSORS])
    except BaseException:
        remove(below, inserted)
        raise
    task.to(device).eval()
    return model


def saved_tensors(fitted: Fitted) -> dict[str, Tensor]:
    """Choose what an artifact holds: what learned; over a base without checkpoint, the whole backbone."""
    learning = Learning(fitted.task.backbone, fitted.task.head, fitted.inserted, ())
    named = learning.tensors()
    persistent = {id(tensor) for tensor in (*_state(fitted.task.backbone), *_state(fitted.task.head))}
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in sorted(named.items())
        if id(tensor) in persistent and (fitted.base is None or name in fitted.learned)
    }


def _state(module: torch.nn.Module) -> list[Tensor]:
    return list(module.state_dict(keep_vars=True).values())


def _manifest(model: TaskModel, fitted: Fitted, tensors: Mapping[str, Tensor]) -> str:
    description = fitted.task.backbone.description
    records = {}
    for name, tensor in tensors.items():
        part = owner(description, name.partition(":")[0])
        whose = (
            HEAD
            if name.startswith(f"{HEAD}.")
            else "inserted"
            if is_inserted(name)
            else part.name
            if part
            else "unused"
        )
        records[name] = TensorRecord(
            owner=whose, dtype=str(tensor.dtype), shape=tuple(tensor.shape), sha256=digest(tensor)
        )
    manifest = Manifest(
        schema_version=SCHEMA,
        recipe=model.recipe,
        target=fitted.target.model_dump(mode="json"),
        processor=_json(fitted.task.backbone.processor.settings()),
        base=fitted.base,
        pads=fitted.task.pads,
        sources={source.distribution: source.version for source in model.composition.sources()},
        metrics=dict(fitted.metrics),
        tensors=records,
    )
    return manifest.model_dump_json(indent=1) + "\n"


def _sums(files: Mapping[str, bytes]) -> str:
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def _replace(fresh: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}-old-{os.getpid()}")
    if path.exists():
        path.rename(old)
    try:
        fresh.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _verified_files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise BadArtifact(str(folder), "there is no such folder")
    try:
        files = {name: (folder / name).read_bytes() for name in (TENSORS, MANIFEST)}
        stated = (folder / SUMS).read_bytes()
    except OSError as error:
        raise BadArtifact(str(folder), f"{Path(error.filename).name} cannot be read ({error.strerror})") from None
    if stated != _sums(files).encode():
        raise BadArtifact(str(folder), f"its files do not match {SUMS}, so it is damaged or was changed")
    return files


def _parsed(folder: Path, content: bytes) -> Manifest:
    try:
        raw = json.loads(content)
        version = raw["schema_version"]
        if not isinstance(version, int) or version > SCHEMA:
            raise BadArtifact(
                str(folder), f"its form is {version}, newer than {SCHEMA}, the newest known here; update taskgraft"
            )
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadArtifact(str(folder), f"{MANIFEST} has a fault at '{place}': {first['msg']}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadArtifact(str(folder), f"{MANIFEST} is not what this version writes") from None


def _check_sources(folder: Path, manifest: Manifest) -> None:
    here = {normalized(source.distribution) for source, _ in installed(GROUP)}
    missing = [f"{name} {version}" for name, version in manifest.sources.items() if normalized(name) not in here]
    if missing:
        raise BadArtifact(str(folder), f"it needs {listed(missing)}, which is not installed")


def _reference(folder: Path, axis: str, choice: Choice, given: Any) -> Any:
    if choice.object is not None:
        if given is None or isinstance(given, str | Mapping):
            raise BadArtifact(
                str(folder), f"its {axis} was an object of the class {choice.object}; pass it as {axis}=…"
            )
        return given
    if given is not None:
        return given
    return {"name": choice.name, **choice.settings}


def _fill(folder: Path, fitted: Fitted, manifest: Manifest, content: bytes) -> None:
    """Put the saved tensors in their places, after comparing every name, dtype, shape and digest."""
    try:
        stored = load_tensors(content)
    except (SafetensorError, ValueError) as error:
        raise BadArtifact(str(folder), f"{TENSORS} cannot be read ({error})") from None
    wanted = saved_tensors(fitted)
    for what, names in (
        (f"{MANIFEST} lists no", wanted.keys() - manifest.tensors.keys()),
        (f"{MANIFEST} lists an unexpected", manifest.tensors.keys() - wanted.keys()),
        (f"{TENSORS} lacks the", manifest.tensors.keys() - stored.keys()),
        (f"{TENSORS} holds an unexpected", stored.keys() - manifest.tensors.keys()),
    ):
        if names:
            raise BadArtifact(str(folder), f"{what} tensor {listed(sorted(names), 3)}")
    learning = Learning(fitted.task.backbone, fitted.task.head, fitted.inserted, ())
    places = learning.tensors()
    with torch.no_grad():
        for name, tensor in stored.items():
            record, place = manifest.tensors[name], places[name]
            have, need = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, place))
            if have != need:
                raise BadArtifact(str(folder), f"the tensor {name} is {have}, but the model has {need}")
            if digest(tensor) != record.sha256:
                raise BadArtifact(str(folder), f"the tensor {name} does not match its checksum")
        for name, tensor in stored.items():
            places[name].copy_(tensor)


def _json(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]
