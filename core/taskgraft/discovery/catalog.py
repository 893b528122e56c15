"""All specs that installed plugins provide, with their sources, and the plugins that failed."""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from taskgraft.contract.hooks import CONTRACT, GROUP, Hooks
from taskgraft.contract.specs import ReaderSpec, Spec
from taskgraft.discovery.distributions import Source, installed
from taskgraft.discovery.loader import ANSWERS, Entry, Failure, Loader, Remark
from taskgraft.discovery.names import Name, normalized
from taskgraft.errors import TaskgraftError, listed, nearest

BLOCK = "TASKGRAFT_BLOCK"
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

    entries: tuple[Entry, ...] = ()
    failures: tuple[Failure, ...] = ()
    remarks: tuple[Remark, ...] = ()
    blocked: tuple[str, ...] = ()

    def specs(self, kind: type[AnySpec]) -> Iterator[tuple[AnySpec, Source]]:
        """Go through all specs of one kind, sorted by name."""
        for entry in sorted(self.entries, key=lambda entry: (entry.spec.name, entry.source.distribution)):
            if isinstance(entry.spec, kind):
                yield entry.spec, entry.source

    def find(self, kind: type[AnySpec], name: Name) -> tuple[AnySpec, Source]:
        """Find the one spec that a name means. One that is found by a former name is found with a warning.

        Raises:
            UnknownName: nobody provides it.
            AmbiguousName: several distributions provide it and the name does not say which.
        """
        matches = [
            (spec, source)
            for spec, source in self.specs(kind)
            if name.name in spec.names
            and (name.distribution is None or normalized(name.distribution) == normalized(source.distribution))
        ]
        if not matches:
            known = tuple(self.specs(kind))
            wanted = str(Name(name.name, name.distribution))
            raise UnknownName(kind.axis, wanted, known, self.failures, self.blocked, self._absent(name.distribution))
        if len(matches) > 1:
            raise AmbiguousName(kind.axis, name.name, tuple(matches))
        spec, source = matches[0]
        if spec.name != name.name:
            warnings.warn(
                f"The {kind.axis} '{name.name}' is now called '{spec.name}' (from {source}). The former name still works; "
                "write the new one.",
                FormerName,
                stacklevel=1,  # one place for all uses, so each name is told once
            )
        return spec, source

    def _absent(self, distribution: str | None) -> str | None:
        """Give a distribution back that no plugin came from, working or not."""
        sources = (*(entry.source for entry in self.entries), *(failure.source for failure in self.failures))
        here = {normalized(name) for name in (*(source.distribution for source in sources), *self.blocked)}
        return distribution if distribution and normalized(distribution) not in here else None

    def has_scheme(self, data: str) -> bool:
        """Say whether data are named in the way of a reader that reads no file (``hub:NAME``)."""
        scheme, colon, _ = data.partition(":")
        return bool(colon) and any(spec.scheme == scheme for spec, _ in self.specs(ReaderSpec))


class FormerName(FutureWarning):
    """A name was used that is an alias of another."""


@dataclass(eq=False)
class UnknownName(TaskgraftError):
    """A name that no working plugin provides. ``absent`` is the distribution that it names, where that is not installed."""

    axis: str
    name: str
    known: tuple[tuple[Spec, Source], ...]
    failures: tuple[Failure, ...]
    blocked: tuple[str, ...]
    absent: str | None = None

    def __str__(self) -> str:
        sentences = [f"No {self.axis} named '{self.name}'."]
        if self.absent:
            sentences.append(f"{self.absent} is not installed here: pip install {self.absent}.")
        meant = {name: (spec.name, source) for spec, source in self.known for name in spec.names}
        if near := nearest(self.name.rpartition("/")[2], meant):
            sentences.append("Did you mean '{}' (from {})?".format(*meant[near]))
        sentences.append(f"\nInstalled: {listed(sorted({spec.name for spec, _ in self.known}))}.")
        if self.failures:
            sentences.append(f"A plugin that did not load may provide it: {'; '.join(map(str, self.failures))}.")
        if self.blocked:
            sentences.append(f"Left out by {BLOCK}: {listed(self.blocked)}.")
        return " ".join(sentences).replace(" \n", "\n")


@dataclass(eq=False)
class AmbiguousName(TaskgraftError):
    """A name that several distributions provide, as the present name of a spec or as a former one."""

    axis: str
    name: str
    found: tuple[tuple[Spec, Source], ...]

    def __str__(self) -> str:
        sources = [source for _, source in self.found]
        ways = sorted({f"'{source.distribution}/{self.name}'" for source in sources})
        if len(ways) == 1:
            return (
                f"The {self.axis} '{self.name}' is provided twice by {sources[0]}, through the entry points "
                f"{listed(sorted(f'{source.entry_point} = {source.module}' for source in sources))}. "
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
    hooks: type = Hooks,
    answers: Mapping[str, type[Spec]] = ANSWERS,
    arguments: Mapping[str, object] | None = None,
    contract: str = CONTRACT,
) -> Catalog:
    """Import every plugin and ask it for its specs. A plugin that fails is recorded and changes nothing else.

    Args:
        hooks: the class of hook specifications.
        answers: each hook's name and the class of its specs.
        arguments: values for arguments that hooks may take. The present contract has none.
        contract: the version of the contract.
    """
    loader = Loader(hooks, answers, arguments or {}, contract)
    blocked = {normalized(name.strip()) for name in os.environ.get(BLOCK, "").split(",") if name.strip()}
    seen = set()
    for source, point in installed(GROUP):
        if normalized(source.distribution) in blocked:
            seen.add(source.distribution)
        else:
            loader.load(source, point)
    return Catalog(tuple(loader.entries), tuple(loader.failures), tuple(loader.remarks), tuple(sorted(seen)))
