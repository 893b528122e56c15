"""``taskgraft doctor PLUGIN``: whether one installed plugin keeps its promises."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from taskgraft.cli.console import console, print_json
from taskgraft.composition.resolve import resolve
from taskgraft.contract.config import Config, ConfigError
from taskgraft.contract.specs import Spec
from taskgraft.discovery.catalog import BLOCK_VARIABLE, Catalog, catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import normalize_distribution, parse_name
from taskgraft.errors import TaskgraftError, closest_match, join_words
from taskgraft.testing.quick_check import CheckResult, Outcome, run_checks

MARKS = {Outcome.KEPT: "kept", Outcome.BROKEN: "BROKEN", Outcome.NOT_TRIED: "not tried"}


def examine_plugin(plugin: str, tries: Sequence[str], *, as_json: bool) -> bool:
    """Run the quick part of the conformance kit on a plugin, and print what it finds, each line as soon as it is known.

    Args:
        plugin: a distribution, or an entry point of one.
        tries: names with arguments, or dicts with settings as JSON: what to try in place of the examples of specs.

    Returns:
        whether no promise is broken.

    Raises:
        UnknownPlugin: when it is not installed.
        NothingToTry: when what is to be tried is not of this plugin.
    """
    known = catalog()
    sources = _sources(known, plugin)
    configs = _configs(known, sources, tries)
    found = {}
    for source in sources:
        findings = _findings(known, source, configs)
        found[source] = list(findings if as_json else _printed(source, findings))
    counts = Counter(finding.outcome for findings in found.values() for finding in findings)
    healthy = not counts[Outcome.BROKEN]
    if as_json:
        plugins = [asdict(source) | {"findings": list(map(asdict, found[source]))} for source in sources]
        print_json({"plugins": plugins, **{outcome: counts[outcome] for outcome in Outcome}, "healthy": healthy})
    else:
        summary = (
            f"{counts[Outcome.KEPT]} kept, {counts[Outcome.BROKEN]} broken, {counts[Outcome.NOT_TRIED]} not tried."
        )
        console().print(summary)
    return healthy


def _sources(known: Catalog, plugin: str) -> list[PluginSource]:
    """Find what a word means: all entry points of a distribution, or all of one name."""
    loaded, failed = ([one.source for one in found] for found in (known.entries, known.failures))
    every = dict.fromkeys([*loaded, *failed])
    named_so = [
        source for source in every if normalize_distribution(source.distribution) == normalize_distribution(plugin)
    ]
    found = named_so or [source for source in every if source.entry_point == plugin]
    if not found:
        raise UnknownPlugin(plugin, tuple(sorted({source.distribution for source in every})), known.blocked)
    return found


def _specs(known: Catalog, source: PluginSource) -> list[Spec]:
    return [entry.spec for entry in known.entries if entry.source == source]


def _configs(known: Catalog, sources: Sequence[PluginSource], tries: Sequence[str]) -> dict[str, Config]:
    """Read the settings to try specs with, by axis and name."""
    configs = {}
    theirs = {spec.name: (spec, source) for source in sources for spec in _specs(known, source)}
    for text in tries:
        settings = _reference(text)
        name = parse_name(str(settings.get("name")))
        if name.name not in theirs:
            raise NothingToTry(text, name.name, sources[0], tuple(sorted(theirs)))
        spec, source = theirs[name.name]
        qualified = f"{source.distribution}/{name.name}" + ("" if name.argument is None else f":{name.argument}")
        configs[f"{spec.axis} {spec.name}"] = resolve(known, type(spec), {**settings, "name": qualified}).config
    return configs


def _reference(text: str) -> dict[str, Any]:
    """Read a name, or a dict with 'name' and settings as JSON."""
    if not text.lstrip().startswith("{"):
        return {"name": text}
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise ConfigError("--try", (f"{text!r:.60} is no JSON: {error}.",)) from None


def _findings(known: Catalog, source: PluginSource, configs: Mapping[str, Config]) -> Iterator[CheckResult]:
    """Check a plugin, or say why it did not load."""
    reasons = [failure.reason for failure in known.failures if failure.source == source]
    for reason in reasons:
        yield CheckResult(source.module, "it loads", Outcome.BROKEN, f"It was left out: {reason}.")
    if not reasons:
        yield from run_checks(source.module, _specs(known, source), configs)


def _printed(source: PluginSource, findings: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Print findings as they go by, those of one subject under its name."""
    out = console()
    out.print(f"{source} ({source.entry_point} = {source.module})", soft_wrap=True)
    subject = None
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            out.print(f"\n{subject}", soft_wrap=True)
        out.print(f"  {MARKS[finding.outcome]:<9}  {finding.check}{':' if finding.text else ''}", soft_wrap=True)
        for line in finding.text.splitlines():
            out.print(f"{'':<13}{line}", soft_wrap=True)
        yield finding
    out.print()


@dataclass(eq=False)
class UnknownPlugin(TaskgraftError):
    """A word that names no installed plugin."""

    plugin: str
    installed: tuple[str, ...]
    blocked: tuple[str, ...]

    def __str__(self) -> str:
        near = closest_match(self.plugin, self.installed)
        meant = f" Did you mean '{near}'?" if near else ""
        left_out = f" Blocked by {BLOCK_VARIABLE}: {join_words(self.blocked)}." if self.blocked else ""
        return (
            f"No plugin named '{self.plugin}' is installed.{meant} A plugin is named by its distribution or its entry point.\n"
            f"Installed: {join_words(self.installed)}.{left_out}"
        )


@dataclass(eq=False)
class NothingToTry(TaskgraftError):
    """Something to try that the examined plugin does not provide."""

    text: str
    name: str
    source: PluginSource
    provided: tuple[str, ...]

    def __str__(self) -> str:
        return f"--try {self.text}: {self.source} provides no '{self.name}'. It provides {join_words(self.provided)}."
