"""Artifacts changed behind taskgraft's back, with checksums that agree."""

import json

from taskgraft.storage.manifest import MANIFEST, SUMS, TENSORS, checksums


def rewritten(folder, change) -> None:
    """Change what the manifest says, with checksums that agree."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    files = {name: (folder / name).read_bytes() for name in (TENSORS, MANIFEST)}
    (folder / SUMS).write_text(checksums(files))
