"""``taskgraft export``: a fitted model's backbone, as a checkpoint of its own library."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import print_json


def export_command(
    artifact: options.ArtifactArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    check: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Rows whose features must not change when inserted modules are merged."),
    ] = None,
    base: options.BaseOption = None,
    overwrite: options.OverwriteOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Load an artifact, export its backbone, and report what was written."""
    from taskgraft.artifact.export import EXPORTED

    model = options.load_artifact(artifact, "cpu", base)
    path = model.export(folder, check=check, overwrite=overwrite)
    if as_json:
        files = json.loads((path / EXPORTED).read_text(encoding="utf-8"))["files"]
        print_json({"output": str(folder), "backbone": model.composition.backbone.label, "files": files})
    elif not quiet:
        print(f"The backbone of {artifact} is in {folder}, without the head.", file=sys.stderr)  # noqa: T201
