"""What every function of the Python API does around its work."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskgraft.composition.plugin_errors import plugin_errors
from taskgraft.engine.random_state import restored_random_state


@contextmanager
def entry_point(*, start_device: bool = False) -> Iterator[None]:
    """Leave the caller's random state as it was, and name the plugin that an unexpected exception comes from.

    Args:
        start_device: as for :func:`taskgraft.engine.random_state.restored_random_state`.
    """
    with restored_random_state(start_device=start_device), plugin_errors():
        yield
