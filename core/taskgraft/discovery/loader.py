"""Load one plugin's specs, so that a plugin that breaks affects nothing else.

pluggy checks signatures and warns about deprecated arguments. It does not load the entry points, because it stops at the first
error without naming the distribution.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from itertools import islice
from typing import Any, get_args, get_type_hints

import pluggy

from taskgraft.contract.config import Config
from taskgraft.contract.hooks import HookSpecs
from taskgraft.contract.specs import Spec
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import is_name
from taskgraft.errors import closest_match, join_words
from taskgraft.process_wide import DISCOVERY_LOCK


def spec_types(hooks: type) -> dict[str, type[Spec]]:
    """Return hook → the class of the specs that it returns, from the annotations of a class of hook specifications."""
    functions = {name: hook for name, hook in vars(hooks).items() if name.startswith("taskgraft_")}
    return {name: get_args(get_type_hints(hook)["return"])[0] for name, hook in functions.items()}


SPEC_TYPES: Mapping[str, type[Spec]] = spec_types(HookSpecs)
"""Hook → the class of the specs that it returns, for the present contract."""

HEAVY_LIBRARIES = ("torch", "transformers", "timm", "peft")
"""Libraries that discovery must not import."""

_SPEC_LIMIT = 1_000  # of one hook of one plugin, in case its generator is endless
_PUBLIC_MODULES = ("taskgraft", "taskgraft.plugin", "taskgraft.testing")
_VERSION = re.compile(r"\d+\.\d+")
_REFERENCE = re.compile(r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*)?\s*(\[.*\])?")


@dataclass(frozen=True)
class CatalogEntry:
    """A spec and its source."""

    spec: Spec
    source: PluginSource


@dataclass(frozen=True)
class LoadProblem:
    """A problem of a plugin: why it could not be loaded, or what to improve in one that works."""

    source: PluginSource
    text: str

    def __str__(self) -> str:
        return f"{self.source} ({self.text})"


class _InvalidPlugin(Exception):
    """Why a plugin cannot be used."""


@dataclass
class PluginLoader:
    """Collects the specs of plugins."""

    hooks: type
    spec_types: Mapping[str, type[Spec]]
    arguments: Mapping[str, object]
    contract: str
    entries: list[CatalogEntry] = field(default_factory=list)
    failures: list[LoadProblem] = field(default_factory=list)
    remarks: list[LoadProblem] = field(default_factory=list)

    def load(self, source: PluginSource, point: EntryPoint) -> None:
        """Import one plugin and record its specs, or the reason why it has none."""
        not_loaded = [name for name in HEAVY_LIBRARIES if name not in sys.modules]
        try:
            specs = self._load_specs(source, point)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything: SystemExit, a panic in compiled code
            self.failures.append(LoadProblem(source, _error_text(error)))
        else:
            self.entries += [CatalogEntry(spec, source) for spec in specs]
        if heavy := [name for name in not_loaded if name in sys.modules]:
            text = f"imports {join_words(heavy)} during discovery; move that import into the spec's build function"
            self.remarks.append(LoadProblem(source, text))

    def _load_specs(self, source: PluginSource, point: EntryPoint) -> list[Spec]:
        if not _REFERENCE.fullmatch(point.value):
            raise _InvalidPlugin(f"its entry point '{point.name} = {point.value}' names no module")
        module = point.load()
        self._check_contract(getattr(module, "TASKGRAFT_CONTRACT", None))
        manager = pluggy.PluginManager("taskgraft")
        manager.add_hookspecs(self.hooks)
        with DISCOVERY_LOCK, warnings.catch_warnings(record=True, action="always") as caught:
            manager.register(module)
        self._record_warnings(source, caught)
        callers = manager.get_hookcallers(module) or []
        self._check_spelling(module, [caller.name for caller in callers])
        if not callers:
            raise _InvalidPlugin(f"provides nothing: no function of {point.value} is marked with @hookimpl")
        specs: list[Spec] = []
        for caller in callers:
            for implementation in caller.get_hookimpls():
                arguments = [self.arguments[name] for name in implementation.argnames]
                specs += self._check_specs(caller.name, implementation.function(*arguments))
        if not specs:
            hooks = join_words(caller.name for caller in callers)
            raise _InvalidPlugin(f"provides nothing: {hooks} returned no spec")
        return specs

    def _record_warnings(self, source: PluginSource, caught: list[warnings.WarningMessage]) -> None:
        """Record pluggy's warnings, and issue them again at the plugin's own line."""
        for warning in caught:
            self.remarks.append(LoadProblem(source, f"{warning.message} ({warning.filename}:{warning.lineno})"))
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _check_contract(self, stated: Any) -> None:
        if stated is None:
            raise _InvalidPlugin(f'states no contract: add TASKGRAFT_CONTRACT = "{self.contract}" to its module')
        if not (isinstance(stated, str) and _VERSION.fullmatch(stated)):  # a number would read 1.10 as 1.1
            raise _InvalidPlugin(f"states the contract {stated!r}, which is not a version like {self.contract!r}")
        theirs, ours = (tuple(map(int, version.split("."))) for version in (stated, self.contract))
        if theirs > ours or theirs[0] < ours[0]:
            age, outdated = ("newer", "taskgraft") if theirs > ours else ("older", "the plugin")
            raise _InvalidPlugin(
                f"was built for contract {stated}, {age} than the installed {self.contract}: update {outdated}"
            )

    def _check_spelling(self, module: object, marked: Sequence[str]) -> None:
        """Reject a hook that does not exist, by its mark or its name, and one that was not marked."""
        named_like_hooks = [
            name for name in vars(module) if name.startswith("taskgraft_") and callable(getattr(module, name))
        ]
        for name in (*marked, *named_like_hooks):
            if name not in self.spec_types:
                hooks = {hook.partition("_")[2]: hook for hook in self.spec_types}  # all share the prefix
                near = closest_match(name.partition("_")[2], hooks)
                meant = f"did it mean '{hooks[near]}'?" if near else f"hooks: {join_words(self.spec_types)}"
                raise _InvalidPlugin(f"has a hook '{name}', which does not exist; {meant}")
        if unmarked := [name for name in named_like_hooks if name not in marked]:
            raise _InvalidPlugin(f"has {join_words(unmarked)} without @hookimpl, so it would never be called")

    def _check_specs(self, hook: str, returned: object) -> list[Spec]:
        expected = self.spec_types[hook]
        if not isinstance(returned, Iterable):
            raise _InvalidPlugin(f"{hook} returned {returned!r:.60}, not an iterable of {expected.__name__}")
        specs = list(islice(returned, _SPEC_LIMIT + 1))
        if len(specs) > _SPEC_LIMIT:
            raise _InvalidPlugin(f"{hook} returned more than {_SPEC_LIMIT:,} specs; it seems endless")
        for spec in specs:
            if not isinstance(spec, expected):
                raise _InvalidPlugin(f"{hook} returned {type(spec).__name__} {spec!r:.60}, not {expected.__name__}")
            if not is_name(spec.name):
                raise _InvalidPlugin(f"{hook}: {spec.name!r} is not a valid name (lower-case words joined by hyphens)")
            if not (isinstance(spec.config, type) and issubclass(spec.config, Config)):
                raise _InvalidPlugin(
                    f"{hook}: the config of '{spec.name}' is {spec.config!r}, not a subclass of Config"
                )
            if not (isinstance(spec.aliases, tuple) and all(map(is_name, spec.aliases))):
                raise _InvalidPlugin(f"{hook}: the aliases of '{spec.name}' are {spec.aliases!r}, not a tuple of names")
        names = [name for spec in specs for name in spec.names]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise _InvalidPlugin(f"{hook} names {join_words(repeated)} more than once")
        return specs


def _error_text(error: BaseException) -> str:
    """Write any exception in one line."""
    if isinstance(error, ImportError) and (problem := _import_problem(error)):
        return problem
    try:
        text = " ".join(str(error).split())
    except Exception:  # the exception's own __str__ may be broken too
        text = ""
    if isinstance(error, _InvalidPlugin):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _import_problem(error: ImportError) -> str | None:
    """Explain an import of something that taskgraft does not provide; None for any other import error."""
    module = error.name or ""
    if module.partition(".")[0] != "taskgraft":
        return None
    name = re.match(r"cannot import name '(\w+)'", str(error))
    if name is None or module not in _PUBLIC_MODULES:
        return f"it imports {module}, which is not public: plugins import from taskgraft.plugin"
    problem = f"it imports '{name[1]}' from {module}, which does not have it"
    if near := closest_match(name[1], getattr(sys.modules.get(module), "__all__", ())):
        return f"{problem}; did it mean '{near}'?"
    return f"{problem}: plugins import from taskgraft.plugin" if module == "taskgraft" else problem
