"""Resume a model that has no interface for it: run its own forward, with the first blocks replaced by a stored hidden state.

Anything that the model computes from the length and mask of the inputs alone (attention masks, positions, relative biases) is
recomputed on resuming. Blocks may pass each other further tensors if the first block makes them from inputs of the same length
(T5's relative bias). If these depend on anything else, or differ from block to block, resumed features are silently wrong. So
taskgraft compares a cut made this way with a whole forward pass on the first batch before it uses anything cached there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn


class BlockSkipper:
    """The blocks of one model, which are called in order. Each one's first input and output is the hidden state."""

    def __init__(self, blocks: Sequence[nn.Module]):
        self._blocks = blocks
        self._extra: int | None = None  # number of outputs after the hidden state; -1 for a bare tensor
        self._extra_tensors = False  # whether any of them is a tensor

    def stop_before(self, block: int, run: Callable[[], object]) -> Tensor:
        """Run the model until a block is called and return the hidden state that the block was about to read.

        Args:
            block: index of the block, from 1.
            run: calls the model.
        """
        with ExitStack() as hooks:
            hooks.enter_context(_temporary_hook(self._blocks[0].register_forward_hook(self._record_extra)))
            hook = self._blocks[block].register_forward_pre_hook(_stop_at_input, with_kwargs=True)
            hooks.enter_context(_temporary_hook(hook))
            return cast(Tensor, _run_until_stopped(run))

    def pass_through(self, block: int, hidden: Tensor, run: Callable[[], Any]) -> Any:
        """Run the model from a block on. The block reads the given hidden state; the blocks before it do nothing.

        If blocks pass on further tensors, the first block is run to compute them.

        Args:
            block: index of the first block that runs.
            hidden: ``(batch, …)``, as returned by :meth:`stop_before`.
            run: calls the model with inputs of the same batch size and length; their values do not matter.
        """
        recompute = self._extra is None or self._extra_tensors
        extra = self._first_block_extra(run) if recompute else [None] * max(self._extra or 0, 0)
        output: Any = hidden if self._extra == -1 else (hidden, *extra)
        with ExitStack() as replaced:
            for skipped in self._blocks[:block]:
                replaced.enter_context(_replaced_forward(skipped, output))
            return run()

    @torch.no_grad()
    def _first_block_extra(self, run: Callable[[], object]) -> list[Any]:
        """Run the model to the end of its first block and return the block's outputs after the hidden state."""

        def stop(module: nn.Module, inputs: object, output: Any) -> None:
            self._record_extra(module, inputs, output)
            raise _StopForward([] if isinstance(output, Tensor) else output[1:])

        with _temporary_hook(self._blocks[0].register_forward_hook(stop)):
            return list(_run_until_stopped(run))

    def _record_extra(self, module: nn.Module, inputs: object, output: Any) -> None:
        self._extra = -1 if isinstance(output, Tensor) else len(output) - 1
        self._extra_tensors = self._extra > 0 and any(isinstance(entry, Tensor) for entry in output[1:])


class _StopForward(Exception):
    def __init__(self, value: Any):
        super().__init__()
        self.value = value


def _stop_at_input(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    raise _StopForward(inputs[0] if inputs else next(iter(named.values())))


def _run_until_stopped(run: Callable[[], object]) -> Any:
    try:
        run()
    except _StopForward as stop:
        return stop.value
    raise RuntimeError("the model finished without calling the block; its list of blocks was not identified correctly")


@contextmanager
def _temporary_hook(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _replaced_forward(module: nn.Module, output: Any) -> Iterator[None]:
    module.forward = lambda *inputs, **named: output
    try:
        yield
    finally:
        del module.forward
