"""Everything a plugin needs, in one place: ``from taskgraft.plugin import BackboneSpec, hookimpl``.

A name is imported when it is first used, so a module that lists specs imports no torch, numpy or pyarrow. The names and the
modules that define them are in ``plugin.pyi``, which type checkers and editors read.
"""

from typing import Any

import lazy_loader

import taskgraft

_resolve, __dir__, __all__ = lazy_loader.attach_stub("taskgraft", __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'taskgraft.plugin' has no attribute {name!r}")
    value = globals()[name] = _resolve(name)
    vars(taskgraft).pop(name, None)  # lazy_loader remembers it there, where it is not public
    return value
