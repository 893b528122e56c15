"""Whether processes have ended."""

import time
from collections.abc import Sequence
from pathlib import Path


def is_running(process: int) -> bool:
    """Whether a process runs; one that has ended, and was not waited for, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ended_within(seconds: float, processes: Sequence[int]) -> bool:
    """Wait until all processes have ended; false when one still runs after some seconds."""
    end = time.monotonic() + seconds
    while any(map(is_running, processes)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def children(process: int) -> list[int]:
    """The processes that one has started, and that have not been waited for."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == process:
                found.append(int(folder.name))
    return found
