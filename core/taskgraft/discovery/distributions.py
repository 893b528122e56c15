"""Installed distributions and their entry points: where a spec comes from."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from taskgraft.discovery.names import normalize_distribution


@dataclass(frozen=True)
class PluginSource:
    """A plugin: the module that one entry point of one distribution names."""

    distribution: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


def iter_entry_points(group: str) -> Iterator[tuple[PluginSource, EntryPoint]]:
    """Iterate over the entry points of a group, sorted by distribution.

    If two folders on the path contain the same distribution, the first wins, as it does for an import. Duplicate entry points
    are merged. An invalid line yields an entry point without a value, and a distribution with unreadable metadata is skipped:
    damage in one distribution does not stop the others.
    """
    by_distribution: dict[str, list[tuple[PluginSource, EntryPoint]]] = {}
    for one in distributions(path=list(filter(None, sys.path))):  # "" is the working folder of an interactive Python
        if (metadata := _read_metadata(one)) is None or normalize_distribution(metadata[0]) in by_distribution:
            continue
        name, version, text = metadata
        by_distribution[normalize_distribution(name)] = [
            (PluginSource(name, version, point, value), EntryPoint(point, value, group))
            for point, value in dict.fromkeys(_entry_point_lines(text, group))
        ]
    for _, points in sorted(by_distribution.items()):
        yield from points


def is_installed(name: str) -> bool:
    """Tell whether a distribution is installed."""
    return bool(name) and next(iter(distributions(name=name)), None) is not None


def _read_metadata(one: Distribution) -> tuple[str, str, str] | None:
    """Return name, version and entry_points.txt, or None when they cannot be read or there is no name."""
    try:
        metadata = one.metadata  # parsed again on each access, as name and version would be
        name, version = metadata["Name"], metadata["Version"]
        text = one.read_text("entry_points.txt")
    except Exception:  # not only OSError: the parser may raise anything
        return None
    return (name, version or "without version", text or "") if name else None


def _entry_point_lines(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of one group. The standard library's parser stops at the first invalid line."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
