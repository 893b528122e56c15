"""``taskgraft schema``: the JSON schema of a recipe, for editors."""

from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import print_json
from taskgraft.recipe import Recipe


def schema_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Has no effect: the output is always JSON.", show_default=False)
    ] = True,
    debug: options.DebugOption = False,
) -> None:
    """Print the schema."""
    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema"} | Recipe.model_json_schema())
