"""``taskgraft doctor PLUGIN``: whether an installed plugin keeps its promises."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from taskgraft.cli.console import console, print_json
from taskgraft.cli.errors import CliError
from taskgraft.cli.options import parse_json_reference
from taskgraft.composition.resolve import resolve
from taskgraft.contract.config import Config
from taskgraft.contract.specs import Spec
from taskgraft.discovery.catalog import BLOCK_VARIABLE, Catalog, catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import normalize_distribution, parse_name
from taskgraft.errors import closest_match, join_words
from taskgraft.testing.quick_check import CheckResult, Outcome, run_checks

_MARKS = {Outcome.KEPT: "kept", Outcome.BROKEN: "BROKEN", Outcome.NOT_TRIED: "not tried", Outcome.NOT_APPLICABLE: "n/a"}


def check_plugin(plugin: str, tries: Sequence[str], *, as_json: bool) -> bool:
    """Run the quick part of the conformance kit on a plugin, and print each result as soon as it is known.

    Args:
        plugin: a distribution, or an entry point of one.
        tries: names with arguments, or dicts with settings as JSON, to try instead of the examples of specs.

    Returns:
        whether no promise is broken.

    Raises:
        CliError: when it is not installed, or does not provide what is to be tried.
    """
    known = catalog()
    sources = _sources(known, plugin)
    configs = _configs(known, sources, tries)
    by_source = {}
    for source in sources:
        results = _results(known, source, configs)
        by_source[source] = list(results if as_json else _print_each(source, results))
    counts = Counter(result.outcome for results in by_source.values() for result in results)
    healthy = not counts[Outcome.BROKEN]
    if as_json:
        plugins = [asdict(source) | {"findings": list(map(asdict, by_source[source]))} for source in sources]
        print_json({"plugins": plugins, **{outcome: counts[outcome] for outcome in Outcome}, "healthy": healthy})
    else:
        shown = [outcome for outcome in Outcome if outcome != Outcome.NOT_APPLICABLE or counts[outcome]]
        totals = [f"{counts[outcome]} {outcome}" for outcome in shown]
        console().print(f"{', '.join(totals)}.")
    return healthy


def _sources(known: Catalog, plugin: str) -> list[PluginSource]:
    """Find all entry points of a distribution, or all entry points of one name."""
    every = list(dict.fromkeys(one.source for some in (known.entries, known.failures) for one in some))
    name = normalize_distribution(plugin)
    by_distribution = [source for source in every if normalize_distribution(source.distribution) == name]
    sources = by_distribution or [source for source in every if source.entry_point == plugin]
    if not sources:
        installed = sorted({source.distribution for source in every})
        near = closest_match(plugin, installed)
        hint = f" Did you mean '{near}'?" if near else ""
        blocked = f" Blocked by {BLOCK_VARIABLE}: {join_words(known.blocked)}." if known.blocked else ""
        raise CliError(
            f"No plugin named '{plugin}' is installed.{hint} Name its distribution or its entry point.\n"
            f"Installed: {join_words(installed)}.{blocked}"
        )
    return sources


def _specs(known: Catalog, source: PluginSource) -> list[Spec]:
    return [entry.spec for entry in known.entries if entry.source == source]


def _configs(known: Catalog, sources: Sequence[PluginSource], tries: Sequence[str]) -> dict[str, Config]:
    """Read the settings to try specs with, by axis and name."""
    configs = {}
    provided = {spec.name: (spec, source) for source in sources for spec in _specs(known, source)}
    for text in tries:
        reference = parse_json_reference(text, "--try")
        settings = reference if isinstance(reference, dict) else {"name": reference}
        name = parse_name(str(settings.get("name")))
        if name.name not in provided:
            raise CliError(
                f"--try {text}: {sources[0]} provides no '{name.name}'. It provides {join_words(sorted(provided))}."
            )
        spec, source = provided[name.name]
        qualified = f"{source.distribution}/{name.name}" + ("" if name.argument is None else f":{name.argument}")
        configs[f"{spec.axis} {spec.name}"] = resolve(known, type(spec), {**settings, "name": qualified}).config
    return configs


def _results(known: Catalog, source: PluginSource, configs: Mapping[str, Config]) -> Iterator[CheckResult]:
    """Check a plugin, or report why it did not load."""
    reasons = [failure.text for failure in known.failures if failure.source == source]
    for reason in reasons:
        yield CheckResult(source.module, "it loads", Outcome.BROKEN, f"It did not load: {reason}.")
    if not reasons:
        yield from run_checks(source.module, _specs(known, source), configs)


def _print_each(source: PluginSource, results: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Print results as they arrive, those of one subject under its name."""
    out = console()
    out.print(f"{source} ({source.entry_point} = {source.module})", soft_wrap=True)
    subject = None
    for result in results:
        if result.subject != subject:
            subject = result.subject
            out.print(f"\n{subject}", soft_wrap=True)
        out.print(f"  {_MARKS[result.outcome]:<9}  {result.check}{':' if result.text else ''}", soft_wrap=True)
        for line in result.text.splitlines():
            out.print(f"{'':<13}{line}", soft_wrap=True)
        yield result
    out.print()
