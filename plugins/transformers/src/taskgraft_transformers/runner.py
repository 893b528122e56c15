"""Forward passes through a transformers model that reads tokens: whole, up to a block, and from there on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft_transformers.block_skipping import BlockSkipper
from taskgraft_transformers.structure import Structure


class Runner:
    """Runs a transformers model that reads tokens, or the module that a strategy wraps around it (``LayerRole.MODEL``).

    The model is called with the keywords ``input_ids`` and ``attention_mask``, both ``(batch, token)`` int64, and with
    ``token_type_ids`` of the same shape if it reads segments. It returns an object whose ``last_hidden_state`` is
    ``(batch, token, feature)``.

    In all methods ``ids`` and ``segments`` are ``(batch, token)`` int64, and ``real`` is ``(batch, token)`` bool: True at
    tokens, which are on the left, False at padding. Values of ``ids`` at padding do not matter. Hidden states are
    ``(batch, token, feature)``.
    """

    def __init__(self, model: nn.Module, structure: Structure, padding: int):
        """Find the blocks of a model.

        Args:
            padding: id of the padding token.
        """
        self._padding = padding
        blocks = structure.blocks
        self._skipper = None if blocks is None else BlockSkipper(list(model.get_submodule(blocks).children()))

    def run(self, model: nn.Module, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """Run the whole model and return the last hidden state."""
        return self._call(model, ids, real, segments)()

    def run_to_cut(
        self, model: nn.Module, cut: int, ids: Tensor, real: Tensor, segments: Tensor | None = None
    ) -> Tensor:
        """Run the blocks before a cut other than 0 and return the hidden state there."""
        assert self._skipper is not None, "a model without blocks has only cut 0"
        return self._skipper.stop_before(cut, self._call(model, ids, real, segments))

    def run_from_cut(
        self, model: nn.Module, cut: int, hidden: Tensor, real: Tensor, *, segments: bool = False
    ) -> Tensor:
        """Run the blocks after a cut other than 0 and return the last hidden state.

        The model is called with placeholder ids of the same length; the blocks before the cut are skipped.

        Args:
            segments: whether the model reads segments.
        """
        assert self._skipper is not None, "a model without blocks has only cut 0"
        ids = torch.where(real, int(self._padding == 0), self._padding)
        call = self._call(model, ids, real, torch.zeros_like(ids) if segments else None)
        last: Tensor = self._skipper.pass_through(cut, hidden, call)
        return last

    def _call(self, model: nn.Module, ids: Tensor, real: Tensor, segments: Tensor | None) -> Callable[[], Tensor]:
        arguments = {"input_ids": ids.masked_fill(~real, self._padding), "attention_mask": real.long()}
        if segments is not None:
            arguments["token_type_ids"] = segments

        def run() -> Tensor:
            return model(**arguments).last_hidden_state  # type: ignore[no-any-return]

        return run


def attention_maps(model: Any, ids: Tensor, real: Tensor | None = None) -> Tensor:
    """Run the model with eager attention and return all attention maps.

    Args:
        ids: ``(batch, token)`` int64, with the padding token at padding.
        real: ``(batch, token)`` bool, False at padding; None if there is no padding.

    Returns:
        ``(batch, token, token, map)``: how much the first token attends to the second, from 0 to 1; maps in order of block and,
        within a block, head.
    """
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        mask = None if real is None else real.long()
        attentions = model(input_ids=ids, attention_mask=mask, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(implementation)
    return torch.cat(list(attentions), 1).permute(0, 2, 3, 1)
