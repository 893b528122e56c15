"""Save a task model as an artifact: a folder with everything that was trained.

``taskgraft.json`` describes the model; ``learned.safetensors`` holds its tensors; ``SHA256SUMS`` holds the checksums of both,
in the format of ``sha256sum --check``. Checksums detect damage and mix-ups. They do not prove who made an artifact.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from taskgraft.adaptation.base_weights import owner_of
from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import is_inserted
from taskgraft.composition.compose import Composition
from taskgraft.contract.backbone import Backbone
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.finite import weight_fault
from taskgraft.errors import join_words
from taskgraft.evaluation.baselines import resolve_baseline
from taskgraft.recipe import Recipe
from taskgraft.storage.atomic_write import OutputError, atomic_folder, remove_leftovers, write_problem
from taskgraft.storage.component_paths import component_paths
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import (
    MANIFEST,
    SCHEMA,
    SUMS,
    TENSORS,
    Manifest,
    TensorRecord,
    checksums,
    is_artifact,
    rebase_data_paths,
)


@dataclass(eq=False)
class SaveError(OutputError):
    """An artifact that cannot be written."""

    what: str = "artifact"


def save(fitted: FittedTask, composition: Composition, recipe: Recipe, path: Path, *, overwrite: bool = False) -> Path:
    """Write an artifact atomically, and return its absolute path. Raises SaveError if that is not possible or allowed."""
    try:
        path = path.resolve()
        _check_replaceable(path, overwrite=overwrite)
    except (OSError, ValueError, RuntimeError) as error:
        raise SaveError(str(path)[:200], str(error.args[-1])) from None
    tensors, present = tensors_to_save(fitted), fitted.tensors()
    if broken := [name for name in tensors if weight_fault(present[name]) is not None]:
        raise SaveError(str(path), f"the tensor {join_words(broken, 3)} contains values that are not finite")
    manifest = _manifest(path, composition, recipe, fitted, tensors).model_dump_json(indent=1) + "\n"
    try:
        with atomic_folder(path) as folder:
            save_file(tensors, folder / TENSORS)
            (folder / MANIFEST).write_text(manifest, "utf-8")
            (folder / SUMS).write_text(checksums(folder), "utf-8")
    except (OSError, SafetensorError) as error:
        raise SaveError(str(path), write_problem(error)) from None
    return path


def tensors_to_save(fitted: FittedTask) -> dict[str, Tensor]:
    """Select the tensors of an artifact: those trained or inserted; over random weights, those of the whole backbone too."""
    modules = (fitted.task.backbone, fitted.task.head)
    persistent = {id(tensor) for module in modules for tensor in module.state_dict(keep_vars=True).values()}
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in sorted(fitted.tensors().items())
        if id(tensor) in persistent and (fitted.base is None or name in fitted.trained or is_inserted(name))
    }


def processor_settings(backbone: Backbone) -> dict[str, Any]:
    """Return the settings of a backbone's processor as they are after a round trip through JSON."""
    return json.loads(json.dumps(backbone.processor.settings()))  # type: ignore[no-any-return]


def _check_replaceable(path: Path, *, overwrite: bool) -> None:
    remove_leftovers(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise SaveError(str(path), "something is there already; choose another folder, or pass overwrite=True")
    if not is_artifact(path):
        raise SaveError(str(path), "what is there is not an artifact, so it is not overwritten")
    if other := sorted({file.name for file in path.iterdir()} - {MANIFEST, TENSORS, SUMS}):
        problem = f"the folder also contains {join_words(other, 3)}, which is not part of an artifact"
        raise SaveError(str(path), problem)


def _manifest(
    path: Path, composition: Composition, recipe: Recipe, fitted: FittedTask, tensors: Mapping[str, Tensor]
) -> Manifest:
    backbone = fitted.task.backbone
    records = {
        name: TensorRecord(
            owner=owner_of(name, backbone.description),
            dtype=str(tensor.dtype),
            shape=tuple(tensor.shape),
            sha256=tensor_digest(tensor),
        )
        for name, tensor in tensors.items()
    }
    sources = (*composition.sources(), *(resolve_baseline(name).source for name in fitted.baselines))
    return Manifest(
        schema_version=SCHEMA,
        recipe=rebase_data_paths(recipe, Path.cwd(), path),
        target=fitted.target.model_dump(mode="json"),
        processor=processor_settings(backbone),
        base=fitted.base,
        pads=fitted.task.padding_invariant,
        merged=fitted.merged,
        sources={source.distribution: source.version for source in sources},
        metrics=dict(fitted.metrics),
        chosen=dict(fitted.chosen),
        baselines={name: state.model_dump(mode="json") for name, state in fitted.baselines.items()},
        baseline_targets={name: target.model_dump(mode="json") for name, target in fitted.baseline_targets.items()},
        tensors=records,
        paths=component_paths(recipe, path, catalog()),
    )
