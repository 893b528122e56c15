"""Passes through a model of pieces: whole, up to a block, and on from there."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft_transformers.block_skipping import BlockSkipper
from taskgraft_transformers.structure import Structure


class Runner:
    """Runs a model of transformers that reads pieces, or what a strategy has put around it (``Role.MODEL``).

    That is called with the keywords ``input_ids`` and ``attention_mask``, both ``(batch, piece)`` int64, and ``token_type_ids``
    alike where the model reads segments; it answers with an object whose ``last_hidden_state`` is ``(batch, piece, feature)``.
    Pieces are ``(batch, piece)`` int64; beside them stands which are real, ``(batch, piece)`` bool, real ones on the left. What
    stands at the others does not matter. Hidden tensors are ``(batch, piece, feature)``.
    """

    def __init__(self, model: nn.Module, structure: Structure, padding: int):
        """Keep the blocks of a model.

        Args:
            padding: the piece to put where none is real.
        """
        self._padding = padding
        blocks = structure.blocks
        self._passage = None if blocks is None else BlockSkipper(list(model.get_submodule(blocks).children()))

    def whole(self, model: nn.Module, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """Run the whole model, and give the last hidden tensor."""
        return self._call(model, ids, real, segments)()

    def run_to(self, model: nn.Module, cut: int, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """Run the blocks before a cut, which is not 0, and give the hidden tensor that lies there."""
        assert self._passage is not None, "a model without blocks has no cut but 0"
        return self._passage.stop_before(cut, self._call(model, ids, real, segments))

    def resume(self, model: nn.Module, cut: int, hidden: Tensor, real: Tensor, *, segments: bool = False) -> Tensor:
        """Run the blocks behind a cut, which is not 0, and give the last hidden tensor.

        The model is called with pieces that stand for nothing but their number; blocks before the cut pass on what is given.

        Args:
            segments: whether the model reads segments.
        """
        assert self._passage is not None, "a model without blocks has no cut but 0"
        ids = torch.where(real, int(self._padding == 0), self._padding)
        call = self._call(model, ids, real, torch.zeros_like(ids) if segments else None)
        last: Tensor = self._passage.pass_through(cut, hidden, call)
        return last

    def _call(self, model: nn.Module, ids: Tensor, real: Tensor, segments: Tensor | None) -> Callable[[], Tensor]:
        named = {"input_ids": ids.masked_fill(~real, self._padding), "attention_mask": real.long()}
        if segments is not None:
            named["token_type_ids"] = segments

        def run() -> Tensor:
            return model(**named).last_hidden_state  # type: ignore[no-any-return]

        return run


def places(model: nn.Module) -> int | None:
    """Count the pieces that a model has positions for; None when it has no table of positions."""
    counts = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
    ]
    return min(counts, default=None)


def maps(model: Any, ids: Tensor, real: Tensor | None = None) -> Tensor:
    """Run the model with attention computed in the open, and give all attention maps.

    Args:
        ids: ``(batch, piece)`` int64, the padding piece where none is real.
        real: ``(batch, piece)`` bool; None says that all are.

    Returns:
        ``(batch, piece, piece, map)``: how much the first piece attends to the second, from 0 to 1, block by block and head by
        head.
    """
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        mask = None if real is None else real.long()
        found = model(input_ids=ids, attention_mask=mask, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(usual)
    return torch.cat(list(found), 1).permute(0, 2, 3, 1)
