"""Out of memory: halve the batch and continue, or one sentence. Also the peak memory of this process."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOMEM
from pathlib import Path
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from taskgraft.errors import MachineError

_Result = TypeVar("_Result")


class NotEnoughMemory(MachineError):
    """Work that does not fit into memory, however small the batch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a device, or the machine, is out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == ENOMEM
    if not isinstance(error, RuntimeError):
        return False
    return "Cannot allocate memory" in str(error) or bool(should_reduce_batch_size(RuntimeError(str(error))))


@contextmanager
def memory_errors(action: str) -> Iterator[None]:
    """Raise NotEnoughMemory for an error that means it.

    Args:
        action: what was done, for the message, and what to set: "load the model. Choose a smaller one.".
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise NotEnoughMemory(f"There is not enough memory{_asked_for(str(error))} to {action}") from None


def _asked_for(problem: str) -> str:
    """Find in the message of an allocator how much it was asked for at once."""
    if found := re.search(r"allocate (\d+) bytes", problem):
        return f" (could not allocate {int(found[1]) / 1e9:,.1f} GB)"
    found = re.search(r"allocate ([\d.]+) ([KMGTP]i?B)", problem)
    return f" (could not allocate {found[1]} {found[2]})" if found else ""


def halve_on_oom(
    rows: Sequence[int], work: Callable[[Sequence[int]], _Result]
) -> Iterator[tuple[Sequence[int], _Result]]:
    """Do some work for all rows at once, or for halves of them where memory runs out; yield rows and results in order.

    Raises:
        NotEnoughMemory: if a single row does not fit.
    """
    try:
        result = work(rows)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        yield rows, result
        return
    # Out of memory. The error is gone by now, and with it the tensors that its traceback referred to.
    if len(rows) == 1:
        advice = "Shorten the inputs, or choose a smaller backbone."
        raise NotEnoughMemory(f"There is not enough memory for a forward pass with a single row. {advice}")
    clear_device_cache()
    half = len(rows) // 2
    yield from halve_on_oom(rows[:half], work)
    yield from halve_on_oom(rows[half:], work)


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes, without its loader workers.

    On Linux it is the kernel's mark for this program alone: the one of :mod:`resource` starts with the parent process.
    """
    status = Path("/proc/self/status")
    if status.is_file() and (mark := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(mark[1]) * 1024
    import resource  # not on Windows

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024
