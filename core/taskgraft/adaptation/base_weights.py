"""What a backbone starts from: a checkpoint, random weights, an object, or an artifact that trained a backbone before."""

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
from taskgraft.errors import join_words
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import HEAD, INSERTED, TENSORS, InvalidArtifact, Manifest, TensorRecord, read_artifact


def build_backbone(chosen: ResolvedComponent[BackboneSpec] | GivenObject[Backbone]) -> tuple[Backbone, str | None]:
    """Make a backbone with the weights it starts from.

    Returns:
        the backbone, and the fingerprint of what lies below; None for random weights.

    Raises:
        InvalidArtifact: when the artifact it starts from is damaged, has another base, or holds inserted modules.
    """
    if isinstance(chosen, GivenObject):
        return chosen.value, chosen.value.fingerprint()
    backbone = chosen.spec.build(chosen.config)
    below = backbone.fingerprint()
    return (backbone, below) if chosen.base is None else (backbone, _start_from(chosen.base, backbone, below))


def read_tensors(folder: Path, content: bytes, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Read the tensors of an artifact, which must be those that it lists.

    Raises:
        InvalidArtifact: naming the first tensor that is missing or unexpected.
    """
    try:
        tensors = parse_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InvalidArtifact(str(folder), f"{TENSORS} cannot be read ({error})") from None
    if missing := sorted(records.keys() - tensors.keys()):
        raise InvalidArtifact(str(folder), f"{TENSORS} lacks the tensor {join_words(missing, 3)}")
    if strange := sorted(tensors.keys() - records.keys()):
        raise InvalidArtifact(str(folder), f"{TENSORS} holds an unexpected tensor {join_words(strange, 3)}")
    return tensors


def copy_verified(
    folder: Path, tensors: Mapping[str, Tensor], records: Mapping[str, TensorRecord], places: Mapping[str, Tensor]
) -> None:
    """Copy tensors to their places, once every dtype, shape and checksum was compared.

    Raises:
        InvalidArtifact: naming the first that differs.
    """
    for name, tensor in tensors.items():
        have, need = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, places[name]))
        if have != need:
            raise InvalidArtifact(str(folder), f"the tensor {name} is {have}, but the model has {need}")
        record = records[name]
        if (have, tensor_digest(tensor)) != (f"{record.dtype} {record.shape}", record.sha256):
            raise InvalidArtifact(str(folder), f"the tensor {name} does not match its checksum")
        if isinstance(places[name], nn.Parameter) and not is_finite(tensor):
            raise InvalidArtifact(str(folder), f"the tensor {name} holds values that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            places[name].copy_(tensor)


def is_finite(tensor: Tensor) -> bool:
    """Say whether a tensor holds no infinity and no NaN."""
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def owner_of(name: str, description: BackboneDescription) -> str:
    """Say whose a saved tensor is: a part's, the head's, an inserted module's, or nobody's that the features use."""
    if name.startswith(f"{HEAD}."):
        return HEAD
    if is_inserted(name):
        return INSERTED
    part = description.part_of(name)
    return part.name if part else "unused"


def check_owners(folder: Path, manifest: Manifest, description: BackboneDescription) -> None:
    """Compare the owner that each record states with the one that the name and the backbone say.

    Raises:
        InvalidArtifact: naming the first tensor that differs.
    """
    for name, record in manifest.tensors.items():
        if record.owner != owner_of(name, description):
            problem = f"the tensor {name} is said to belong to {record.owner}, not to {owner_of(name, description)}"
            raise InvalidArtifact(str(folder), problem)


def _start_from(folder: Path, backbone: Backbone, below: str | None) -> str:
    manifest, content = read_artifact(folder)
    if manifest.base != below:
        raise InvalidArtifact(str(folder), f"it was trained on another base ({manifest.base} there, {below} here)")
    check_owners(folder, manifest, backbone.description)
    if any(record.owner == INSERTED for record in manifest.tensors.values()):
        raise InvalidArtifact(
            str(folder), "it holds inserted modules, so its backbone cannot be the base of another model"
        )
    tensors = read_tensors(folder, content, manifest.tensors)
    places = dict(backbone.state_dict(keep_vars=True))
    mine = {name: tensor for name, tensor in tensors.items() if manifest.tensors[name].owner != HEAD}
    missing = sorted(places.keys() - mine.keys()) if manifest.base is None else []
    if missing:
        raise InvalidArtifact(
            str(folder), f"it lies over random weights, but lacks the tensor {join_words(missing, 3)}"
        )
    if strange := sorted(mine.keys() - places.keys()):
        raise InvalidArtifact(
            str(folder), f"it holds the tensor {join_words(strange, 3)}, which the backbone does not have"
        )
    copy_verified(folder, mine, manifest.tensors, places)
    return _fingerprint(manifest)


def _fingerprint(manifest: Manifest) -> str:
    mine = {name: record.sha256 for name, record in manifest.tensors.items() if record.owner != HEAD}
    facts: list[Any] = [manifest.base, mine, manifest.processor]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
