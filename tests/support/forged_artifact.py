"""Tamper with saved artifacts, with checksums that match."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import MANIFEST, SUMS, TENSORS, checksums

__all__ = ["MANIFEST", "TENSORS", "change_tensor", "remove_tensor", "rewrite_manifest", "write_checksums"]


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest, with checksums that match."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    write_checksums(folder)


def write_checksums(folder: Path) -> None:
    """Write the checksums of the files as they are now."""
    (folder / SUMS).write_text(checksums(folder))


def change_tensor(folder: Path, name: str, change: Callable[[Tensor], object]) -> None:
    """Change a stored tensor in place, with digest and checksums that match."""
    tensors = load_file(folder / TENSORS)
    change(tensors[name])
    save_file(tensors, folder / TENSORS)
    digest = tensor_digest(tensors[name])
    rewrite_manifest(folder, lambda manifest: manifest["tensors"][name].update(sha256=digest))


def remove_tensor(folder: Path, name: str) -> None:
    """Remove a stored tensor, with a manifest and checksums that match."""
    tensors = load_file(folder / TENSORS)
    del tensors[name]
    save_file(tensors, folder / TENSORS)
    rewrite_manifest(folder, lambda manifest: manifest["tensors"].pop(name))
