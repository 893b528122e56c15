"""``taskgraft export``: a fitted model's backbone, as a checkpoint of its own library."""

from pathlib import Path
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import print_json
from taskgraft.terminal import write_line


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
    from taskgraft.artifact.export import exported_files

    model = options.load_artifact(artifact, "cpu", base)
    path = model.export(folder, check=check, overwrite=overwrite)
    if as_json:
        label = model.composition.backbone.label
        print_json({"output": str(folder), "backbone": label, "files": exported_files(path)})
    elif not quiet:
        write_line(f"The backbone of {artifact} is in {folder}, without the head.")
