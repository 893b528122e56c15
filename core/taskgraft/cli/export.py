"""``taskgraft export``: a fitted model's backbone, into a folder that its own library loads."""

import json
import sys
from pathlib import Path

from taskgraft.cli.arguments import loaded
from taskgraft.cli.console import print_json


def export(artifact: Path, folder: Path, check: str | None, *, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Load an artifact, export its backbone, and say what was written."""
    from taskgraft.artifact.export import EXPORTED

    model = loaded(artifact, "cpu")
    written = model.export(folder, check=check, overwrite=overwrite)
    if as_json:
        files = json.loads((written / EXPORTED).read_text(encoding="utf-8"))["files"]
        print_json({"output": str(folder), "backbone": model.composition.backbone.label, "files": files})
    elif not quiet:
        told = f"The backbone of {artifact} is in {folder}, without the head."
        print(told, file=sys.stderr)  # noqa: T201
