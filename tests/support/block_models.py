"""A plain torch model of blocks, in variants, and a backbone that cuts it by skipping blocks."""

from collections.abc import Mapping
from typing import Any

import torch
from backbones import WordsProcessor, draw, mean
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import BackboneDescription, InputField, Layout, Part, sequence, vector
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.processor import Processor
from taskgraft_transformers.block_skipping import BlockSkipper

SIZE, BLOCKS = 6, 3


class Block(nn.Module):
    """Mixes each element with the mean of all; returns the bare hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.all = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)

    def forward(self, hidden: Tensor, mask: Tensor) -> Any:
        middle = mean(hidden, mask, mask.sum(1))[:, None]
        return hidden + torch.tanh(self.own(hidden) + self.all(middle))


class TupleBlock(Block):
    """Returns the hidden state and two outputs without use."""

    def forward(self, hidden: Tensor, mask: Tensor) -> Any:
        return super().forward(hidden, mask), None, None


class HandingBlock(Block):
    """Passes a second tensor on to the next block, where it is optional."""

    def forward(self, hidden: Tensor, mask: Tensor, memory: Tensor | None = None) -> Any:
        if memory is not None:
            hidden = hidden + memory
        new = super().forward(hidden, mask)
        return new, new - hidden


class BiasBlock(HandingBlock):
    """Passes on a tensor that depends on the length alone, like a relative bias; the first block computes it."""

    def forward(self, hidden: Tensor, mask: Tensor, memory: Tensor | None = None) -> Any:
        if memory is None:
            memory = self.own.weight[0, 0] * mask.cumsum(1)[..., None]
        return Block.forward(self, hidden + memory, mask), memory


class Model(nn.Module):
    """Embeds words, runs blocks, normalises."""

    def __init__(self, block: type[Block] = Block) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, SIZE)
        self.blocks = nn.ModuleList(block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(SIZE)
        draw(self, 0)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        hidden, memory = self.embedding(words), []
        for block in self.blocks:
            output = block(hidden, mask, *memory)
            hidden = output if isinstance(output, Tensor) else output[0]
            memory = [output[1]] if isinstance(block, HandingBlock) else []
        return self.norm(hidden)


class Passing(Backbone):
    """A backbone of such a model that cuts it by skipping blocks."""

    def __init__(self, block: type[Block] = Block) -> None:
        super().__init__()
        self.model = Model(block)
        self.skipper = BlockSkipper(list(self.model.blocks))
        self.eval()

    @property
    def description(self) -> BackboneDescription:
        owns: list[tuple[str, ...]] = [(f"model.blocks.{block}",) for block in range(BLOCKS)]
        owns[0], owns[-1] = ("model.embedding", *owns[0]), (*owns[-1], "model.norm")
        parts = tuple(Part(f"block-{block}", paths, sequence(SIZE)) for block, paths in enumerate(owns))
        return BackboneDescription((InputField("text"),), (vector(SIZE), sequence(SIZE)), parts, tuple(range(BLOCKS)))

    @property
    def processor(self) -> Processor:
        return WordsProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.emitted(self.model(batch["words"], batch.mask(ELEMENT_AXIS)), batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden = self.skipper.stop_before(cut, lambda: self.model(batch["words"], batch.mask(ELEMENT_AXIS)))
        return Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, batch.lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        if cut == 0:
            return self(state, layout)
        mask = state.mask(ELEMENT_AXIS)
        words = torch.zeros_like(mask, dtype=torch.int64)
        hidden = self.skipper.pass_through(cut, state["hidden"], lambda: self.model(words, mask))
        return self.emitted(hidden, state, layout)

    def emitted(self, hidden: Tensor, batch: Batch, layout: Layout) -> Features:
        if layout == Layout.SEQUENCE:
            return Features(layout, (hidden,), batch.lengths[ELEMENT_AXIS])
        return Features(layout, (mean(hidden, batch.mask(ELEMENT_AXIS), batch.lengths[ELEMENT_AXIS]),))


class Leaky(Passing):
    """A backbone whose vector is the mean over elements and padding."""

    def emitted(self, hidden: Tensor, batch: Batch, layout: Layout) -> Features:
        if layout == Layout.SEQUENCE:
            return super().emitted(hidden, batch, layout)
        return Features(layout, (hidden.mean(1),))


def some_words(
    texts: Mapping[int, str] | tuple[str, ...] = ("one", "two words", "three more words", "a b c d e"),
) -> Batch:
    """Processed texts of different lengths."""
    return WordsProcessor().prepare({"text": list(texts)}).batch
