"""What every function of the Python API does around its work."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskgraft.composition.plugin_errors import plugin_errors
from taskgraft.engine.memory import memory_errors
from taskgraft.engine.random_state import Use, restored_random_state
from taskgraft.files.cache_folder import cache_folder_errors


@contextmanager
def entry_point(action: str, use: Use = Use.READ) -> Iterator[None]:
    """Leave the caller's random state as it was, and name the plugin of an unexpected exception.

    Lack of memory, and a cache folder of a library that cannot be used, become errors with what to set.

    Args:
        action: as for :func:`taskgraft.engine.memory.memory_errors`.
        use: as for :func:`taskgraft.engine.random_state.restored_random_state`.
    """
    with restored_random_state(use), plugin_errors(), memory_errors(action), cache_folder_errors():
        yield
