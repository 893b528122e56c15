"""What every function of the Python API does around its work."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskgraft.composition.plugin_errors import plugin_errors
from taskgraft.engine.memory import memory_errors
from taskgraft.engine.random_state import Use, restored_random_state


@contextmanager
def entry_point(action: str, use: Use = Use.READ) -> Iterator[None]:
    """Leave the caller's random state as it was, name the plugin of an unexpected exception, and say when memory runs out.

    Args:
        action: as for :func:`taskgraft.engine.memory.memory_errors`.
        use: as for :func:`taskgraft.engine.random_state.restored_random_state`.
    """
    with restored_random_state(use), plugin_errors(), memory_errors(action):
        yield
