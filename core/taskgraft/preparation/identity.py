"""What decides the result of a fit: a run is resumed, and frozen features of another run are used, only with the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any

from taskgraft.artifact.save import processor_settings
from taskgraft.composition.compose import Composition
from taskgraft.composition.resolve import GivenObject
from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.rows import Rows
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.examples import EncodedDataset
from taskgraft.data.named_files import digest_named_files, file_columns
from taskgraft.preparation.distillation import teacher_checksums
from taskgraft.preparation.prepare import Preparation
from taskgraft.progress import ProgressReporter
from taskgraft.recipe import Recipe
from taskgraft.recipes.result_settings import result_settings
from taskgraft.storage.fingerprints import combined_digest
from taskgraft.storage.versions import result_versions

_PROCESSED_ROWS = 8
"""Rows that show whether the processor still does the same."""

BASE_KEY, VERSIONS_KEY = "base", "versions"
"""Keys of an identity: the fingerprint of the base weights, and the versions of packages."""


def run_identity(recipe: Recipe, rows: Rows, validation_rows: Rows | None) -> dict[str, Any]:
    """Return what a recipe and its data contribute, as plain JSON."""
    validation = None if validation_rows is None else validation_rows.digest()
    return result_settings(recipe) | {"training rows": rows.digest(), "validation rows": validation}


def fit_identity(prepared: Preparation, reporter: ProgressReporter) -> dict[str, Any]:
    """Return everything that must be the same for a run to be resumed, as plain JSON."""
    identity = run_identity(prepared.recipe, prepared.rows, prepared.validation_rows) | _base_identity(prepared)
    identity |= _processed_identity(prepared.training)
    identity |= _object_identity(prepared.composition, prepared.target)
    identity |= _file_digests(prepared, reporter)
    if teachers := teacher_checksums(prepared.composition.plan):
        identity["teachers"] = teachers
    return identity


def feature_keys(prepared: Preparation, reporter: ProgressReporter) -> dict[str, Mapping[str, Any]]:
    """Return for each data set everything that decides its inputs and what the backbone computes of them, as plain JSON."""
    recipe = prepared.recipe
    key = _base_identity(prepared) | {
        "backbone": prepared.composition.backbone.to_ref().model_dump(mode="json"),
        "head": recipe.head.model_dump(mode="json"),  # it may choose masked elements
        "columns": recipe.data.columns,
    }
    keys: dict[str, Mapping[str, Any]] = {}
    keys["training"] = key | _processed_identity(prepared.training) | {"rows": prepared.rows.digest()}
    if prepared.validation is not None and prepared.validation_rows is not None:
        rows = {"rows": prepared.validation_rows.digest()}
        keys["validation"] = key | _processed_identity(prepared.validation) | rows
    files = _file_digests(prepared, reporter)
    return {kind: {**key, "files": files.get(f"{kind} files")} for kind, key in keys.items()}


def frozen_digest(backbone: Backbone, cut: int | None) -> str:
    """Return the SHA-256, in hexadecimal, of the weights that decide the state at a cut, or (None) the features."""
    parts, part_of = backbone.description.parts[:cut], backbone.description.part_of
    tensors = {name: tensor for name, tensor in named_tensors(backbone).items() if part_of(name) in parts}
    return combined_digest(tensors, {})


def composition_versions(composition: Composition) -> dict[str, str]:
    """Return the versions of packages that decide what a composition computes."""
    return result_versions(source.distribution for source in composition.sources())


def _base_identity(prepared: Preparation) -> dict[str, Any]:
    """Identify the base weights and the processor.

    Without a fingerprint, which random weights lack, the tensors are digested. Those of an object may be trained already, by
    the run to resume: its checkpoint compares the others.
    """
    backbone = prepared.backbone
    identity: dict[str, Any] = {BASE_KEY: prepared.base}
    if prepared.base is None and not isinstance(prepared.composition.backbone, GivenObject):
        identity["initial weights"] = combined_digest(named_tensors(backbone), {})
    return identity | {
        "processor": processor_settings(backbone),
        VERSIONS_KEY: composition_versions(prepared.composition),
    }


def _object_identity(composition: Composition, target: TargetDescription) -> dict[str, Any]:
    """Identify components given as objects, of which the recipe has the class alone, by what they describe."""
    described: dict[str, tuple[object, list[Any]]] = {
        "backbone description": (composition.backbone, [composition.backbone_description]),
        "head description": (composition.head, [composition.head_description, target.model_dump(mode="json")]),
        "stages": (composition.strategy, [composition.plan]),
    }
    return {
        name: hashlib.sha256(json.dumps(_plain(values), sort_keys=True).encode()).hexdigest()
        for name, (component, values) in described.items()
        if isinstance(component, GivenObject)
    }


def _plain(value: Any) -> Any:
    """Turn descriptions and stages into plain JSON. Functions and classes are left out: nothing says what is in them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Set):
        return sorted(map(str, value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, bool | int | float | str) else None


def _file_digests(prepared: Preparation, reporter: ProgressReporter) -> dict[str, str]:
    """Digest the files that the rows name, such as images; empty for rows that name none."""
    composition, data = prepared.composition, prepared.recipe.data
    columns = file_columns(composition.backbone_description, composition.head_description, data.columns, data.target)
    datasets = {"training": prepared.rows, "validation": prepared.validation_rows}
    return digest_named_files(datasets, columns, reporter)


def _processed_identity(dataset: EncodedDataset) -> dict[str, str]:
    """Digest the whole numbers that the processor makes of the first rows, and the form of the rest.

    It covers what neither settings, files nor versions say: another release of a library that splits texts. Fractions may be
    rounded otherwise on another machine, where a run may be resumed as well.
    """
    batch = dataset.inputs.gather(range(min(_PROCESSED_ROWS, len(dataset))))
    whole = {name: tensor for name, tensor in batch.tensors.items() if not tensor.is_floating_point()}
    form = {name: f"{tensor.dtype} {tuple(tensor.shape)}".encode() for name, tensor in batch.tensors.items()}
    lengths = {f"length {axis}": length for axis, length in batch.lengths.items()}
    return {f"first {_PROCESSED_ROWS} rows, processed": combined_digest({**whole, **lengths}, form)}
