"""What every function of the Python API does around its work."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskgraft.composition.plugin_errors import plugin_errors
from taskgraft.engine.memory import memory_errors
from taskgraft.engine.random_state import Use, restored_random_state
from taskgraft.errors import printable, shorten
from taskgraft.files.cache_folder import cache_folder_errors
from taskgraft.reading.errors import DataError


@contextmanager
def entry_point(action: str, use: Use = Use.READ) -> Iterator[None]:
    """Leave the caller's random state as it was, and name the plugin of an unexpected exception.

    Lack of memory, a cache folder of a library that cannot be used, and a text that is no UTF-8 become errors with what to do.

    Args:
        action: as for :func:`taskgraft.engine.memory.memory_errors`.
        use: as for :func:`taskgraft.engine.random_state.restored_random_state`.
    """
    with restored_random_state(use), plugin_errors(), memory_errors(action), cache_folder_errors(), _encoding_errors():
        yield


@contextmanager
def _encoding_errors() -> Iterator[None]:
    """Raise DataError for a text of the caller that UTF-8 cannot hold, wherever a library meets it."""
    try:
        yield
    except UnicodeEncodeError as error:
        text = shorten(printable(error.object))
        advice = "Correct the cell, the setting or the name of the column or file"
        raise DataError(f"'{text}' is not valid UTF-8: it has a lone surrogate. {advice}.") from None
