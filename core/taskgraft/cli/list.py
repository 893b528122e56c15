"""``taskgraft list``: what is installed."""

import sys
from dataclasses import dataclass

from taskgraft.cli.console import console, print_json, table
from taskgraft.discovery.catalog import Catalog, catalog
from taskgraft.discovery.loader import SPEC_TYPES, CatalogEntry
from taskgraft.errors import TaskgraftError, closest_match, join_words

AXES = {hook.removeprefix("taskgraft_"): kind for hook, kind in SPEC_TYPES.items()}
"""Each axis in the plural, as hooks are named, and the class of its specs."""


def list_installed(axis: str | None, *, as_json: bool) -> None:
    """Print all specs, or those of one axis.

    Args:
        axis: in the plural or the singular.

    Raises:
        UnknownAxis: for another word.
    """
    axes = [plural_of(axis)] if axis else list(AXES)
    known = catalog()
    entries = {plural: _entries(known, plural) for plural in axes}
    if as_json:
        print_json([_plain(entry) for found in entries.values() for entry in found])
        return
    rows = [
        (plural, entry.spec.name, entry.spec.summary, str(entry.source)) for plural in axes for entry in entries[plural]
    ]
    if rows:
        console().print(table(("axis", "name", "summary", "from"), rows))
    else:
        print(f"No {axes[0] if axis else 'plugins'} are installed.")  # noqa: T201
    if known.failures:
        print(_left_out(known), file=sys.stderr)  # noqa: T201


def plural_of(axis: str) -> str:
    """Find the axis that a word means.

    Raises:
        UnknownAxis: when it means none.
    """
    meant = {kind.axis: plural for plural, kind in AXES.items()} | {plural: plural for plural in AXES}
    if axis not in meant:
        raise UnknownAxis(axis, closest_match(axis, meant))
    return meant[axis]


def _entries(known: Catalog, plural: str) -> list[CatalogEntry]:
    return [CatalogEntry(spec, source) for spec, source in known.specs(AXES[plural])]


def _plain(entry: CatalogEntry) -> dict[str, str]:
    return {
        "axis": entry.spec.axis,
        "name": entry.spec.name,
        "summary": entry.spec.summary,
        "distribution": entry.source.distribution,
        "version": entry.source.version,
    }


def _left_out(known: Catalog) -> str:
    count = len(known.failures)
    plugins = "1 plugin" if count == 1 else f"{count:,} plugins"
    return f"{plugins} did not load: {'; '.join(str(one.source) for one in known.failures)}. See taskgraft doctor."


@dataclass(eq=False)
class UnknownAxis(TaskgraftError):
    """A word that is no axis."""

    axis: str
    near: str | None

    def __str__(self) -> str:
        meant = f" Did you mean '{self.near}'?" if self.near else ""
        return f"There is nothing called '{self.axis}' to list.{meant} There are {join_words(AXES)}."
