"""Trace a forward pass on the meta device, where nothing is computed and weights need no memory.

This answers two questions about any model: in which order its modules are called and with which output shapes; and before which
modules the pass can be cut, because everything later depends on the pixels only through that module's input.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 2
"""Batch size of a traced pass."""

Forward = Callable[[nn.Module, Tensor], Sequence[Tensor]]
"""Calls a model on pixels, ``(batch, channel, height, width)``; returns the tensors that features are made of."""

Shapes = tuple[tuple[int, ...], ...]
"""Shapes of a module's output tensors, with ``ROWS`` rows."""


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        start, end: position among the starts and ends of all calls.
        shapes: of its output, a tensor or a list of tensors; None if it is something else.
        is_list: whether the output is a list or tuple.
        depends_on_pixels: whether the output depends on the pixels.
    """

    start: int
    end: int
    shapes: Shapes | None
    is_list: bool
    depends_on_pixels: bool


@dataclass(frozen=True)
class Trace:
    """A traced pass.

    Attributes:
        calls: path of a module → its calls, in order.
        outputs: the shapes of the outputs.
    """

    calls: Mapping[str, tuple[Call, ...]]
    outputs: Shapes


@dataclass(frozen=True)
class DataFlow:
    """How the outputs of a pass depend on the inputs of some modules.

    Attributes:
        cuts: numbers of those modules, from 1, such that everything later depends on the pixels only through the module's
            input.
        sources: for each output, the number of the last of those modules that it depends on; 0 if it depends on none.
    """

    cuts: frozenset[int]
    sources: tuple[int, ...]


def trace(model: nn.Module, forward: Forward, pixels: tuple[int, int, int]) -> Trace:
    """Trace one pass.

    Args:
        model: on the meta device, in eval mode.
        pixels: channels, height and width.
    """
    calls: dict[str, list[Call]] = {}
    starts: dict[str, list[int]] = {}
    clock = iter(range(10**9))

    def record_start(path: str) -> Callable[..., None]:
        return lambda *_: starts.setdefault(path, []).append(next(clock))

    def record_end(path: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: object, output: object) -> None:
            tensors = as_tensors(output)
            shapes = None if tensors is None else tuple(tuple(tensor.shape) for tensor in tensors)
            depends_on_pixels = tensors is None or any(tensor.requires_grad for tensor in tensors)
            call = Call(starts[path].pop(), next(clock), shapes, not isinstance(output, Tensor), depends_on_pixels)
            calls.setdefault(path, []).append(call)

        return record

    with ExitStack() as hooks, _grad_enabled():
        for path, module in model.named_modules():
            hooks.callback(module.register_forward_pre_hook(record_start(path)).remove)
            hooks.callback(module.register_forward_hook(record_end(path)).remove)
        outputs = forward(model, _meta_pixels(model, pixels))
    return Trace(
        {path: tuple(records) for path, records in calls.items()}, tuple(tuple(output.shape) for output in outputs)
    )


def find_cuts(
    model: nn.Module, forward: Forward, pixels: tuple[int, int, int], entries: Sequence[str | None]
) -> DataFlow:
    """Find out before which of some modules a pass can be cut.

    The input of each is detached from the autograd graph, so what later tensors depend on shows which inputs they use.

    Args:
        entries: paths of modules in the order in which they are called, each once; None to skip one.
    """
    leaves: dict[int, int] = {}
    inputs_seen: list[tuple[int, frozenset[int]]] = []
    alive: list[Tensor] = []

    def detach_input(number: int) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            hidden = as_tensors(first_input(inputs, named))
            if hidden is None:
                return None
            inputs_seen.append((number, _source_numbers(hidden, leaves)))
            detached = [tensor.detach().requires_grad_() for tensor in hidden]
            alive.extend(detached)  # leaves are known by id, so they must not be freed
            leaves.update({id(tensor): number for tensor in detached})
            return replace_first_input(inputs, named, [tensor.clone() for tensor in detached])

        return hook

    with ExitStack() as hooks, _grad_enabled():
        for number, path in enumerate(entries, start=1):
            if path is not None:
                module = model.get_submodule(path)
                hooks.callback(module.register_forward_pre_hook(detach_input(number), with_kwargs=True).remove)
        start = _meta_pixels(model, pixels)
        leaves[id(start)] = 0
        outputs = forward(model, start)
    output_sources = [_source_numbers([output], leaves) for output in outputs]
    sources = tuple(max(numbers, default=0) for numbers in output_sources)
    return DataFlow(frozenset(_valid_cuts(inputs_seen, output_sources, sources)), sources)


def _valid_cuts(
    inputs_seen: Sequence[tuple[int, frozenset[int]]], output_sources: Sequence[frozenset[int]], sources: Sequence[int]
) -> Iterator[int]:
    """Yield the modules that are called once and before which nothing is used afterwards but their own input."""
    last = max(sources, default=0)
    final = [numbers for numbers, source in zip(output_sources, sources, strict=True) if source == last]
    for position, (number, _) in enumerate(inputs_seen):
        later = [numbers for _, numbers in inputs_seen[position + 1 :]] + final
        after = [numbers for numbers, source in zip(output_sources, sources, strict=True) if source >= number]
        if (
            all(min(numbers, default=number) >= number for numbers in later)
            and all(min(numbers, default=0) >= number for numbers in after)
            and [other for other, _ in inputs_seen].count(number) == 1
        ):
            yield number


def used_parameters(model: nn.Module, forward: Forward, pixels: tuple[int, int, int]) -> frozenset[str]:
    """Name the parameters that the outputs of a pass depend on."""
    names = {id(parameter.requires_grad_()): name for name, parameter in model.named_parameters()}
    with _grad_enabled():
        outputs = forward(model, torch.empty(ROWS, *pixels, device="meta"))
    used = frozenset(
        names[leaf] for leaf in _find_leaves([output for output in outputs if output.requires_grad], names)
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return used


def as_tensors(value: object) -> list[Tensor] | None:
    """Return a tensor, or a list or tuple of tensors, as a list; None for anything else."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(item, Tensor) for item in value):
        return list(value)
    return None


def first_input(inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Return the first input of a call."""
    return inputs[0] if inputs else next(iter(named.values()), None)


def replace_first_input(inputs: tuple[Any, ...], named: Mapping[str, Any], hidden: Sequence[Tensor]) -> Any:
    """Replace the first input of a call by other tensors; the result is what a pre-hook with keyword arguments returns."""
    old = first_input(inputs, named)
    new = hidden[0] if isinstance(old, Tensor) else type(old)(hidden)
    if inputs:
        return (new, *inputs[1:]), dict(named)
    return inputs, {**named, next(iter(named)): new}


@contextmanager
def _grad_enabled() -> Iterator[None]:
    """Record the autograd graph, also if the caller disabled it."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _meta_pixels(model: nn.Module, size: tuple[int, int, int]) -> Tensor:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return torch.empty(ROWS, *size, device="meta", requires_grad=True)


def _source_numbers(tensors: Sequence[Tensor], leaves: Mapping[int, int]) -> frozenset[int]:
    """Find the numbers of the leaves that tensors depend on."""
    return frozenset(leaves[leaf] for leaf in _find_leaves(tensors, leaves))


def _find_leaves(tensors: Sequence[Tensor], known: Collection[int]) -> set[int]:
    """Find the leaves, by id, that tensors depend on in the autograd graph."""
    leaves = {id(tensor) for tensor in tensors if id(tensor) in known}
    stack: list[Any] = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    visited: set[Any] = set(stack)
    while stack:
        node = stack.pop()
        leaf = id(getattr(node, "variable", None))  # of an AccumulateGrad node
        if leaf in known:
            leaves.add(leaf)
        previous = {function for function, _ in node.next_functions if function is not None} - visited
        visited |= previous
        stack += previous
    return leaves
