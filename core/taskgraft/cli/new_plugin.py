"""``taskgraft new plugin``: a plugin project that works, from a template."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import print_json
from taskgraft.discovery.catalog import catalog
from taskgraft.scaffold import derive_names, write_plugin
from taskgraft.terminal import write_line

new_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Create a project from a template.")


@new_app.callback()
def _new() -> None:
    """Keep ``plugin`` a subcommand, though it is the only one."""


@new_app.command("plugin", help="Create a plugin project that installs, works and passes its tests, for you to change.")
def new_plugin_command(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the distribution, in letters, digits and hyphens: acme-models.", show_default=False
        ),
    ],
    kind: Annotated[str, typer.Option(help="What it provides: backbone, head or strategy.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The folder to write; NAME by default.")] = None,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Write a plugin project and print the next steps.

    Raises:
        ScaffoldError: for an unknown kind or an unusable name.
        OutputError: when the folder is not free.
    """
    names = derive_names(name, kind, catalog())
    folder = Path(name) if output is None else output
    paths = write_plugin(names, folder)
    if as_json:
        files = [path.as_posix() for path in paths]
        print_json(
            {"folder": str(folder), "files": files, "module": names.module, "axis": names.kind, "name": names.spec}
        )
        return
    write_line(
        f"Created {folder}: the {kind} '{names.spec}' in {len(paths)} files. It works as it is; try it:\n\n"
        f"  cd {shlex.quote(str(folder))}\n"
        '  python -m pip install --editable ".[test]"\n'
        "  pytest\n"
        f"  taskgraft doctor {name}\n\n"
        "README.md says what to change.",
        sys.stdout,
    )
