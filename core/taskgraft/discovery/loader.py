"""Asking one plugin for its specs, so that a plugin that breaks does so alone.

pluggy checks signatures and warns about deprecated arguments. The loop over entry points is ours, because pluggy's own stops at
the first error without naming the distribution.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from itertools import islice
from typing import Any

import pluggy

from taskgraft.contract.config import Config
from taskgraft.contract.specs import (
    BackboneSpec,
    BaselineSpec,
    HeadSpec,
    MetricSpec,
    ReaderSpec,
    Spec,
    SplitSpec,
    StrategySpec,
)
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import is_name
from taskgraft.errors import closest_match, join_words

SPEC_TYPES: Mapping[str, type[Spec]] = {
    "taskgraft_backbones": BackboneSpec,
    "taskgraft_heads": HeadSpec,
    "taskgraft_strategies": StrategySpec,
    "taskgraft_readers": ReaderSpec,
    "taskgraft_splits": SplitSpec,
    "taskgraft_metrics": MetricSpec,
    "taskgraft_baselines": BaselineSpec,
}
"""Each hook and the class of the specs it answers with."""

HEAVY_LIBRARIES = ("torch", "transformers", "timm", "peft")
"""Libraries that discovery must not import."""

LIMIT = 1_000
"""The number of specs one hook of one plugin may answer with. An endless generator is cut off here."""

_VERSION = re.compile(r"\d+\.\d+")
_REFERENCE = re.compile(r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*)?\s*(\[.*\])?")


@dataclass(frozen=True)
class CatalogEntry:
    """A spec and where it came from."""

    spec: Spec
    source: PluginSource


@dataclass(frozen=True)
class LoadFailure:
    """A plugin that could not be used, and why."""

    source: PluginSource
    reason: str

    def __str__(self) -> str:
        return f"{self.source} ({self.reason})"


@dataclass(frozen=True)
class LoadWarning:
    """Something wrong with a plugin that works."""

    source: PluginSource
    text: str


class _Refused(Exception):
    """Why a plugin cannot be used."""


@dataclass
class PluginLoader:
    """Collects what plugins answer."""

    hooks: type
    answers: Mapping[str, type[Spec]]
    arguments: Mapping[str, object]
    contract: str
    entries: list[CatalogEntry] = field(default_factory=list)
    failures: list[LoadFailure] = field(default_factory=list)
    remarks: list[LoadWarning] = field(default_factory=list)

    def load(self, source: PluginSource, point: EntryPoint) -> None:
        """Import one plugin and keep its specs, or the reason why it has none."""
        light = [name for name in HEAVY_LIBRARIES if name not in sys.modules]
        try:
            specs = self._specs(source, point)
        except _Refused as refusal:
            self.failures.append(LoadFailure(source, str(refusal)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's module raises: SystemExit, a panic in compiled code
            self.failures.append(LoadFailure(source, _told(error)))
        else:
            self.entries += [CatalogEntry(spec, source) for spec in specs]
        if heavy := [name for name in light if name in sys.modules]:
            text = f"imports {join_words(heavy)} during discovery; move that import into the spec's build function"
            self.remarks.append(LoadWarning(source, text))

    def _specs(self, source: PluginSource, point: EntryPoint) -> list[Spec]:
        if not _REFERENCE.fullmatch(point.value):
            raise _Refused(f"its entry point '{point.name} = {point.value}' names no module")
        module = point.load()
        self._check_contract(getattr(module, "TASKGRAFT_CONTRACT", None))
        manager = pluggy.PluginManager("taskgraft")
        manager.add_hookspecs(self.hooks)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            manager.register(module)
        self._pass_on(source, caught)
        callers = manager.get_hookcallers(module) or []
        self._check_spelling(module, [caller.name for caller in callers])
        if not callers:
            raise _Refused(f"provides nothing: no function of {point.value} is marked with @hookimpl")
        specs: list[Spec] = []
        for caller in callers:
            for implementation in caller.get_hookimpls():
                given = [self.arguments[name] for name in implementation.argnames]
                specs += self._answer(caller.name, implementation.function(*given))
        if not specs:
            raise _Refused(f"provides nothing: {join_words(caller.name for caller in callers)} answered with no spec")
        return specs

    def _pass_on(self, source: PluginSource, caught: list[warnings.WarningMessage]) -> None:
        """Remember what pluggy warned about, and warn again at the plugin's own line."""
        for warning in caught:
            self.remarks.append(LoadWarning(source, f"{warning.message} ({warning.filename}:{warning.lineno})"))
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _check_contract(self, stated: Any) -> None:
        if stated is None:
            raise _Refused(f'states no contract: add TASKGRAFT_CONTRACT = "{self.contract}" to its module')
        if not (isinstance(stated, str) and _VERSION.fullmatch(stated)):  # a number would read 1.10 as 1.1
            raise _Refused(f"states the contract {stated!r}, which is not a version like {self.contract!r}")
        theirs, ours = (tuple(map(int, version.split("."))) for version in (stated, self.contract))
        if theirs > ours:
            raise _Refused(
                f"was built for contract {stated}, newer than the installed {self.contract}: update taskgraft"
            )
        if theirs[0] < ours[0]:
            raise _Refused(
                f"was built for contract {stated}, older than the installed {self.contract}: update the plugin"
            )

    def _check_spelling(self, module: object, marked: Sequence[str]) -> None:
        """Refuse a hook that does not exist, known by its mark or its name, and one that was not marked."""
        meant_as_hooks = [
            name for name in vars(module) if name.startswith("taskgraft_") and callable(getattr(module, name))
        ]
        for name in (*marked, *meant_as_hooks):
            if name not in self.answers:
                hooks = {hook.partition("_")[2]: hook for hook in self.answers}  # the prefix makes all of them alike
                near = closest_match(name.partition("_")[2], hooks)
                meant = f"did it mean '{hooks[near]}'?" if near else f"hooks: {join_words(self.answers)}"
                raise _Refused(f"has a hook '{name}', which does not exist; {meant}")
        if unmarked := [name for name in meant_as_hooks if name not in marked]:
            raise _Refused(f"has {join_words(unmarked)} without @hookimpl, so nobody would call it")

    def _answer(self, hook: str, answer: object) -> list[Spec]:
        expected = self.answers[hook]
        if not isinstance(answer, Iterable):
            raise _Refused(f"{hook} answered with {answer!r:.60}, not with an iterable of {expected.__name__}")
        specs = list(islice(answer, LIMIT + 1))
        if len(specs) > LIMIT:
            raise _Refused(f"{hook} answered with more than {LIMIT:,} specs; it seems to have no end")
        for spec in specs:
            if not isinstance(spec, expected):
                raise _Refused(f"{hook} answered with {type(spec).__name__} {spec!r:.60}, not with {expected.__name__}")
            if not (isinstance(spec.name, str) and is_name(spec.name)):
                raise _Refused(f"{hook}: {spec.name!r} is no name; use lower-case words joined by single hyphens")
            if not (isinstance(spec.config, type) and issubclass(spec.config, Config)):
                raise _Refused(f"{hook}: the config of '{spec.name}' is {spec.config!r}, not a subclass of Config")
            if not (
                isinstance(spec.aliases, tuple) and all(isinstance(one, str) and is_name(one) for one in spec.aliases)
            ):
                raise _Refused(f"{hook}: the aliases of '{spec.name}' are {spec.aliases!r}, not a tuple of names")
        names = [name for spec in specs for name in spec.names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise _Refused(f"{hook} names {join_words(twice)} more than once")
        return specs


def _told(error: BaseException) -> str:
    """Write an exception in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of a stranger's class, whose __str__ is broken too
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
