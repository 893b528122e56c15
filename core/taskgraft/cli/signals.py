"""SIGTERM and SIGHUP end a command as Ctrl-C does: with its sentence, without temporary files, and with its checkpoint."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")

_REPEATED_SECONDS = 5.0
"""A terminal that closes and its shell both send a signal. The second would interrupt the work that the first one caused."""


class ReceivedSignal:
    """The signal that ended a command, if one did."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._time = 0.0

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread, unless another signal did so just before."""
        repeated = self.number is not None and time.monotonic() - self._time < _REPEATED_SECONDS
        if not repeated:
            self.number, self._time = number, time.monotonic()
            raise KeyboardInterrupt


@contextmanager
def interrupted_by_signals(received: ReceivedSignal) -> Iterator[None]:
    """Let signals interrupt the block, if this is the main thread, and restore their handlers. Ignored ones stay ignored."""
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.getsignal(number) for number in numbers}
    changed = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in changed:
            signal.signal(number, received.interrupt)
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])
