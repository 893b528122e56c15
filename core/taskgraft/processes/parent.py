"""A child process that ends when its parent does, however that ends."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
"""Of ``prctl(2)``: the signal that the kernel sends when the thread that started this process ends."""


def signal_name(exit_code: int) -> str:
    """Return the name of the signal that ended a process, by its negative exit code."""
    with suppress(ValueError):  # a real-time signal has none
        return signal.Signals(-exit_code).name
    return f"signal {-exit_code}"


def end_with_parent(wait: Callable[[], object]) -> None:
    """End this process at once when its parent is gone. On Linux the kernel does it, also while C code computes.

    Args:
        wait: returns when the parent is gone. A thread waits: on other systems, and in case the parent has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_and_end, args=(wait,), daemon=True).start()


def _wait_and_end(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)
