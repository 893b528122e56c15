"""Which plugin an unexpected exception comes from: found in the traceback, for every call of the core into a plugin.

The plugin is that of the innermost frame of a plugin; the call is the one with which the core, or a library such as torch that
the core called, entered it. Errors for the user, and lack of memory, are left alone.
"""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from taskgraft.contract.specs import Spec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.errors import TaskgraftError

_CORE = "taskgraft"
_ATTRIBUTE = "taskgraft_plugin_failure"
"""The attribute of an exception that is known already, so that it survives the way out of a worker process."""

_CLASSES: Mapping[str, str] = {
    "Backbone": "backbone",
    "Processor": "backbone",
    "Head": "head",
    "HeadModule": "head",
    "Strategy": "strategy",
    "Callback": "strategy",
    "Optimizer": "optimizer",
}
"""Class of the contract, or of torch.optim → the axis of the component that it belongs to."""


@dataclass(frozen=True)
class PluginFailure:
    """Where a plugin failed.

    Attributes:
        component: ``backbone 'acme-words'``, or only the axis; None if it is not known.
        call: the function of the plugin that was called.
        place: file and line in the plugin, the innermost ones.
    """

    source: PluginSource
    component: str | None
    call: str
    place: str

    def __str__(self) -> str:
        component = "" if self.component is None else f"its {self.component}, "
        return f"The plugin {self.source} failed in {component}{self.call} ({self.place})"


def find_plugin_failure(error: BaseException) -> PluginFailure | None:
    """Find the plugin that an exception comes from; None if it comes from none, or is one that a user can act on."""
    if isinstance(error, TaskgraftError | MemoryError) or not isinstance(error, Exception) or _is_out_of_memory(error):
        return None
    known = getattr(error, _ATTRIBUTE, None)
    return known if isinstance(known, PluginFailure) else _search(error)


@contextmanager
def plugin_errors() -> Iterator[None]:
    """Add a note to an exception that comes from a plugin: which plugin, component and call. Its type stays."""
    try:
        yield
    except Exception as error:
        note_plugin(error)
        raise


def note_plugin(error: Exception) -> None:
    """Add a note to an exception that comes from a plugin, unless it has it."""
    failure = find_plugin_failure(error)
    if failure is None or getattr(error, _ATTRIBUTE, None) is not None:
        return
    error.add_note(f"{failure}.")
    try:
        setattr(error, _ATTRIBUTE, failure)
    except AttributeError:  # an exception class with slots
        return


def _search(error: Exception) -> PluginFailure | None:
    sources = {entry.source.module.partition(".")[0]: entry.source for entry in reversed(catalog().entries)}
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    packages = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in frames]
    last = next((i for i in reversed(range(len(frames))) if packages[i] in sources and packages[i] != _CORE), None)
    if last is None:
        return None
    first = last
    for index in reversed(range(last)):
        if packages[index] == _CORE:
            break
        if packages[index] == packages[last]:
            first = index
    entry, (frame, line) = frames[first][0], frames[last]
    source = sources[packages[last]]
    place = f"{Path(frame.f_code.co_filename).name}, line {line:,}"
    return PluginFailure(source, _component(entry, source), entry.f_code.co_qualname, place)


def _component(frame: FrameType, source: PluginSource) -> str | None:
    """Name the component that a call belongs to: by the function of a spec, or by the class of ``self``."""
    specs = [entry.spec for entry in catalog().entries if entry.source == source]
    for spec in specs:
        functions = (getattr(value, "__code__", None) for value in vars(spec).values())
        if any(code is frame.f_code for code in functions):
            return f"{spec.axis} '{spec.name}'"
    classes = type(frame.f_locals.get("self")).__mro__
    bases = [base.__name__ for base in classes if base.__module__.startswith((f"{_CORE}.", "torch.optim."))]
    axis = next((_CLASSES[name] for name in bases if name in _CLASSES), None)
    return None if axis is None else _only_component(axis, specs)


def _only_component(axis: str, specs: list[Spec]) -> str:
    names = [spec.name for spec in specs if spec.axis == axis]
    return f"{axis} '{names[0]}'" if len(names) == 1 else axis


def _is_out_of_memory(error: Exception) -> bool:
    return type(error).__name__ == "OutOfMemoryError"
