"""All specs that installed plugins provide, with their sources, and the plugins that failed to load."""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from taskgraft.contract.hooks import CONTRACT_VERSION, ENTRY_POINT_GROUP, HookSpecs
from taskgraft.contract.specs import ReaderSpec, Spec
from taskgraft.discovery.distributions import PluginSource, iter_entry_points
from taskgraft.discovery.loader import CatalogEntry, LoadProblem, PluginLoader, spec_types
from taskgraft.discovery.names import ComponentName, normalize_distribution
from taskgraft.errors import TaskgraftError, closest_match, join_words

BLOCK_VARIABLE = "TASKGRAFT_BLOCK"
"""The environment variable that lists distributions to block, separated by commas."""

_AnySpec = TypeVar("_AnySpec", bound=Spec)


@dataclass(frozen=True)
class Catalog:
    """What is installed.

    Attributes:
        entries: all usable specs.
        failures: plugins that failed to load.
        remarks: problems of plugins that still work.
        blocked: distributions that ``TASKGRAFT_BLOCK`` blocks.
    """

    entries: tuple[CatalogEntry, ...] = ()
    failures: tuple[LoadProblem, ...] = ()
    remarks: tuple[LoadProblem, ...] = ()
    blocked: tuple[str, ...] = ()

    def specs(self, kind: type[_AnySpec]) -> Iterator[tuple[_AnySpec, PluginSource]]:
        """Iterate over all specs of one kind, sorted by name."""
        for entry in sorted(self.entries, key=lambda entry: (entry.spec.name, entry.source.distribution)):
            if isinstance(entry.spec, kind):
                yield entry.spec, entry.source

    def find(self, kind: type[_AnySpec], name: ComponentName) -> tuple[_AnySpec, PluginSource]:
        """Return the only spec that a name matches. Warns when it is a former name.

        Raises:
            UnknownComponent: no plugin provides it.
            AmbiguousComponent: several distributions provide it and the name does not choose one.
        """
        wanted = None if name.distribution is None else normalize_distribution(name.distribution)
        matches = [
            (spec, source)
            for spec, source in self.specs(kind)
            if name.name in spec.names and wanted in (None, normalize_distribution(source.distribution))
        ]
        if not matches:
            known, text = tuple(self.specs(kind)), str(ComponentName(name.name, name.distribution))
            missing = None if name.distribution is None or self._knows(name.distribution) else name.distribution
            raise UnknownComponent(kind.axis, text, known, self.failures, self.blocked, missing)
        if len(matches) > 1:
            raise AmbiguousComponent(kind.axis, name.name, tuple(matches))
        spec, source = matches[0]
        if spec.name != name.name:
            warnings.warn(
                f"The {kind.axis} '{name.name}' is now called '{spec.name}' (from {source}). The old name still works; "
                "use the new one.",
                RenamedComponentWarning,
                stacklevel=1,  # one place for all uses, so that each name is warned about once
            )
        return spec, source

    def has_scheme(self, data: str) -> bool:
        """Tell whether data are named by the scheme of a reader (``hub:NAME``)."""
        scheme, colon, _ = data.partition(":")
        return bool(colon) and any(spec.scheme == scheme for spec, _ in self.specs(ReaderSpec))

    def _knows(self, distribution: str) -> bool:
        """Tell whether any plugin of a distribution was seen, working or not."""
        sources = (*(entry.source for entry in self.entries), *(failure.source for failure in self.failures))
        known = (*(source.distribution for source in sources), *self.blocked)
        return normalize_distribution(distribution) in map(normalize_distribution, known)


class RenamedComponentWarning(FutureWarning):
    """A former name was used."""


@dataclass(eq=False)
class UnknownComponent(TaskgraftError):
    """A name that no working plugin provides. ``missing`` is the distribution that it names, if that is not installed."""

    axis: str
    name: str
    known: tuple[tuple[Spec, PluginSource], ...]
    failures: tuple[LoadProblem, ...]
    blocked: tuple[str, ...]
    missing: str | None = None

    def __str__(self) -> str:
        sentences = [f"No {self.axis} named '{self.name}'."]
        if self.missing:
            sentences.append(f"{self.missing} is not installed here: pip install {self.missing}.")
        by_name = {name: (spec.name, source) for spec, source in self.known for name in spec.names}
        if near := closest_match(self.name.rpartition("/")[2], by_name):
            sentences.append("Did you mean '{}' (from {})?".format(*by_name[near]))
        sentences.append(f"\nInstalled: {join_words(sorted({spec.name for spec, _ in self.known}))}.")
        if self.failures:
            sentences.append(f"A plugin that did not load may provide it: {'; '.join(map(str, self.failures))}.")
        if self.blocked:
            sentences.append(f"Blocked by {BLOCK_VARIABLE}: {join_words(self.blocked)}.")
        return " ".join(sentences).replace(" \n", "\n")


@dataclass(eq=False)
class AmbiguousComponent(TaskgraftError):
    """A name that several distributions provide, as the present or a former name of a spec."""

    axis: str
    name: str
    matches: tuple[tuple[Spec, PluginSource], ...]

    def __str__(self) -> str:
        sources = [source for _, source in self.matches]
        qualified = sorted({f"'{source.distribution}/{self.name}'" for source in sources})
        if len(qualified) == 1:
            points = join_words(sorted(f"{source.entry_point} = {source.module}" for source in sources))
            return (
                f"The {self.axis} '{self.name}' is provided twice by {sources[0]}, through the entry points {points}. "
                "Remove one of them."
            )
        providers = dict.fromkeys(
            str(source) if spec.name == self.name else f"{source} (a former name of '{spec.name}')"
            for spec, source in self.matches
        )
        return (
            f"The {self.axis} '{self.name}' is provided by {' and by '.join(providers)}. "
            f"Choose one with {' or '.join(qualified)}."
        )


@cache
def catalog() -> Catalog:
    """Load the installed plugins, once per process."""
    return load_catalog()


def load_catalog(
    hooks: type = HookSpecs, arguments: Mapping[str, object] | None = None, contract: str = CONTRACT_VERSION
) -> Catalog:
    """Import every plugin and collect its specs. A plugin that fails is recorded and affects nothing else.

    Args:
        hooks: the class of hook specifications.
        arguments: values for arguments that hooks may take. The present contract has none.
        contract: the version of the contract.
    """
    loader = PluginLoader(hooks, spec_types(hooks), arguments or {}, contract)
    names = (name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(","))
    to_block = {normalize_distribution(name) for name in names if name}
    blocked = set()
    for source, point in iter_entry_points(ENTRY_POINT_GROUP):
        if normalize_distribution(source.distribution) in to_block:
            blocked.add(source.distribution)
        else:
            loader.load(source, point)
    return Catalog(tuple(loader.entries), tuple(loader.failures), tuple(loader.remarks), tuple(sorted(blocked)))
