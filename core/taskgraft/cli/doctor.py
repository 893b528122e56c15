"""``taskgraft doctor``: what is installed, and what is wrong with it; with a plugin, whether it keeps its promises."""

import platform
import re
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated

import typer

from taskgraft.cli import options
from taskgraft.cli.console import console, print_json, table
from taskgraft.discovery.catalog import BLOCK_VARIABLE, Catalog, catalog
from taskgraft.discovery.distributions import PluginSource


def doctor_command(
    plugin: Annotated[
        str | None,
        typer.Argument(
            help="A distribution: build what it provides, and check that it keeps its promises.", show_default=False
        ),
    ] = None,
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="NAME",
            help='Check this instead of the plugin\'s examples: NAME:ARGUMENT, or {"name": …, settings} as JSON; repeatable.',
        ),
    ] = None,
    devices: Annotated[bool, typer.Option("--devices", help="Import torch and list the devices it finds.")] = False,
    as_json: options.JsonOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Diagnose the installation or a plugin. The exit code is 1 when something is wrong."""
    if plugin is None and tries:
        raise typer.BadParameter("name the plugin: taskgraft doctor PLUGIN --try NAME.", param_hint="--try")
    if plugin is not None and devices:
        raise typer.BadParameter("it works only without a plugin.", param_hint="--devices")
    if plugin is None:
        healthy = diagnose(devices=devices, as_json=as_json)
    else:
        from taskgraft.cli.doctor_plugin import check_plugin

        healthy = check_plugin(plugin, tries or [], as_json=as_json)
    if not healthy:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Plugin:
    """One plugin: its source, and the names it provides, by axis."""

    distribution: str
    version: str
    module: str
    provides: dict[str, list[str]]


@dataclass(frozen=True)
class Diagnosis:
    """Everything that the command finds.

    Attributes:
        libraries: dependency of the core → version; None when it is not installed.
        failures: plugins that did not load, each with its reason.
        remarks: problems of plugins that are used nevertheless.
        blocked: distributions blocked by the user.
        clashes: names that several distributions provide, each in a sentence.
        devices: the devices of torch; None unless requested.
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
    """Print the diagnosis. Imports torch only for the devices.

    Returns:
        whether nothing failed and nothing is missing.
    """
    known = catalog()
    diagnosis = Diagnosis(
        taskgraft=version("taskgraft"),
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        libraries=_libraries(),
        plugins=_plugins(known),
        failures=[_as_json(failure.source, failure.text) for failure in known.failures],
        remarks=[_as_json(remark.source, remark.text) for remark in known.remarks],
        blocked=list(known.blocked),
        clashes=_clashes(known),
        devices=_devices() if devices else None,
    )
    if as_json:
        print_json(asdict(diagnosis) | {"healthy": diagnosis.healthy})
    else:
        _print(diagnosis)
    return diagnosis.healthy


def _libraries() -> dict[str, str | None]:
    """Look up the versions of the core's dependencies, from metadata alone."""
    versions: dict[str, str | None] = {}
    for requirement in requires("taskgraft") or ():
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            versions[name[0]] = version(name[0])
        except PackageNotFoundError:
            versions[name[0]] = None
    return versions


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
    by_name: dict[tuple[str, str], list[PluginSource]] = defaultdict(list)
    for entry in known.entries:
        by_name[entry.spec.axis, entry.spec.name].append(entry.source)
    return [
        f"the {axis} '{name}' is provided by {' and by '.join(map(str, sources))}"
        for (axis, name), sources in by_name.items()
        if len(sources) > 1
    ]


def _as_json(source: PluginSource, text: str) -> dict[str, str]:
    return {
        "distribution": source.distribution,
        "version": source.version,
        "entry_point": f"{source.entry_point} = {source.module}",
        "text": text,
    }


def _devices() -> list[str]:
    import torch

    devices = ["cpu"]
    if (kind := torch.accelerator.current_accelerator(check_available=True)) is not None:
        devices += [f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())]
    return devices


def _print(diagnosis: Diagnosis) -> None:
    out = console()
    out.print(f"taskgraft {diagnosis.taskgraft}, Python {diagnosis.python}, {diagnosis.platform}")
    if diagnosis.devices is not None:
        out.print(f"Devices: {', '.join(diagnosis.devices)}.")
    libraries = [(name, number or "NOT INSTALLED") for name, number in diagnosis.libraries.items()]
    out.print(table(("library", "version"), libraries, ()))
    plugins = [(f"{one.distribution} {one.version}", one.module, _provided_names(one)) for one in diagnosis.plugins]
    out.print(table(("plugin", "module", "provides"), plugins, ("plugin", "provides")))
    for kind, problems in (("FAILED", diagnosis.failures), ("Remark", diagnosis.remarks)):
        for one in problems:
            source = f"{one['distribution']} {one['version']} ({one['entry_point']})"
            out.print(f"{kind}: {source}: {one['text']}", soft_wrap=True)
    for clash in diagnosis.clashes:
        out.print(f"Clash: {clash}; choose one as distribution/name.", soft_wrap=True)
    if diagnosis.blocked:
        out.print(f"Blocked by {BLOCK_VARIABLE}: {', '.join(diagnosis.blocked)}.", soft_wrap=True)
    missing = [name for name, number in diagnosis.libraries.items() if number is None]
    if missing:
        out.print(f"Missing: {', '.join(missing)}. Install missing libraries with pip.", soft_wrap=True)
    out.print("No problems found." if diagnosis.healthy else "Something failed.")


def _provided_names(plugin: Plugin) -> str:
    return "; ".join(f"{axis}: {', '.join(names)}" for axis, names in plugin.provides.items())
