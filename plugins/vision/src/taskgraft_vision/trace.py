"""What a forward pass does, seen on the meta device, where no number is computed and no weight needs memory.

Two questions are answered for any model: in which order its modules are called and what shapes they give; and at which modules
everything that comes later depends on the input through that module's input alone, so that the pass can be cut there.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 2
"""Rows of the batch that is traced."""

Run = Callable[[nn.Module, Tensor], Sequence[Tensor]]
"""Calls a model on pixels, ``(batch, channel, height, width)``; gives the tensors that features are made of."""

Shapes = tuple[tuple[int, ...], ...]
"""Shapes of the tensors in a module's output, with ``ROWS`` rows."""


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        start: when it began, and ``end`` when it ended, counted in beginnings and ends of calls.
        shapes: of its output, a tensor or a list of tensors; None when it is something else.
        many: whether the output is a list or tuple.
        tainted: whether the output depends on the pixels.
    """

    start: int
    end: int
    shapes: Shapes | None
    many: bool
    tainted: bool


@dataclass(frozen=True)
class Trace:
    """What a pass does.

    Attributes:
        calls: path of a module → its calls, in their order.
        outputs: the shapes of what the run gives.
    """

    calls: Mapping[str, tuple[Call, ...]]
    outputs: Shapes


@dataclass(frozen=True)
class Flow:
    """How information flows from the inputs of some modules to the outputs of a run.

    Attributes:
        cuts: numbers of those modules, from 1, where all that comes later depends on the pixels through the module's input
            alone.
        sources: for each output of the run, the number of the last of those modules that it comes from; 0 when it comes from
            before the first.
    """

    cuts: frozenset[int]
    sources: tuple[int, ...]


def trace(model: nn.Module, run: Run, pixels: tuple[int, int, int]) -> Trace:
    """Follow one pass.

    Args:
        model: on the meta device, in eval mode.
        pixels: channels, height and width.
    """
    found: dict[str, list[Call]] = {}
    began: dict[str, list[int]] = {}
    clock = iter(range(10**9))

    def begin(path: str) -> Callable[..., None]:
        return lambda *_: began.setdefault(path, []).append(next(clock))

    def end(path: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            some = flat(output)
            shapes = None if some is None else tuple(tuple(one.shape) for one in some)
            tainted = some is None or any(one.requires_grad for one in some)
            call = Call(began[path].pop(), next(clock), shapes, not isinstance(output, Tensor), tainted)
            found.setdefault(path, []).append(call)

        return note

    with ExitStack() as hooks, _graph():
        for path, module in model.named_modules():
            hooks.callback(module.register_forward_pre_hook(begin(path)).remove)
            hooks.callback(module.register_forward_hook(end(path)).remove)
        outputs = run(model, _pixels(model, pixels))
    calls = {path: tuple(some) for path, some in found.items()}
    return Trace(calls, tuple(tuple(output.shape) for output in outputs))


def follow(model: nn.Module, run: Run, pixels: tuple[int, int, int], entries: Sequence[str | None]) -> Flow:
    """Find out at which of some modules a pass can be cut.

    Args:
        entries: paths of modules in the order in which they are called, each once; None for one where no cut is wanted.
    """
    leaves: dict[int, int] = {}
    reached: list[tuple[int, frozenset[int]]] = []

    def cut(number: int) -> Callable[..., Any]:
        def replace(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            hidden = flat(first(inputs, named))
            if hidden is None:
                return None
            reached.append((number, _sources(hidden, leaves)))
            fresh = [one.detach().requires_grad_() for one in hidden]
            kept.extend(fresh)
            leaves.update({id(one): number for one in fresh})
            return with_first(inputs, named, [one.clone() for one in fresh])

        return replace

    kept: list[Tensor] = []
    with ExitStack() as hooks, _graph():
        for number, path in enumerate(entries, start=1):
            if path is not None:
                module = model.get_submodule(path)
                hooks.callback(module.register_forward_pre_hook(cut(number), with_kwargs=True).remove)
        start = _pixels(model, pixels)
        leaves[id(start)] = 0
        outputs = run(model, start)
    ends = [_sources([output], leaves) for output in outputs]
    sources = tuple(max(some, default=0) for some in ends)
    last = max(sources, default=0)
    final = [some for some, source in zip(ends, sources, strict=True) if source == last]
    cuts = {
        number
        for place, (number, _) in enumerate(reached)
        if all(min(some, default=number) >= number for _, some in reached[place + 1 :])
        and all(min(some, default=number) >= number for some in final)
        and all(min(some, default=0) >= number for some, source in zip(ends, sources, strict=True) if source >= number)
        and [other for other, _ in reached].count(number) == 1
    }
    return Flow(frozenset(cuts), sources)


def reached(model: nn.Module, run: Run, pixels: tuple[int, int, int]) -> frozenset[str]:
    """Name the parameters that the outputs of a pass depend on."""
    named = {id(parameter.requires_grad_()): name for name, parameter in model.named_parameters()}
    with _graph():
        outputs = run(model, torch.empty(ROWS, *pixels, device="meta"))
    found = frozenset(
        named[number] for number in _leaves([output for output in outputs if output.requires_grad], named)
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return found


def flat(value: object) -> list[Tensor] | None:
    """Give a tensor, or a list or tuple of tensors, as a list; None for anything else."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(one, Tensor) for one in value):
        return list(value)
    return None


def first(inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Give the first input of a call."""
    return inputs[0] if inputs else next(iter(named.values()), None)


def with_first(inputs: tuple[Any, ...], named: Mapping[str, Any], hidden: Sequence[Tensor]) -> Any:
    """Give the inputs of a call with other tensors as the first, in the form that a pre-hook with keywords answers."""
    old = first(inputs, named)
    new = hidden[0] if isinstance(old, Tensor) else type(old)(hidden)
    if inputs:
        return (new, *inputs[1:]), dict(named)
    return inputs, {**named, next(iter(named)): new}


@contextmanager
def _graph() -> Iterator[None]:
    """Let autograd keep its graph, whatever the caller switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _pixels(model: nn.Module, size: tuple[int, int, int]) -> Tensor:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return torch.empty(ROWS, *size, device="meta", requires_grad=True)


def _sources(tensors: Sequence[Tensor], leaves: Mapping[int, int]) -> frozenset[int]:
    """Find the numbers of the leaves that tensors depend on."""
    return frozenset(leaves[leaf] for leaf in _leaves(tensors, leaves))


def _leaves(tensors: Sequence[Tensor], known: Collection[int]) -> set[int]:
    """Find the leaves, by their identity, that tensors depend on, through the graph that autograd keeps."""
    found = {id(tensor) for tensor in tensors if id(tensor) in known}
    waiting: list[Any] = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen: set[Any] = set(waiting)
    while waiting:
        node = waiting.pop()
        leaf = id(getattr(node, "variable", None))  # what an accumulating node belongs to
        if leaf in known:
            found.add(leaf)
        fresh = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= fresh
        waiting += fresh
    return found
