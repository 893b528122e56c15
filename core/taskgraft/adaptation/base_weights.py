"""Base weights: what a backbone starts from, which is a checkpoint, random weights, an object or an artifact."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor, nn

from taskgraft.adaptation.insertion import is_inserted
from taskgraft.composition.resolve import GivenObject, ResolvedComponent
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.descriptions import BackboneDescription
from taskgraft.contract.specs import BackboneSpec
from taskgraft.engine.precision import is_finite
from taskgraft.errors import join_words
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import HEAD, INSERTED, TENSORS, InvalidArtifact, Manifest, TensorRecord, read_artifact


def build_backbone(chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]) -> tuple[Backbone, str | None]:
    """Build a backbone; return it with the fingerprint of its base weights, None for random weights.

    Raises:
        InvalidArtifact: if the artifact it starts from is damaged, has another base, or contains inserted modules.
    """
    if isinstance(chosen, GivenObject):
        return chosen.value, chosen.value.fingerprint()
    backbone = chosen.spec.build(chosen.config)
    base = backbone.fingerprint()
    return (backbone, base) if chosen.base is None else (backbone, _load_base(chosen.base, backbone, base))


def read_tensors(folder: Path, content: bytes, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Read the tensors of an artifact. Raises InvalidArtifact if they are not those of its manifest."""
    try:
        tensors = parse_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InvalidArtifact(str(folder), f"{TENSORS} cannot be read ({error})") from None
    if missing := sorted(records.keys() - tensors.keys()):
        raise InvalidArtifact(str(folder), f"{TENSORS} lacks the tensor {join_words(missing, 3)}")
    if unexpected := sorted(tensors.keys() - records.keys()):
        raise InvalidArtifact(str(folder), f"{TENSORS} contains an unexpected tensor {join_words(unexpected, 3)}")
    return tensors


def copy_verified(
    folder: Path, tensors: Mapping[str, Tensor], records: Mapping[str, TensorRecord], destinations: Mapping[str, Tensor]
) -> None:
    """Copy tensors into those of a model. Raises InvalidArtifact before that if any dtype, shape or checksum differs."""
    for name, tensor in tensors.items():
        saved, expected = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, destinations[name]))
        if saved != expected:
            raise InvalidArtifact(str(folder), f"the tensor {name} is {saved}, but the model has {expected}")
        record = records[name]
        if (saved, tensor_digest(tensor)) != (f"{record.dtype} {record.shape}", record.sha256):
            raise InvalidArtifact(str(folder), f"the tensor {name} does not match its checksum")
        if isinstance(destinations[name], nn.Parameter) and not is_finite(tensor):
            raise InvalidArtifact(str(folder), f"the tensor {name} contains values that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            destinations[name].copy_(tensor)


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
    manifest, content = read_artifact(folder)
    if manifest.base != base:
        raise InvalidArtifact(str(folder), f"it was trained on another base ({manifest.base} there, {base} here)")
    check_owners(folder, manifest, backbone.description)
    if any(record.owner == INSERTED for record in manifest.tensors.values()):
        problem = "it contains inserted modules, so its backbone cannot be the base of another model"
        raise InvalidArtifact(str(folder), problem)
    tensors = read_tensors(folder, content, manifest.tensors)
    destinations = dict(backbone.state_dict(keep_vars=True))
    saved = {name: tensor for name, tensor in tensors.items() if manifest.tensors[name].owner != HEAD}
    if manifest.base is None and (missing := sorted(destinations.keys() - saved.keys())):
        problem = f"it was trained from random weights, but lacks the tensor {join_words(missing, 3)}"
        raise InvalidArtifact(str(folder), problem)
    if unexpected := sorted(saved.keys() - destinations.keys()):
        problem = f"it contains the tensor {join_words(unexpected, 3)}, which the backbone does not have"
        raise InvalidArtifact(str(folder), problem)
    copy_verified(folder, saved, manifest.tensors, destinations)
    digests = {name: manifest.tensors[name].sha256 for name in saved}
    facts: list[Any] = [manifest.base, digests, manifest.processor]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
