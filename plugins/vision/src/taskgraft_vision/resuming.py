"""Cuts of a model whose forward pass was traced: run up to a block, and on from there, by the model's own forward.

What runs before the cut and depends on the pixels is answered with zeros of the shape that was traced, at no cost; the block at
the cut is given the stored state. What does not depend on the pixels (position tables, rotary angles) is computed again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft_vision.trace import ROWS, Call, Run, Trace, first, flat, with_first


class Stopped(Exception):
    """Ends a pass early, with what was to be read next."""

    def __init__(self, hidden: Any):
        super().__init__()
        self.hidden = hidden


class Stop(nn.Module):
    """Stands where a model is cut off, and ends the pass with the tensors that arrive."""

    def forward(self, hidden: Any, *inputs: Any, **named: Any) -> Any:
        """Raise :class:`Stopped`."""
        raise Stopped(hidden)


@dataclass(frozen=True)
class Stretch:
    """One way of running a model, and what a trace found of it.

    Attributes:
        entries: the module at each cut, by number of the cut.
        sources: for each output of the run, the last cut before it, counting from 1; 0 when it comes from before all of them.
    """

    run: Run
    traced: Trace
    entries: Mapping[int, str]
    sources: tuple[int, ...]

    def whole(self, model: nn.Module, pixels: Tensor) -> list[Tensor]:
        """Run everything."""
        return list(self.run(model, pixels))

    def run_to(self, model: nn.Module, cut: int, pixels: Tensor) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Run up to a cut.

        Returns:
            what the block at the cut reads, and the outputs that come from before it, by their number.
        """
        early = [number for number, source in enumerate(self.sources) if source < cut]
        caught: list[list[Tensor]] = []

        def catch(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            hidden = flat(first(inputs, named))
            assert hidden is not None, "a cut lies where tensors are handed on"
            caught.append(hidden)
            if not early:
                raise Stopped(None)

        with ExitStack() as changed:
            block = model.get_submodule(self.entries[cut])
            changed.callback(block.register_forward_pre_hook(catch, with_kwargs=True).remove)
            if early:
                for path in self._after(cut):
                    changed.enter_context(_answering(model, path, self.traced.calls[path], pixels))
            try:
                outputs = self.run(model, pixels)
            except Stopped:
                return caught[0], {}
        return caught[0], {number: outputs[number] for number in early}

    def resume(
        self,
        model: nn.Module,
        cut: int,
        hidden: Sequence[Tensor],
        early: Mapping[int, Tensor],
        size: tuple[int, int, int],
    ) -> list[Tensor]:
        """Run on from a cut.

        Args:
            hidden: what the block at the cut reads.
            early: outputs from before the cut.
            size: channels, height and width of the pixels, which are not needed.
        """

        def replace(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            return with_first(inputs, named, hidden)

        pixels = hidden[0].new_zeros(()).expand(len(hidden[0]), *size)
        with ExitStack() as changed:
            block = model.get_submodule(self.entries[cut])
            for path in self._before(cut):
                changed.enter_context(_answering(model, path, self.traced.calls[path], hidden[0]))
            changed.callback(block.register_forward_pre_hook(replace, with_kwargs=True).remove)
            outputs = list(self.run(model, pixels))
        return [early.get(number, output) for number, output in enumerate(outputs)]

    def _before(self, cut: int) -> list[str]:
        start = self.traced.calls[self.entries[cut]][0].start
        return self._outermost([path for path, calls in self.traced.calls.items() if calls[-1].end < start])

    def _after(self, cut: int) -> list[str]:
        start = self.traced.calls[self.entries[cut]][0].start
        return self._outermost([path for path, calls in self.traced.calls.items() if calls[0].start >= start])

    def _outermost(self, paths: Sequence[str]) -> list[str]:
        """Leave out what lies inside another of them, and what cannot be answered for."""
        known = {path for path in paths if _answerable(self.traced.calls[path])}
        return [path for path in known if not any(f"{path}.".startswith(f"{other}.") for other in known - {path})]


def _answerable(calls: Sequence[Call]) -> bool:
    shapes = {call.shapes for call in calls}
    return len(shapes) == 1 and None not in shapes and all(call.tainted for call in calls)


@contextmanager
def _answering(model: nn.Module, path: str, calls: Sequence[Call], like: Tensor) -> Iterator[None]:
    """Let a module answer with zeros of its traced shape, for as many rows as ``like`` has."""
    shapes, many = calls[0].shapes or (), calls[0].many
    module = model.get_submodule(path)

    def answer(*inputs: object, **named: object) -> Any:
        zeros = [
            torch.zeros((shape[0] // ROWS * len(like), *shape[1:]), dtype=like.dtype, device=like.device)
            for shape in shapes
        ]
        return zeros if many else zeros[0]

    module.forward = answer
    try:
        yield
    finally:
        del module.forward
