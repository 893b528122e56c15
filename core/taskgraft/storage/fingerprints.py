"""Digests that identify a checkpoint by what lies in its files, not by what a library made of it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor


def tensor_digest(tensor: Tensor) -> str:
    """Digest the dtype, shape and bytes of a tensor. SHA-256, in hexadecimal."""
    whole = tensor.detach().cpu().contiguous()
    mark = hashlib.sha256(f"{whole.dtype} {tuple(whole.shape)}\n".encode())
    mark.update(whole.reshape(-1).view(torch.uint8).numpy().data)
    return mark.hexdigest()


def combined_digest(tensors: Mapping[str, Tensor], files: Mapping[str, bytes]) -> str:
    """Combine named tensors and the bytes of named files into one SHA-256, in hexadecimal."""
    return _combined({name: tensor_digest(tensor) for name, tensor in tensors.items()}, files)


def checkpoint_fingerprint(weights: Iterable[Path], used: Callable[[str], bool], files: Mapping[str, bytes]) -> str:
    """Identify a checkpoint by its stored tensors that the features use and by the processor's files.

    Args:
        weights: safetensors files, or pickles that ``torch.load(weights_only=True)`` reads.
        used: name of a stored tensor → whether the features use it.
        files: name → bytes.
    """
    digests: dict[str, str] = {}
    for path in weights:
        digests |= _stored(path, used)
    return _combined(digests, files)


def _combined(digests: Mapping[str, str], files: Mapping[str, bytes]) -> str:
    marks = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(json.dumps([digests, marks], sort_keys=True).encode()).hexdigest()


def _stored(path: Path, used: Callable[[str], bool]) -> dict[str, str]:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            return {name: tensor_digest(file.get_tensor(name)) for name in file.keys() if used(name)}  # noqa: SIM118
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return {name: tensor_digest(tensor) for name, tensor in stored.items() if used(name)}
