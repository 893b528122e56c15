"""``taskgraft compare``: what each strategy reaches, and what it costs."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from taskgraft.cli.arguments import reference
from taskgraft.cli.console import console, print_json
from taskgraft.cli.interrupt import Interrupted
from taskgraft.recipes.files import read_recipe
from taskgraft.recipes.overrides import override_keys
from taskgraft.storage.manifest import is_artifact


def compare_recipe(
    path: Path,
    strategies: Sequence[str],
    backbones: Sequence[str],
    overrides: Sequence[str],
    output: Path | None,
    *,
    seeds: int,
    test: str | None,
    metric: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare, and print what was found.

    Args:
        strategies: names, or names with settings as YAML or JSON; the recipe's own when empty.
        backbones: the same.
        output: the folder of the comparison; beside the recipe when left out.

    Raises:
        Interrupted: on Ctrl-C, saying how to go on.
    """
    recipe = read_recipe(path, overrides)
    ways = [reference(text, "strategy") for text in strategies]
    bases = [reference(text, "backbone") for text in backbones]
    stem = path if is_artifact(path) else path.with_suffix("")
    out = output or stem.with_name(f"{stem.name}.compare")
    from taskgraft.comparison.compare import compare
    from taskgraft.composition.compose import check_recipe_consent
    from taskgraft.discovery.catalog import catalog

    check_recipe_consent(catalog(), path, recipe, override_keys(overrides))
    try:
        found = compare(
            recipe,
            ways,
            backbones=bases,
            seeds=seeds,
            folder=out,
            test=test,
            metric=metric,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        again = _command(path, strategies, backbones, overrides, output, seeds, test, metric)
        raise Interrupted(f"Interrupted. What is finished is in {out}. Go on: {again}") from None
    if as_json:
        print_json(found.to_json() | {"folder": str(out)})
        return
    printer = console()
    printer.print(found)
    printer.print(f"Kept in {out}{'' if found.figure is None else f'; figure: {found.figure}'}.", soft_wrap=True)


def _command(
    path: Path,
    strategies: Sequence[str],
    backbones: Sequence[str],
    overrides: Sequence[str],
    output: Path | None,
    seeds: int,
    test: str | None,
    metric: str | None,
) -> str:
    """Write the command that goes on."""
    said = [("--strategy", one) for one in strategies] + [("--backbone", one) for one in backbones]
    said += [("--set", one) for one in overrides]
    said += [
        (key, str(value)) for key, value in (("--output", output), ("--test", test), ("--metric", metric)) if value
    ]
    said += [("--seeds", str(seeds))] if seeds > 1 else []
    words = ["taskgraft", "compare", str(path), *(word for pair in said for word in pair), "--resume"]
    return shlex.join(words)
