"""What to do when a device has not enough memory: the same work in smaller pieces. And how much a process held at most."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from taskgraft.errors import TaskgraftError

Result = TypeVar("Result")


@dataclass(eq=False)
class NotEnoughMemory(TaskgraftError):
    """Work that does not fit, however small its pieces."""

    doing: str
    rows: int
    advice: str

    def __str__(self) -> str:
        amount = "a single row" if self.rows == 1 else f"{self.rows:,} rows at once"
        return f"There is not enough memory for {self.doing} with {amount}. {self.advice}"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on an accelerator or on the processor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def halve_on_oom(
    rows: Sequence[int], work: Callable[[Sequence[int]], Result]
) -> Iterator[tuple[Sequence[int], Result]]:
    """Do some work on all rows at once, or in halves where memory does not suffice.

    Yields:
        rows and what the work gave for them, in the order of the rows.

    Raises:
        NotEnoughMemory: when a single row is too much.
    """
    found = _unless_full(rows, work)
    if found is not None:
        yield rows, found[0]
        return
    if len(rows) == 1:
        raise NotEnoughMemory("a pass without training", 1, "Shorten the inputs, or choose a smaller backbone.")
    release()
    half = len(rows) // 2
    yield from halve_on_oom(rows[:half], work)
    yield from halve_on_oom(rows[half:], work)


def release() -> None:
    """Give back what torch keeps for later, once nothing refers to what failed."""
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def peak_memory() -> int:
    """Give the most bytes of main memory that this process has held so far, without those of its loader workers.

    On Linux the kernel's mark for this program alone: what :mod:`resource` tells there begins with the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file() and (mark := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(mark[1]) * 1024
    import resource  # not on Windows

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def _unless_full(rows: Sequence[int], work: Callable[[Sequence[int]], Result]) -> tuple[Result] | None:
    try:
        return (work(rows),)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
