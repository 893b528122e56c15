"""Map a function over items in worker processes, results in the order of the items.

PyTorch's DataLoader is not used: when shared memory is full, it waits for ever; when a worker is killed, its handler of SIGCHLD
raises a RuntimeError wherever the main thread happens to be.
"""

import math
import multiprocessing
import os
import pickle
import random
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from copy import copy
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import numpy as np
import torch

from taskgraft.composition.plugin_errors import note_plugin
from taskgraft.errors import MachineError, TaskgraftError
from taskgraft.files.limits import InvalidLimit, limit
from taskgraft.process_wide import safe_children
from taskgraft.processes.channel import Channel
from taskgraft.processes.parent import end_with_parent, signal_name

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

MAX_WORKERS = 8
"""Worker processes when the user sets no number; more are rarely faster."""

WORKERS_VARIABLE, TIMEOUT_VARIABLE = "TASKGRAFT_WORKERS", "TASKGRAFT_WORKER_TIMEOUT"
"""Environment variables: the number of worker processes, in place of ``training.workers``; and the seconds in which a worker
must answer."""

PER_CORE = 8
"""Workers for each core that a recipe may ask for: each takes a few hundred megabytes."""

TIMEOUT = 600.0
"""Seconds in which a worker must answer, by default. It loads one batch in that time."""

_AHEAD = 2
"""Items that each worker has ahead of those that are used."""

_ADVICE = (
    f"Load in this process: training.workers = 0 in the recipe, or {WORKERS_VARIABLE}=0 in the environment, which also applies "
    "to predict, evaluate and features"
)


class WorkerLost(MachineError):
    """A worker process that was killed, or does not answer."""


def worker_count(wanted: int | None, *, heavy: bool) -> int:
    """Choose the number of worker processes: the environment's, the setting, or (None) by the machine if work is heavy.

    Raises:
        InvalidLimit: for an environment variable that is no whole number.
        WorkerLost: for many more workers than cores.
    """
    if WORKERS_VARIABLE in os.environ:
        return limit(WORKERS_VARIABLE, MAX_WORKERS)
    if wanted is not None:
        if wanted > (most := PER_CORE * _cores()):
            raise WorkerLost(
                f"training.workers is {wanted:,}, more than {most:,}: {PER_CORE} for each core of this machine. Use fewer, "
                f"or set {WORKERS_VARIABLE} in the environment, which has no limit."
            )
        return wanted
    return min(_cores(), MAX_WORKERS) if heavy else 0


def parallel_map(work: Callable[[_Item], _Result], items: Sequence[_Item], workers: int) -> Iterator[_Result]:
    """Call a function for each item.

    Args:
        work: is copied to the workers; nothing that it changes comes back.
        workers: processes; 0 works here.

    Yields:
        the results, in the order of the items.

    Raises:
        WorkerLost: when a worker cannot be started, was killed, or does not answer in time.
        Exception: as the function raised it, with a note on the plugin that it comes from and its traceback in the worker.
    """
    count = min(workers, len(items)) if len(items) > 1 else 0
    if not count:
        yield from map(work, items)
        return
    timeout = _timeout()
    pool: list[_Worker] = []
    try:
        for index in range(count):
            pool.append(_Worker(work, items, index))
        ahead = min(count * _AHEAD, len(items))
        for place in range(ahead):
            pool[place % count].start(place)
        for place in range(len(items)):
            result = pool[place % count].result(timeout)
            if place + ahead < len(items):
                pool[(place + ahead) % count].start(place + ahead)
            yield result
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """A worker process. It answers in the order in which it was asked."""

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any], index: int):
        try:
            self._channel, other = Channel.pair()
        except OSError as error:
            raise _not_started(index, error) from None
        with closing(other):
            create, arguments = multiprocessing.get_context().Process, (other, work, items, index)
            self._process: BaseProcess = create(target=_serve, args=arguments, daemon=True)
            try:
                with safe_children():  # where a worker is a Python of its own, not a fork
                    self._process.start()
            except OSError as error:
                self._channel.close()
                raise _not_started(index, error) from None
            except (pickle.PicklingError, AttributeError, TypeError) as error:  # where workers are not forked
                self._channel.close()
                raise WorkerLost(
                    f"What loader processes work with cannot be sent to them: {error}. Define functions and classes at the top "
                    f"level of a module. Or load in this process: training.workers = 0."
                ) from error

    def start(self, place: int) -> None:
        """Ask for the result of the item at a place."""
        with suppress(OSError):  # a killed worker is found when its result is needed
            self._channel.connection.send(place)

    def result(self, timeout: float) -> Any:
        """Wait for the next result.

        Raises:
            WorkerLost, Exception: as :func:`parallel_map` does.
        """
        try:
            result = self._channel.receive(timeout)
        except TimeoutError:
            seconds = "1 second" if timeout == 1 else f"{timeout:g} seconds"
            raise WorkerLost(
                f"A loader process has not answered for {seconds}. If a single batch takes longer, raise the "
                f"environment variable {TIMEOUT_VARIABLE} (in seconds). {_ADVICE}."
            ) from None
        except (EOFError, OSError):
            raise WorkerLost(self._lost()) from None
        if isinstance(result, _Failed):
            raise result.error
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._channel.close()

    def _lost(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"A loader process ended with code {code}. {_ADVICE}, and see why."
        name = signal_name(code)
        if name == "SIGBUS":
            why = "as happens when shared memory (docker run --shm-size) or a disk is full, or a mapped file was cut"
        elif name == "SIGKILL":
            why = "as happens when memory runs out"
        else:
            why = "caused by native code of a library or by another process"
        return f"A loader process was killed by {name}, {why}. {_ADVICE}; or give the machine or container more memory."


def _not_started(index: int, error: OSError) -> WorkerLost:
    return WorkerLost(f"Loader process {index + 1} cannot be started: {error.strerror}. {_ADVICE}.")


class _Failed:
    """Carries an error out of a worker."""

    def __init__(self, error: Exception):
        self.error = error


def _serve(channel: Channel, work: Callable[[Any], Any], items: Sequence[Any], index: int) -> None:
    """Work for the places that arrive, until the channel is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent may handle or ignore it, and ends this process with it
    if hasattr(signal, "SIGHUP") and callable(signal.getsignal(signal.SIGHUP)):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    end_with_parent(partial(wait, [parent.sentinel]))
    torch.set_num_threads(1)
    random.seed(index)
    np.random.seed(index)
    torch.manual_seed(index)
    with suppress(EOFError, OSError):
        while True:
            place: int = channel.connection.recv()
            result = _call(work, items[place])
            try:
                channel.send(result)
            except (pickle.PicklingError, TypeError, AttributeError, ValueError, MemoryError, RecursionError) as error:
                channel.send(_failed(error))


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    try:
        return work(item)
    except TaskgraftError as error:
        return _Failed(error)
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> _Failed:
    """Carry an unexpected error: as it is, or as a RuntimeError if it cannot be pickled."""
    note_plugin(error)
    error.add_note(f"In a worker process:\n{''.join(traceback.format_exception(error))}")
    if _can_be_sent(error):
        return _Failed(error)
    substitute = RuntimeError(f"{type(error).__name__}: {error}")
    substitute.__dict__.update(error.__dict__ if _can_be_sent(error.__dict__) else {"__notes__": error.__notes__})
    return _Failed(substitute)


def _can_be_sent(value: object) -> bool:
    """Say whether an object arrives in another process as it is."""
    try:
        return bool(pickle.dumps(copy(value)))  # a copy is made as one that arrives is
    except Exception:  # classes of plugins may fail in any way
        return False


def _timeout() -> float:
    """Return the seconds in which a worker must answer. Raises InvalidLimit."""
    text = os.environ.get(TIMEOUT_VARIABLE, str(TIMEOUT))
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise InvalidLimit(f"The environment variable {TIMEOUT_VARIABLE} is {text!r:.60}, not a number of seconds above 0.")


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
