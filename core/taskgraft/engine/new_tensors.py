"""A limit on the tensors that a model is built from before it has weights: settings of a few bytes may ask for gigabytes."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from taskgraft.errors import TaskgraftError
from taskgraft.files.limits import limit

BYTES_VARIABLE, MAX_BYTES = "TASKGRAFT_NEW_BYTES", 4 * 2**30
"""Bytes of new tensors in a backbone with random weights, in a head, and in the modules of a strategy: a billion float32."""

TENSORS_VARIABLE, MAX_TENSORS = "TASKGRAFT_NEW_TENSORS", 10_000
"""Number of tensors in a model, also on the meta device: each takes time. Models of a hundred layers have a few thousand."""

ARTIFACT_RATIO, ARTIFACT_FREE = 4, 128 * 2**20
"""New tensors of an artifact are stored in it, but for some that are made anew from a seed: its own size this many times, and
this many bytes."""

_Built = TypeVar("_Built")

_ARTIFACT: ContextVar[int | None] = ContextVar("artifact", default=None)


class ModelTooLarge(TaskgraftError):
    """A model, or a part of one, that has more tensors or bytes than a limit."""


@contextmanager
def tensors_of_artifact(size: int) -> Iterator[None]:
    """Limit the new tensors of a block to those that fit an artifact whose tensors have ``size`` bytes."""
    before = _ARTIFACT.set(ARTIFACT_RATIO * size + ARTIFACT_FREE)
    try:
        yield
    finally:
        _ARTIFACT.reset(before)


@contextmanager
def limit_new_tensors(what: str, *, planned: bool = False) -> Iterator[None]:
    """Limit the bytes and the number of the tensors that a block creates.

    Args:
        what: whose tensors they are, for the message ("the head 'classification'").
        planned: whether to count the bytes of tensors on the meta device too, which take no memory yet.

    Raises:
        ModelTooLarge: before memory is taken.
    """
    with _Limit(what, _ARTIFACT.get(), planned=planned):
        yield


def build_limited(what: str, build: Callable[[], _Built]) -> _Built:
    """Build a model on the meta device, to check its size, and then for real. Raises as :func:`limit_new_tensors`."""
    with torch.device("meta"), limit_new_tensors(what, planned=True):
        build()
    return build()


class _Limit(TorchDispatchMode):
    def __init__(self, what: str, artifact: int | None, *, planned: bool):
        super().__init__()  # type: ignore[no-untyped-call]
        self._what, self._artifact, self._planned = what, artifact, planned
        self._most = limit(BYTES_VARIABLE, MAX_BYTES) if artifact is None else artifact
        self._most_tensors = limit(TENSORS_VARIABLE, MAX_TENSORS)
        self._bytes = self._tensors = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        settings = kwargs or {}
        if (elements := _elements(func, args, settings)) is not None:
            self._tensors += 1
            if self._tensors > self._most_tensors:
                problem = f"more than {self._most_tensors:,} tensors; {TENSORS_VARIABLE} sets the limit"
                raise ModelTooLarge(f"{self._what} would have {problem}.")
            if self._planned or torch.device(settings.get("device") or "cpu").type != "meta":
                dtype = settings.get("dtype") or getattr(args[0], "dtype", None) or torch.get_default_dtype()
                self._bytes += elements * dtype.itemsize
            if self._bytes > self._most:
                raise ModelTooLarge(self._problem())
        return func(*args, **settings)

    def _problem(self) -> str:
        if self._artifact is not None:
            return (
                f"{self._what} would have more than {self._most:,} bytes of new tensors, {ARTIFACT_RATIO} times those that the "
                f"artifact has stored and {ARTIFACT_FREE:,} more, so the artifact cannot be what was saved."
            )
        return (
            f"{self._what} would have more than {self._most:,} bytes of new tensors; {BYTES_VARIABLE} sets the limit."
        )


_BY_SIZE = frozenset(
    f"aten::{prefix}{name}"
    for name in ("empty", "empty_strided", "full", "ones", "rand", "randint", "randn", "zeros")
    for prefix in ("", "new_")
)
"""Operators that make a tensor of the size they are given."""


def _elements(func: Any, args: Any, settings: Any) -> int | None:
    """Return how many elements an operator makes from nothing; None for one that computes."""
    name = func._schema.name
    if name in _BY_SIZE:
        places = [argument.name for argument in func._schema.arguments]
        size = settings.get("size", args[places.index("size")] if places.index("size") < len(args) else ())
        return math.prod(int(one) for one in size)
    if name == "aten::arange":
        ends = [one for one in args if isinstance(one, int | float)][:2]
        return math.ceil(abs(ends[-1] - (ends[0] if len(ends) == 2 else 0))) if ends else None
    if name == "aten::eye":
        return int(args[0]) * int(args[1] if len(args) > 1 else args[0])
    return None
