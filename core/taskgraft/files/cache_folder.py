"""Cache folders of libraries, named by environment variables: one that cannot be used is a sentence with the variable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskgraft.errors import MachineError

_VARIABLES = (
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "TORCH_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_MODULES_CACHE",
    "HF_HOME",
    "MPLCONFIGDIR",
    "XDG_CACHE_HOME",
)
"""Each of a folder that libraries make when they are imported, or when they first store something."""


class CacheFolderError(MachineError):
    """A cache folder of a library that cannot be used."""


@contextmanager
def cache_folder_errors() -> Iterator[None]:
    """Raise CacheFolderError in place of an OSError about a file in a cache folder."""
    try:
        yield
    except OSError as error:
        if (variable := _variable_of(error.filename)) is None:
            raise
        advice = f"set the environment variable {variable} to a folder that can be written"
        problem = f"{os.fsdecode(error.filename)}: {error.strerror}"
        raise CacheFolderError(f"{problem}. This is the cache folder of a library; {advice}.") from None


def _variable_of(name: object) -> str | None:
    """Find the variable of the cache folder that cannot be used, if the file is in it, or is one of its parents."""
    if not isinstance(name, str | bytes) or not name:
        return None
    path = Path(os.fsdecode(name)).absolute()
    for variable in _VARIABLES:
        given = os.environ.get(variable) or ("~/.cache" if variable == "XDG_CACHE_HOME" else None)
        folder = None if given is None else Path(os.path.expanduser(given)).absolute()
        if folder is None or (folder.is_dir() and os.access(folder, os.W_OK)):
            continue
        if path == folder or folder in path.parents or path in folder.parents:
            return variable
    return None
