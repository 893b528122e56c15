"""Run a traced model up to a cut, and from a cut to its outputs, with the model's own forward.

When resuming from a cut, every module before it whose output depends on the pixels returns zeros of its traced shape, at no
cost, and the block at the cut gets the stored state. What does not depend on the pixels (position tables, rotary angles) is
recomputed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft_vision.trace import ROWS, Call, Forward, Trace, as_tensors, first_input, replace_first_input


class CutReached(Exception):
    """Ends a pass at a cut, whose input was recorded. Forward functions let it pass: only the cut's own caller catches it."""


class ForwardStopped(Exception):
    """Ends the pass of a truncated model; carries the input of the module that would run next."""

    def __init__(self, hidden: Any):
        super().__init__()
        self.hidden = hidden


class StopForward(nn.Module):
    """Replaces the first removed module of a truncated model, and ends the pass."""

    def forward(self, hidden: Any, *inputs: Any, **named: Any) -> Any:
        """Raise :class:`ForwardStopped`."""
        raise ForwardStopped(hidden)


@dataclass(frozen=True)
class TracedForward:
    """A forward function and what its trace showed.

    Attributes:
        entries: number of a cut → path of the module at it.
        sources: for each output, the last cut before it, from 1; 0 if it comes before all cuts.
    """

    function: Forward
    trace: Trace
    entries: Mapping[int, str]
    sources: tuple[int, ...]

    def forward(self, model: nn.Module, pixels: Tensor) -> list[Tensor]:
        """Run the whole model."""
        return list(self.function(model, pixels))

    def forward_to_cut(self, model: nn.Module, cut: int, pixels: Tensor) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Run up to a cut.

        Returns:
            the input of the block at the cut, and the outputs that come before it, by their number.
        """
        early = [number for number, source in enumerate(self.sources) if source < cut]
        caught: list[list[Tensor]] = []

        def catch(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            hidden = as_tensors(first_input(inputs, named))
            assert hidden is not None, "the input at a cut is a tensor or a list of tensors"
            caught.append(hidden)
            if not early:
                raise CutReached

        with ExitStack() as changes:
            block = model.get_submodule(self.entries[cut])
            changes.callback(block.register_forward_pre_hook(catch, with_kwargs=True).remove)
            if early:
                for path in self._modules_after(cut):
                    changes.enter_context(_returning_zeros(model, path, self.trace.calls[path], pixels))
            try:
                outputs = self.function(model, pixels)
            except CutReached:
                return caught[0], {}
        return caught[0], {number: outputs[number] for number in early}

    def forward_from_cut(
        self,
        model: nn.Module,
        cut: int,
        hidden: Sequence[Tensor],
        early: Mapping[int, Tensor],
        size: tuple[int, int, int],
    ) -> list[Tensor]:
        """Run from a cut to the outputs.

        Args:
            hidden: the input of the block at the cut.
            early: the outputs that come before the cut, by their number.
            size: channels, height and width of the pixels, which are not needed.
        """

        def replace(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            return replace_first_input(inputs, named, hidden)

        pixels = hidden[0].new_zeros(()).expand(len(hidden[0]), *size)
        with ExitStack() as changes:
            block = model.get_submodule(self.entries[cut])
            for path in self._modules_before(cut):
                changes.enter_context(_returning_zeros(model, path, self.trace.calls[path], hidden[0]))
            changes.callback(block.register_forward_pre_hook(replace, with_kwargs=True).remove)
            outputs = list(self.function(model, pixels))
        return [early.get(number, output) for number, output in enumerate(outputs)]

    def _modules_before(self, cut: int) -> list[str]:
        start = self.trace.calls[self.entries[cut]][0].start
        return self._outermost([path for path, calls in self.trace.calls.items() if calls[-1].end < start])

    def _modules_after(self, cut: int) -> list[str]:
        start = self.trace.calls[self.entries[cut]][0].start
        return self._outermost([path for path, calls in self.trace.calls.items() if calls[0].start >= start])

    def _outermost(self, paths: Sequence[str]) -> list[str]:
        """Leave out modules inside another one of them, and those that zeros cannot replace."""
        replaceable = {path for path in paths if _is_replaceable(self.trace.calls[path])}
        return [
            path
            for path in replaceable
            if not any(f"{path}.".startswith(f"{other}.") for other in replaceable - {path})
        ]


def _is_replaceable(calls: Sequence[Call]) -> bool:
    """Whether all calls have the same known shapes and depend on the pixels."""
    shapes = {call.shapes for call in calls}
    return len(shapes) == 1 and None not in shapes and all(call.depends_on_pixels for call in calls)


@contextmanager
def _returning_zeros(model: nn.Module, path: str, calls: Sequence[Call], like: Tensor) -> Iterator[None]:
    """Make a module return zeros of its traced shape, with as many rows as ``like``."""
    shapes, is_list = calls[0].shapes or (), calls[0].is_list
    module = model.get_submodule(path)

    def return_zeros(*inputs: object, **named: object) -> Any:
        zeros = [
            torch.zeros((shape[0] // ROWS * len(like), *shape[1:]), dtype=like.dtype, device=like.device)
            for shape in shapes
        ]
        return zeros if is_list else zeros[0]

    module.forward = return_zeros
    try:
        yield
    finally:
        del module.forward
