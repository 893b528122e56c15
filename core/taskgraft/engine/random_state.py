"""The random state of the caller, which stays as it was, and the seed of everything that a fit draws."""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np
import torch

from taskgraft.errors import TaskgraftError


class ThreadConflict(TaskgraftError):
    """A call that would change the results of another thread, or have its own changed."""


class Use(StrEnum):
    """What a call does with the random generators, which belong to the whole process."""

    READ = "read"
    """Draws nothing, so it may run in any number of threads, also beside a fit."""
    DRAW = "draw"
    """Builds modules, whose first values are drawn and then replaced: not beside a fit of another thread."""
    FIT = "fit"
    """Its results depend on what it draws: only one at a time."""


@dataclass
class _Calls:
    """The calls of this process that have not ended.

    Attributes:
        uses: thread → its calls, outermost first.
        first: the random state when the first of them began.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    uses: dict[int, list[Use]] = field(default_factory=dict)
    first: "_RandomState | None" = None

    def begin(self, use: Use) -> "_RandomState":
        """Note a call, and return the random state. Raises ThreadConflict."""
        thread = threading.get_ident()
        with self.lock:
            others = {some for other, uses in self.uses.items() if other != thread for some in uses}
            if use != Use.READ and Use.FIT in others:
                raise ThreadConflict(_BESIDE_A_FIT[use])
            if use == Use.FIT and Use.DRAW in others:
                raise ThreadConflict(_BESIDE_A_BUILD)
            state = _RandomState.read(start_device=use == Use.FIT)
            self.first = state if not self.uses else self.first
            self.uses.setdefault(thread, []).append(use)
        return state

    def end(self, use: Use, state: "_RandomState") -> None:
        """Note the end of a call, and restore the random state unless a call of another thread still needs the present one."""
        thread = threading.get_ident()
        with self.lock:
            uses = self.uses.get(thread, [])[:-1]
            if uses:
                self.uses[thread] = uses
            else:
                self.uses.pop(thread, None)
            if use == Use.FIT or self.uses.keys() == {thread}:
                state.restore()
            elif not self.uses:  # the last of several threads
                (self.first or state).restore()


_CALLS = _Calls()


def _forget_calls() -> None:
    """Start anew in a forked process, where the other threads do not exist."""
    global _CALLS  # noqa: PLW0603
    _CALLS = _Calls()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_calls)


@contextmanager
def restored_random_state(use: Use = Use.READ) -> Iterator[None]:
    """Give torch (CPU and accelerator), numpy and Python their random state back at the end, also after an error.

    Args:
        use: a fit uses the accelerator of this machine. For others, a device that was not used before is left alone, since
            reading its state would start it.

    Raises:
        ThreadConflict: when a fit would run beside another one, or beside what draws random numbers.
    """
    state = _CALLS.begin(use)
    try:
        yield
    finally:
        _CALLS.end(use, state)


def seed_generators(seed: int) -> None:
    """Seed torch, numpy's global generator and Python's; plugins may draw from any of them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class _RandomState:
    """The state of every generator of this process; ``device`` is the module of the accelerator (``torch.cuda``), or None."""

    python: Any
    legacy: Any
    cpu: torch.Tensor
    device: Any
    states: Any

    @classmethod
    def read(cls, *, start_device: bool) -> Self:
        device = _device(start=start_device)
        states = None if device is None else _get_states(device)
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), device, states)

    def restore(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.legacy)
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            _set_states(self.device, self.states)


_ONE_AT_A_TIME = (
    "Another thread of this process is fitting a model. PyTorch's random generator is shared by the whole process, so "
    "{problem}. You can still predict with fitted models."
)

_BESIDE_A_FIT = {
    Use.FIT: _ONE_AT_A_TIME.format(
        problem="two fits would change each other's results. Fit one after the other, or in separate processes"
    ),
    Use.DRAW: _ONE_AT_A_TIME.format(
        problem="composing, loading and computing features would change its results. Do that before or after, or in another "
        "process"
    ),
}

_BESIDE_A_BUILD = (
    "Another thread of this process is composing or loading a model, or computing features. It draws from PyTorch's random "
    "generator, which the whole process shares, and would change the results of this fit. Wait, or fit in another process."
)


def _device(*, start: bool) -> Any:
    """Return the module of the accelerator (``torch.cuda``); None without one, or for one that is not in use."""
    if not torch.accelerator.is_available():
        return None
    device = torch.get_device_module(torch.accelerator.current_accelerator())
    in_use = getattr(device, "is_initialized", lambda: True)()
    return device if start or in_use else None


def _get_states(device: Any) -> Any:
    if hasattr(device, "get_rng_state_all"):
        return device.get_rng_state_all()
    return device.get_rng_state()


def _set_states(device: Any, states: Any) -> None:
    if hasattr(device, "set_rng_state_all"):
        device.set_rng_state_all(states)
    else:
        device.set_rng_state(states)
