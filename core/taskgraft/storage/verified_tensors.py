"""Safetensors files with a JSON document in the header, and a digest of both that is compared before anything is used."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from taskgraft.files.json_text import parse_json
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.tensor_file import TensorFile

_FORMAT = "2"
"""Of the file. Files of format 1 had no digest."""

_DOCUMENT, _DIGEST, _VERSION = "document", "sha256", "format"
"""Keys of the metadata in the header."""


def write_verified(path: Path, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors and a JSON document. Raises OSError, SafetensorError."""
    text = json.dumps(document)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, path, {_VERSION: _FORMAT, _DOCUMENT: text, _DIGEST: _digest(text, contiguous)})


def read_verified(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file of :func:`write_verified`.

    Returns:
        the document, and the tensors in the order in which they are stored.

    Raises:
        OSError: when the file cannot be opened or is not regular.
        ValueError: when it is damaged, of another kind or of an older format. The message is a clause for a sentence.
    """
    try:
        with TensorFile(path) as file:
            metadata = file.metadata
            tensors, _ = file.read_all()
    except (ValueError, RuntimeError) as error:  # RuntimeError: torch, without memory
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"it is not a complete safetensors file: {reason:.120}") from None
    if not {_VERSION, _DOCUMENT, _DIGEST} <= metadata.keys() or metadata[_VERSION] != _FORMAT:
        raise ValueError(f"it has another format than this version of taskgraft, which reads format {_FORMAT}")
    if metadata[_DIGEST] != _digest(metadata[_DOCUMENT], tensors):
        raise ValueError("its content does not match its digest")
    document = parse_json(metadata[_DOCUMENT])
    if not isinstance(document, dict):
        raise ValueError("its document is not a JSON object")
    return document, tensors


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Digest everything that reading returns: the document, and name, dtype, shape and bytes of each tensor."""
    digests = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
    return hashlib.sha256(json.dumps([_FORMAT, text, digests], sort_keys=True).encode()).hexdigest()
