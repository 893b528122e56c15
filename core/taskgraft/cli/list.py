"""``taskgraft list``: the installed components."""

import sys
from typing import Annotated, Any

import typer

from taskgraft.cli import options
from taskgraft.cli.console import console, print_json, table
from taskgraft.cli.errors import CliError
from taskgraft.contract.specs import Spec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.loader import SPEC_TYPES, CatalogEntry
from taskgraft.errors import closest_match, join_words
from taskgraft.terminal import write_line

SPEC_TYPES_BY_AXIS = {hook.removeprefix("taskgraft_"): kind for hook, kind in SPEC_TYPES.items()}
"""Each axis in the plural, as hooks are named, and the class of its specs."""


def list_command(
    axis: Annotated[
        str | None, typer.Argument(help="backbones, heads, strategies, readers, …; all by default.")
    ] = None,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Print all components, or those of one axis in the plural or the singular.

    Raises:
        CliError: for an unknown axis.
    """
    axes = [parse_axis(axis)] if axis else list(SPEC_TYPES_BY_AXIS)
    known = catalog()
    entries = {
        plural: [CatalogEntry(spec, source) for spec, source in known.specs(SPEC_TYPES_BY_AXIS[plural])]
        for plural in axes
    }
    if as_json:
        print_json([spec_facts(entry.spec, entry.source) for of_axis in entries.values() for entry in of_axis])
        return
    rows = [
        (plural, entry.spec.name, entry.spec.summary, str(entry.source)) for plural in axes for entry in entries[plural]
    ]
    if rows:
        console().print(table(("axis", "name", "summary", "from"), rows, ("summary", "from")))
    else:
        write_line(f"No {axes[0] if axis else 'plugins'} are installed.", sys.stdout)
    if known.failures:
        sources = "; ".join(str(failure.source) for failure in known.failures)
        plugins = "1 plugin" if len(known.failures) == 1 else f"{len(known.failures):,} plugins"
        write_line(f"{plugins} did not load: {sources}. See taskgraft doctor.")


def parse_axis(word: str) -> str:
    """Return an axis in the plural.

    Args:
        word: the axis in the plural or the singular.

    Raises:
        CliError: for any other word.
    """
    plurals = {kind.axis: plural for plural, kind in SPEC_TYPES_BY_AXIS.items()}
    plurals |= {plural: plural for plural in SPEC_TYPES_BY_AXIS}
    if word not in plurals:
        near = closest_match(word, plurals)
        hint = f" Did you mean '{near}'?" if near else ""
        raise CliError(f"There is no axis '{word}'.{hint} Axes: {join_words(SPEC_TYPES_BY_AXIS)}.")
    return plurals[word]


def spec_facts(spec: Spec, source: PluginSource) -> dict[str, Any]:
    """Return what the JSON of ``list`` and ``show`` says about a spec."""
    return {
        "axis": spec.axis,
        "name": spec.name,
        "summary": spec.summary,
        "distribution": source.distribution,
        "version": source.version,
    }
