"""All specs that installed plugins provide, with their sources, and the plugins that failed."""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from taskgraft.contract.hooks import CONTRACT_VERSION, ENTRY_POINT_GROUP, HookSpecs
from taskgraft.contract.specs import ReaderSpec, Spec
from taskgraft.discovery.distributions import PluginSource, iter_entry_points
from taskgraft.discovery.loader import SPEC_TYPES, CatalogEntry, LoadFailure, LoadWarning, PluginLoader
from taskgraft.discovery.names import ComponentName, normalize_distribution
from taskgraft.errors import TaskgraftError, closest_match, join_words

BLOCK_VARIABLE = "TASKGRAFT_BLOCK"
"""The environment variable that names distributions to leave out, separated by commas."""

AnySpec = TypeVar("AnySpec", bound=Spec)


@dataclass(frozen=True)
class Catalog:
    """What is installed.

    Attributes:
        entries: all usable specs.
        failures: plugins left out because something about them is broken.
        remarks: faults of plugins that are in use all the same.
        blocked: distributions that ``TASKGRAFT_BLOCK`` left out.
    """

    entries: tuple[CatalogEntry, ...] = ()
    failures: tuple[LoadFailure, ...] = ()
    remarks: tuple[LoadWarning, ...] = ()
    blocked: tuple[str, ...] = ()

    def specs(self, kind: type[AnySpec]) -> Iterator[tuple[AnySpec, PluginSource]]:
        """Go through all specs of one kind, sorted by name."""
        for entry in sorted(self.entries, key=lambda entry: (entry.spec.name, entry.source.distribution)):
            if isinstance(entry.spec, kind):
                yield entry.spec, entry.source

    def find(self, kind: type[AnySpec], name: ComponentName) -> tuple[AnySpec, PluginSource]:
        """Find the one spec that a name means. One that is found by a former name is found with a warning.

        Raises:
            UnknownComponent: nobody provides it.
            AmbiguousComponent: several distributions provide it and the name does not say which.
        """
        matches = [
            (spec, source)
            for spec, source in self.specs(kind)
            if name.name in spec.names
            and (
                name.distribution is None
                or normalize_distribution(name.distribution) == normalize_distribution(source.distribution)
            )
        ]
        if not matches:
            known = tuple(self.specs(kind))
            wanted = str(ComponentName(name.name, name.distribution))
            raise UnknownComponent(
                kind.axis, wanted, known, self.failures, self.blocked, self._absent(name.distribution)
            )
        if len(matches) > 1:
            raise AmbiguousComponent(kind.axis, name.name, tuple(matches))
        spec, source = matches[0]
        if spec.name != name.name:
            warnings.warn(
                f"The {kind.axis} '{name.name}' is now called '{spec.name}' (from {source}). The former name still works; "
                "write the new one.",
                RenamedComponentWarning,
                stacklevel=1,  # one place for all uses, so each name is told once
            )
        return spec, source

    def _absent(self, distribution: str | None) -> str | None:
        """Give a distribution back that no plugin came from, working or not."""
        sources = (*(entry.source for entry in self.entries), *(failure.source for failure in self.failures))
        here = {normalize_distribution(name) for name in (*(source.distribution for source in sources), *self.blocked)}
        return distribution if distribution and normalize_distribution(distribution) not in here else None

    def has_scheme(self, data: str) -> bool:
        """Say whether data are named in the way of a reader that reads no file (``hub:NAME``)."""
        scheme, colon, _ = data.partition(":")
        return bool(colon) and any(spec.scheme == scheme for spec, _ in self.specs(ReaderSpec))


class RenamedComponentWarning(FutureWarning):
    """A name was used that is an alias of another."""


@dataclass(eq=False)
class UnknownComponent(TaskgraftError):
    """A name that no working plugin provides. ``absent`` is the distribution that it names, where that is not installed."""

    axis: str
    name: str
    known: tuple[tuple[Spec, PluginSource], ...]
    failures: tuple[LoadFailure, ...]
    blocked: tuple[str, ...]
    absent: str | None = None

    def __str__(self) -> str:
        sentences = [f"No {self.axis} named '{self.name}'."]
        if self.absent:
            sentences.append(f"{self.absent} is not installed here: pip install {self.absent}.")
        meant = {name: (spec.name, source) for spec, source in self.known for name in spec.names}
        if near := closest_match(self.name.rpartition("/")[2], meant):
            sentences.append("Did you mean '{}' (from {})?".format(*meant[near]))
        sentences.append(f"\nInstalled: {join_words(sorted({spec.name for spec, _ in self.known}))}.")
        if self.failures:
            sentences.append(f"A plugin that did not load may provide it: {'; '.join(map(str, self.failures))}.")
        if self.blocked:
            sentences.append(f"Left out by {BLOCK_VARIABLE}: {join_words(self.blocked)}.")
        return " ".join(sentences).replace(" \n", "\n")


@dataclass(eq=False)
class AmbiguousComponent(TaskgraftError):
    """A name that several distributions provide, as the present name of a spec or as a former one."""

    axis: str
    name: str
    found: tuple[tuple[Spec, PluginSource], ...]

    def __str__(self) -> str:
        sources = [source for _, source in self.found]
        ways = sorted({f"'{source.distribution}/{self.name}'" for source in sources})
        if len(ways) == 1:
            return (
                f"The {self.axis} '{self.name}' is provided twice by {sources[0]}, through the entry points "
                f"{join_words(sorted(f'{source.entry_point} = {source.module}' for source in sources))}. "
                "Remove one of them."
            )
        said = dict.fromkeys(
            str(source) if spec.name == self.name else f"{source} (a former name of '{spec.name}')"
            for spec, source in self.found
        )
        return (
            f"The {self.axis} '{self.name}' is provided by {' and by '.join(said)}. "
            f"Say which one you mean: {' or '.join(ways)}."
        )


@cache
def catalog() -> Catalog:
    """Load the installed plugins, once per process."""
    return load_catalog()


def load_catalog(
    hooks: type = HookSpecs,
    answers: Mapping[str, type[Spec]] = SPEC_TYPES,
    arguments: Mapping[str, object] | None = None,
    contract: str = CONTRACT_VERSION,
) -> Catalog:
    """Import every plugin and ask it for its specs. A plugin that fails is recorded and changes nothing else.

    Args:
        hooks: the class of hook specifications.
        answers: each hook's name and the class of its specs.
        arguments: values for arguments that hooks may take. The present contract has none.
        contract: the version of the contract.
    """
    loader = PluginLoader(hooks, answers, arguments or {}, contract)
    blocked = {
        normalize_distribution(name.strip()) for name in os.environ.get(BLOCK_VARIABLE, "").split(",") if name.strip()
    }
    seen = set()
    for source, point in iter_entry_points(ENTRY_POINT_GROUP):
        if normalize_distribution(source.distribution) in blocked:
            seen.add(source.distribution)
        else:
            loader.load(source, point)
    return Catalog(tuple(loader.entries), tuple(loader.failures), tuple(loader.remarks), tuple(sorted(seen)))
