"""The random state of the caller, which stays as it was, and the seed of everything that a fit draws."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def restored_random_state(*, start_device: bool = False) -> Iterator[None]:
    """Give torch (CPU and accelerator), numpy and Python their random state back at the end, also after an error.

    Args:
        start_device: whether the block uses the accelerator of this machine. Without that, a device that was not used before
            is left alone, since reading its state would start it.
    """
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    device = _device(start=start_device)
    states = None if device is None else _get_states(device)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(cpu)
        if device is not None:
            _set_states(device, states)


def seed_generators(seed: int) -> None:
    """Seed torch, numpy's global generator and Python's; plugins may draw from any of them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


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
