"""Base weights: what a backbone starts from, which is a checkpoint, random weights, an object or an artifact."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.adaptation.insertion import is_inserted
from taskgraft.composition.resolve import GivenObject, ResolvedComponent
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.descriptions import BackboneDescription
from taskgraft.contract.specs import BackboneSpec
from taskgraft.engine.finite import weight_fault
from taskgraft.errors import join_words
from taskgraft.storage.checkpoints import InvalidCheckpoint
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import (
    HEAD,
    INSERTED,
    MANIFEST,
    TENSORS,
    InvalidArtifact,
    Manifest,
    TensorRecord,
    check_digest,
    read_manifest,
    unreadable_artifact,
)
from taskgraft.storage.tensor_file import StoredTensor, TensorFile


def build_backbone(chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]) -> tuple[Backbone, str | None]:
    """Build a backbone; return it with the fingerprint of its base weights, None for random weights.

    Raises:
        InvalidCheckpoint: if a stored tensor that the features use is not finite.
        InvalidArtifact: if the artifact it starts from is damaged, has another base, or contains inserted modules.
    """
    if isinstance(chosen, GivenObject):
        _check_finite(chosen.value, chosen.label)
        return chosen.value, chosen.value.fingerprint()
    backbone = chosen.spec.build(chosen.config)
    _check_finite(backbone, chosen.label)
    base = backbone.fingerprint()
    return (backbone, base) if chosen.base is None else (backbone, _load_base(chosen.base, backbone, base))


def _check_finite(backbone: Backbone, label: str) -> None:
    """Raise InvalidCheckpoint if a stored tensor that features of some layout use is not finite."""
    description = backbone.description
    for name, tensor in backbone.state_dict(keep_vars=True).items():
        used = any(not description.leaves_out(feature.layout, name) for feature in description.features)
        if used and (fault := weight_fault(tensor)) is not None:
            wider = "Load it in float32, download" if tensor.element_size() < 4 else "Download"
            problem = f"the tensor {name} {fault}. {wider} it again, or choose other weights"
            raise InvalidCheckpoint(label, problem)


def read_tensors(
    folder: Path, records: Mapping[str, TensorRecord], destinations: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Read the tensors of an artifact, after comparing names, dtypes and shapes with its manifest and with the model.

    Raises:
        InvalidArtifact: if one differs, or the file is damaged.
    """
    for name in records.keys() & destinations.keys():
        listed, expected = _kind(records[name]), _kind(destinations[name])
        if listed != expected:
            raise InvalidArtifact(str(folder), f"the tensor {name} is {listed}, but the model has {expected}")
    try:
        with TensorFile(folder / TENSORS) as file:
            stored = file.tensors
            if missing := sorted(records.keys() - stored.keys()):
                raise InvalidArtifact(str(folder), f"{TENSORS} lacks the tensor {join_words(missing, 3)}")
            if unexpected := sorted(stored.keys() - records.keys()):
                raise InvalidArtifact(
                    str(folder), f"{TENSORS} contains an unexpected tensor {join_words(unexpected, 3)}"
                )
            for name, record in records.items():
                if (kind := _kind(stored[name])) != (listed := _kind(record)):
                    raise InvalidArtifact(str(folder), f"the tensor {name} is {kind}, but {MANIFEST} lists {listed}")
            tensors, digest = file.read_all()
    except OSError as error:
        raise unreadable_artifact(folder, error) from None
    except ValueError as error:
        raise InvalidArtifact(str(folder), f"{TENSORS} cannot be read ({error}), so it is damaged") from None
    check_digest(folder, TENSORS, digest)
    return tensors


def copy_verified(
    folder: Path, tensors: Mapping[str, Tensor], records: Mapping[str, TensorRecord], destinations: Mapping[str, Tensor]
) -> None:
    """Copy tensors of :func:`read_tensors` into a model. Raises InvalidArtifact before that if any checksum differs."""
    for name, tensor in tensors.items():
        if tensor_digest(tensor) != records[name].sha256:
            raise InvalidArtifact(str(folder), f"the tensor {name} does not match its checksum")
        stored = nn.Parameter(tensor, False) if isinstance(destinations[name], nn.Parameter) else tensor
        if (fault := weight_fault(stored)) is not None:
            raise InvalidArtifact(str(folder), f"the tensor {name} {fault}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            destinations[name].copy_(tensor)


def _kind(tensor: Tensor | TensorRecord | StoredTensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)}"


def owner_of(name: str, description: BackboneDescription) -> str:
    """Return the owner of a saved tensor: a part, ``head``, ``inserted``, or ``unused`` where no features use it."""
    if name.startswith(f"{HEAD}."):
        return HEAD
    if is_inserted(name):
        return INSERTED
    part = description.part_of(name)
    return part.name if part else "unused"


def check_owners(folder: Path, manifest: Manifest, description: BackboneDescription) -> None:
    """Compare the owner in each record with the owner by name and description. Raises InvalidArtifact if one differs."""
    for name, record in manifest.tensors.items():
        if record.owner != (owner := owner_of(name, description)):
            problem = f"the tensor {name} is listed under the owner {record.owner}, but belongs to {owner}"
            raise InvalidArtifact(str(folder), problem)


def _load_base(folder: Path, backbone: Backbone, base: str | None) -> str:
    """Load the backbone weights of an artifact over those with the fingerprint ``base``, and return the new fingerprint."""
    manifest = read_manifest(folder)
    if manifest.base != base:
        raise InvalidArtifact(str(folder), f"it was trained on another base ({manifest.base} there, {base} here)")
    check_owners(folder, manifest, backbone.description)
    if any(record.owner == INSERTED for record in manifest.tensors.values()):
        problem = "it contains inserted modules, so its backbone cannot be the base of another model"
        raise InvalidArtifact(str(folder), problem)
    destinations = dict(backbone.state_dict(keep_vars=True))
    saved = {name for name, record in manifest.tensors.items() if record.owner != HEAD}
    if manifest.base is None and (missing := sorted(destinations.keys() - saved)):
        problem = f"it was trained from random weights, but lacks the tensor {join_words(missing, 3)}"
        raise InvalidArtifact(str(folder), problem)
    if unexpected := sorted(saved - destinations.keys()):
        problem = f"it contains the tensor {join_words(unexpected, 3)}, which the backbone does not have"
        raise InvalidArtifact(str(folder), problem)
    tensors = read_tensors(folder, manifest.tensors, destinations)
    copy_verified(folder, {name: tensors[name] for name in saved}, manifest.tensors, destinations)
    digests = {name: manifest.tensors[name].sha256 for name in sorted(saved)}
    facts: list[Any] = [manifest.base, digests, manifest.processor]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
