"""``taskgraft doctor``: what is installed, and what is wrong with it."""

import platform
import re
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from taskgraft.cli.console import console, print_json, table
from taskgraft.discovery.catalog import BLOCK_VARIABLE, Catalog, catalog
from taskgraft.discovery.distributions import PluginSource


@dataclass(frozen=True)
class Plugin:
    """One plugin: where it comes from, and the names it provides, by axis."""

    distribution: str
    version: str
    module: str
    provides: dict[str, list[str]]


@dataclass(frozen=True)
class Diagnosis:
    """All that the command finds.

    Attributes:
        libraries: what the core depends on → version; None where it is not installed.
        failures: plugins that did not load, each with its reason.
        remarks: faults of plugins that are in use all the same.
        blocked: distributions left out on purpose.
        clashes: names that several distributions provide, each in a sentence.
        devices: what can compute; None when nobody asked.
    """

    taskgraft: str
    python: str
    platform: str
    libraries: dict[str, str | None]
    plugins: list[Plugin]
    failures: list[dict[str, str]]
    remarks: list[dict[str, str]]
    blocked: list[str]
    clashes: list[str]
    devices: list[str] | None

    @property
    def healthy(self) -> bool:
        """Whether nothing failed and nothing is missing."""
        return not self.failures and None not in self.libraries.values()


def diagnose(*, devices: bool, as_json: bool) -> bool:
    """Print what is found. Only asking for devices imports torch.

    Returns:
        whether nothing failed and nothing is missing.
    """
    found = _found(catalog(), _devices() if devices else None)
    if as_json:
        print_json(asdict(found) | {"healthy": found.healthy})
    else:
        _print(found)
    return found.healthy


def _found(known: Catalog, devices: list[str] | None) -> Diagnosis:
    return Diagnosis(
        taskgraft=version("taskgraft"),
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        libraries=_libraries(),
        plugins=_plugins(known),
        failures=[_said(failure.source, failure.reason) for failure in known.failures],
        remarks=[_said(remark.source, remark.text) for remark in known.remarks],
        blocked=list(known.blocked),
        clashes=_clashes(known),
        devices=devices,
    )


def _libraries() -> dict[str, str | None]:
    """Look up the versions of what the core depends on, from metadata alone."""
    found: dict[str, str | None] = {}
    for requirement in requires("taskgraft") or ():
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            found[name[0]] = version(name[0])
        except PackageNotFoundError:
            found[name[0]] = None
    return found


def _plugins(known: Catalog) -> list[Plugin]:
    provided: dict[PluginSource, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for entry in known.entries:
        provided[entry.source][entry.spec.axis].append(entry.spec.name)
    return [
        Plugin(
            source.distribution, source.version, source.module, {axis: sorted(names) for axis, names in axes.items()}
        )
        for source, axes in provided.items()
    ]


def _clashes(known: Catalog) -> list[str]:
    having: dict[tuple[str, str], list[PluginSource]] = defaultdict(list)
    for entry in known.entries:
        having[entry.spec.axis, entry.spec.name].append(entry.source)
    return [
        f"the {axis} '{name}' is provided by {' and by '.join(map(str, sources))}"
        for (axis, name), sources in having.items()
        if len(sources) > 1
    ]


def _said(source: PluginSource, text: str) -> dict[str, str]:
    return {
        "distribution": source.distribution,
        "version": source.version,
        "entry_point": f"{source.entry_point} = {source.module}",
        "text": text,
    }


def _devices() -> list[str]:
    import torch

    found = ["cpu"]
    if (kind := torch.accelerator.current_accelerator(check_available=True)) is not None:
        found += [f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())]
    return found


def _print(found: Diagnosis) -> None:
    out = console()
    out.print(f"taskgraft {found.taskgraft}, Python {found.python}, {found.platform}", soft_wrap=True)
    if found.devices is not None:
        out.print(f"Devices: {', '.join(found.devices)}.")
    libraries = [(name, number or "NOT INSTALLED") for name, number in found.libraries.items()]
    out.print(table(("library", "version"), libraries))
    plugins = [(f"{one.distribution} {one.version}", one.module, _names(one)) for one in found.plugins]
    out.print(table(("plugin", "module", "provides"), plugins))
    for failure in found.failures:
        out.print(f"FAILED: {_named(failure)} {failure['text']}", soft_wrap=True)
    for remark in found.remarks:
        out.print(f"Remark: {_named(remark)} {remark['text']}", soft_wrap=True)
    for clash in found.clashes:
        out.print(f"Clash: {clash}; say which one you mean, as distribution/name.", soft_wrap=True)
    if found.blocked:
        out.print(f"Blocked by {BLOCK_VARIABLE}: {', '.join(found.blocked)}.", soft_wrap=True)
    missing = [name for name, number in found.libraries.items() if number is None]
    if missing:
        out.print(f"Missing: {', '.join(missing)}. Install what is missing with pip.", soft_wrap=True)
    out.print("Nothing failed." if found.healthy else "Something failed.")


def _named(said: dict[str, str]) -> str:
    return f"{said['distribution']} {said['version']} ({said['entry_point']}):"


def _names(plugin: Plugin) -> str:
    return "; ".join(f"{axis}: {', '.join(names)}" for axis, names in plugin.provides.items())
