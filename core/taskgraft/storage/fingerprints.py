"""SHA-256 digests that identify a checkpoint by the tensors and files that it stores."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from taskgraft.files.regular_file import check_regular_file
from taskgraft.storage.tensor_file import TensorFile, digest_start


def tensor_digest(tensor: Tensor) -> str:
    """Digest the dtype, shape and bytes of a tensor. SHA-256, in hexadecimal."""
    digest = hashlib.sha256(digest_start(tensor.dtype, tensor.shape))
    digest.update(tensor_bytes(tensor).numpy().data)
    return digest.hexdigest()


def tensor_bytes(tensor: Tensor) -> Tensor:
    """View the values of a tensor as bytes: uint8 ``(byte,)`` on the CPU, in the order of its elements."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.stride(0) != 1:  # a single element counts as contiguous, whatever its stride
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8)


def combined_digest(tensors: Mapping[str, Tensor], files: Mapping[str, bytes]) -> str:
    """Combine named tensors and the contents of named files into one SHA-256, in hexadecimal."""
    return _combine({name: tensor_digest(tensor) for name, tensor in tensors.items()}, files)


def checkpoint_fingerprint(weights: Iterable[Path], used: Callable[[str], bool], files: Mapping[str, bytes]) -> str:
    """Identify a checkpoint by the stored tensors that the features use, and by the processor's files.

    Args:
        weights: safetensors files, or pickles that ``torch.load(weights_only=True)`` reads.
        used: name of a stored tensor → whether the features use it.
        files: name → contents.

    Raises:
        OSError, ValueError: when a file cannot be read, or is damaged.
    """
    digests: dict[str, str] = {}
    for path in weights:
        digests |= _stored_digests(path, used)
    return _combine(digests, files)


def _combine(digests: Mapping[str, str], files: Mapping[str, bytes]) -> str:
    file_digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(json.dumps([digests, file_digests], sort_keys=True).encode()).hexdigest()


def _stored_digests(path: Path, used: Callable[[str], bool]) -> dict[str, str]:
    if path.suffix == ".safetensors":
        with TensorFile(path) as file:
            return {name: file.digest(name) for name in file.tensors if used(name)}
    check_regular_file(path)
    tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return {name: tensor_digest(tensor) for name, tensor in tensors.items() if used(name)}
