"""Where a spec came from: a distribution, its version, and the entry point in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions

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
    """Find the entry points of a group, sorted by distribution.

    Of two folders on the path that hold one distribution, the first counts, as it does for an import. An entry point
    listed twice with the same name and value is one. A line that is no entry point comes out as one without a value,
    and a distribution whose metadata cannot be read is passed over: a stranger's damage stops nobody.
    """
    found: dict[str, list[tuple[PluginSource, EntryPoint]]] = {}
    for one in distributions():
        read = _read(one)
        if read is None or normalize_distribution(read[0]) in found:
            continue
        name, version, text = read
        found[normalize_distribution(name)] = [
            (PluginSource(name, version, point, value), EntryPoint(point, value, group))
            for point, value in dict.fromkeys(_lines(text, group))
        ]
    for _, points_of_one in sorted(found.items()):
        yield from points_of_one


def is_installed(name: str) -> bool:
    """Say whether a distribution is installed, without reading all the others."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _read(one: Distribution) -> tuple[str, str, str] | None:
    """Read name, version and entry_points.txt, or None when they cannot be read or there is no name."""
    try:
        about = one.metadata  # parsed anew each time it is asked for, and so would name and version
        name, version = about["Name"], about["Version"]
        text = one.read_text("entry_points.txt")
    except Exception:  # not only OSError: the parser raises whatever the text provokes
        return None
    return (name, version or "without version", text or "") if name else None


def _lines(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Go through the names and values of one group. The library's own parser stops at the first damaged line."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
