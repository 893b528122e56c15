"""The state of an optimizer or a callback, in a form that a checkpoint can hold: JSON and named tensors."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from taskgraft.errors import TaskgraftError

_TENSOR, _DICT, _LIST, _TUPLE = "tensor", "dict", "list", "tuple"
"""Kinds of value that JSON does not tell apart, or cannot hold. Each is a list of one of these words and its content."""


class UnsavedState(TaskgraftError):
    """A state that a checkpoint cannot hold."""


def pack_state(state: Any, whose: str) -> tuple[Any, dict[str, Tensor]]:
    """Separate the tensors of a nested state from the rest.

    Args:
        state: tensors, texts, numbers, booleans, None, and lists, tuples and dicts of those with texts or integers as keys.
        whose: for messages ("the optimizer 'sgd'").

    Returns:
        plain JSON, and copies of the tensors, by names without dots.

    Raises:
        UnsavedState: for anything else, with its place.
    """
    tensors: dict[str, Tensor] = {}
    return _pack(state, (), whose, tensors), tensors


def unpack_state(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what :func:`pack_state` was given, with equal bits.

    Raises:
        ValueError: with a clause, if the two do not belong together.
    """
    used: set[str] = set()
    state = _unpack(packed, tensors, used)
    if spare := sorted(tensors.keys() - used):
        raise ValueError(f"nothing refers to its tensor {spare[0]}")
    return state


def _pack(value: Any, place: tuple[str, ...], whose: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().clone()
        return [_TENSOR, name]
    if isinstance(value, Mapping) and all(type(key) in (str, int) for key in value):
        return [_DICT, [[key, _pack(inner, (*place, str(key)), whose, tensors)] for key, inner in value.items()]]
    if type(value) in (list, tuple):
        inner = [_pack(one, (*place, str(index)), whose, tensors) for index, one in enumerate(value)]
        return [_TUPLE if type(value) is tuple else _LIST, inner]
    if value is None or type(value) in (str, int, float, bool):
        return value
    where = f", under {'.'.join(place)}" if place else ""
    raise UnsavedState(
        f"{whose[:1].upper()}{whose[1:]} has a {type(value).__name__} in its state{where}, which a checkpoint cannot hold. "
        "Keep tensors, texts, numbers, and lists and dicts of them."
    )


def _unpack(packed: Any, tensors: Mapping[str, Tensor], used: set[str]) -> Any:
    if not isinstance(packed, list):
        return packed
    if len(packed) != 2:
        raise ValueError("its state is not written as states are")
    kind, content = packed
    if kind == _TENSOR and isinstance(content, str):
        if content not in tensors:
            raise ValueError(f"its state lacks the tensor {content}")
        used.add(content)
        return tensors[content].clone()
    if kind == _DICT and isinstance(content, list) and all(isinstance(one, list) and len(one) == 2 for one in content):
        return {key: _unpack(inner, tensors, used) for key, inner in content}
    if kind in (_LIST, _TUPLE) and isinstance(content, list):
        inner = [_unpack(one, tensors, used) for one in content]
        return tuple(inner) if kind == _TUPLE else inner
    raise ValueError("its state is not written as states are")
