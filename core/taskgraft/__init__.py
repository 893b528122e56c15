"""taskgraft grafts a task onto a pretrained model: backbone + head + strategy, chosen independently.

A name is imported when it is first used. The names and the modules that define them are in ``__init__.pyi``, which type
checkers and editors read.
"""

# First of all: what is imported below is not looked for in the working folder.
from taskgraft.import_path import is_command, leave_out_working_folder

if is_command():
    leave_out_working_folder()

from typing import Any

import lazy_loader

_resolve, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'taskgraft' has no attribute {name!r}")
    return _resolve(name)
