"""``taskgraft compare``: what each strategy reaches, and what it costs."""

from pathlib import Path
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import console, print_json
from taskgraft.cli.errors import Interrupted
from taskgraft.errors import join_words
from taskgraft.storage.manifest import is_artifact
from taskgraft.terminal import write_line


def compare_command(
    context: typer.Context,
    recipe: options.RecipeArgument,
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME",
            help="As in a recipe: partial:2, or {name: full, learning_rate: 1e-4}; repeatable.",
        ),
    ] = None,
    backbones: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="The recipe's by default; of an artifact also the path of its base; repeatable.",
        ),
    ] = None,
    overrides: options.SetOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder to write; the recipe's name with .compare by default."),
    ] = None,
    seeds: options.SeedsOption = 1,
    test: Annotated[
        str | None, typer.Option(metavar="DATA", help="Rows to evaluate on; the validation rows by default.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The metric to compare by; the head's choice by default.")
    ] = None,
    resume: options.ResumeOption = False,
    overwrite: options.OverwriteOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Compare strategies and print the result. The exit code is 1 when a run failed, or something did not fit.

    Raises:
        Interrupted: on Ctrl-C, with the command that continues.
    """
    backbones = backbones or []
    moved = all(Path(text).exists() for text in backbones) and options.is_base_of(recipe, backbones)
    document = options.read_fit_recipe(recipe, overrides or [], backbones[0] if moved else None)
    stem = recipe if is_artifact(recipe) else recipe.with_suffix("")
    folder = output or stem.with_name(f"{stem.name}.compare")
    strategy_references = [options.parse_reference(text, "strategy") for text in strategies or []]
    backbone_references = [options.parse_reference(text, "backbone") for text in ([] if moved else backbones)]
    from taskgraft.cli.column_checks import check_recipe_columns

    check_recipe_columns(document, test)
    from taskgraft.comparison.compare import compare

    try:
        comparison = compare(
            document,
            strategy_references,
            backbones=backbone_references,
            seeds=seeds,
            folder=folder,
            test=test,
            metric=metric,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        again = options.command_line(context, "--resume")
        raise Interrupted(f"Interrupted. Finished runs are in {folder}. Continue with: {again}") from None
    if as_json:
        print_json(comparison.to_json() | {"folder": str(folder)})
    else:
        figure = "" if comparison.figure is None else f"; figure: {comparison.figure}"
        printer = console()
        printer.print(comparison)
        printer.print(f"Saved in {folder}{figure}.", soft_wrap=True)
    if failed := comparison.failed:
        count = f"{len(failed)} of {len(comparison.candidates)}"
        write_line(f"Failed: {join_words(failed)} ({count}). The reasons are in the result.")
        raise typer.Exit(1)
