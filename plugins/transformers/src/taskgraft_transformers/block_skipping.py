"""Cuts for a model that cannot be resumed by itself: its own forward, with the first blocks passing a state through.

Whatever the model computes from the inputs' length and mask alone (attention masks, positions, relative biases) is thus
computed again on resuming. Tensors that blocks hand each other beside the hidden one are those that the first block makes of
inputs of the same length (T5's relative bias); where they hang on anything else, or differ from block to block, features come
out wrong in silence, so a cut made this way is compared with a whole pass (:mod:`taskgraft.engine.feature_checks`) before anything
stored is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn


class BlockSkipper:
    """The blocks of one model, called in order, each with the hidden tensor as its first input and output."""

    def __init__(self, blocks: Sequence[nn.Module]):
        self._blocks = blocks
        self._beside: int | None = None  # entries after the hidden tensor in a block's output; -1 for a bare tensor
        self._hands_on = False  # whether there are tensors among them

    def stop_before(self, block: int, run: Callable[[], object]) -> Tensor:
        """Run the model until a block is called, and give the hidden tensor that the block was to read.

        Args:
            block: index of the block, from 1.
            run: calls the model.
        """
        with ExitStack() as hooks:
            hooks.enter_context(_removed(self._blocks[0].register_forward_hook(self._note)))
            hooks.enter_context(_removed(self._blocks[block].register_forward_pre_hook(_stop_at, with_kwargs=True)))
            return cast(Tensor, _caught(run))

    def pass_through(self, block: int, hidden: Tensor, run: Callable[[], Any]) -> Any:
        """Run the model so that a block reads the given hidden tensor and the blocks before it do nothing.

        Where blocks hand on more than that tensor, the first one is run to make it.

        Args:
            block: index of the first block that really runs.
            hidden: ``(batch, …)``, as :meth:`stop_before` gave it.
            run: calls the model with inputs of the same batch size and length; their content does not matter.
        """
        beside = self._first_makes(run) if self._beside is None or self._hands_on else [None] * max(self._beside, 0)
        output: Any = hidden if self._beside == -1 else (hidden, *beside)
        with ExitStack() as replaced:
            for before in self._blocks[:block]:
                replaced.enter_context(_answering(before, output))
            return run()

    @torch.no_grad()
    def _first_makes(self, run: Callable[[], object]) -> list[Any]:
        """Run the model to the end of its first block, and give what that puts beside the hidden tensor."""

        def stop(module: nn.Module, inputs: object, output: Any) -> None:
            self._note(module, inputs, output)
            raise _Stopped([] if isinstance(output, Tensor) else output[1:])

        with _removed(self._blocks[0].register_forward_hook(stop)):
            return list(_caught(run))

    def _note(self, module: nn.Module, inputs: object, output: Any) -> None:
        self._beside = -1 if isinstance(output, Tensor) else len(output) - 1
        self._hands_on = self._beside > 0 and any(isinstance(entry, Tensor) for entry in output[1:])


class _Stopped(Exception):
    def __init__(self, hidden: Any):
        super().__init__()
        self.hidden = hidden


def _stop_at(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    raise _Stopped(inputs[0] if inputs else next(iter(named.values())))


def _caught(run: Callable[[], object]) -> Any:
    try:
        run()
    except _Stopped as stopped:
        return stopped.hidden
    raise RuntimeError("the model finished without calling the block; its blocks are not what they seem")


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _answering(module: nn.Module, output: Any) -> Iterator[None]:
    module.forward = lambda *inputs, **named: output
    try:
        yield
    finally:
        del module.forward
