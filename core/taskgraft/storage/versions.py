"""Versions of the installed packages that decide what a model computes."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from taskgraft.discovery.names import normalize_distribution

_CORE = "taskgraft"

_ENGINE = ("accelerate", "numpy", "torch")
"""Of the requirements of the core those that change results; the others read files, check settings or print."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def result_versions(sources: Iterable[str]) -> dict[str, str]:
    """Return the versions of some distributions and of what they declare as required; the core and its engine always.

    A distribution that builds on taskgraft is followed to what it requires itself. What the core requires anyway, what those
    libraries require in turn, extras and what is not installed are left out: a new release of those must not keep a run from
    being resumed.

    Args:
        sources: the distributions that provide the components of a model.
    """
    _, of_core = _read(_CORE)
    left_out = {*of_core, _CORE}
    found: dict[str, str] = {}
    pending = [normalize_distribution(name) for name in sources]
    while pending:
        name = pending.pop()
        if name in found or name in left_out:
            continue
        version, requirements = _read(name)
        if version is not None:
            found[name] = version
        if name in map(normalize_distribution, sources) or _CORE in requirements:
            pending += requirements
    found |= {name: version for name in (_CORE, *_ENGINE) if (version := _read(name)[0]) is not None}
    return dict(sorted(found.items()))


def _read(name: str) -> tuple[str | None, list[str]]:
    """Return the version of a distribution, None if it is not installed, and the names that it requires without an extra."""
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return None, []
    names = []
    for line in metadata.get_all("Requires-Dist") or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker and (match := _NAME.match(requirement.strip())):
            names.append(normalize_distribution(match.group()))
    return metadata["Version"], names
