"""Where a spec came from: a distribution, its version, and the entry point in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions

from taskgraft.name import normalized


@dataclass(frozen=True)
class Source:
    """A plugin: the module that one entry point of one distribution names."""

    distribution: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


def installed(group: str) -> Iterator[tuple[Source, EntryPoint]]:
    """Find the entry points of a group, sorted by distribution.

    Of two folders on the path that hold one distribution, the first counts, as it does for an import. An entry point
    listed twice with the same name and value is one.
    """
    found: dict[str, list[tuple[Source, EntryPoint]]] = {}
    for distribution in distributions():
        name = distribution.name
        if not name or normalized(name) in found:
            continue
        points = dict.fromkeys((point.name, point.value) for point in distribution.entry_points.select(group=group))
        found[normalized(name)] = [
            (Source(name, distribution.version, point, value), EntryPoint(point, value, group))
            for point, value in points
        ]
    for _, points_of_one in sorted(found.items()):
        yield from points_of_one
