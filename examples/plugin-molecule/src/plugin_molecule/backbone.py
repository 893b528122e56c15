"""The model: an encoder over the tokens of a SMILES (Vaswani and others, 2017), norms first (Xiong and others, 2020)."""

import torch
from taskgraft.plugin import ELEMENT_AXIS, Backbone, BackboneDescription, Batch, Features, Layout
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from plugin_molecule.processor import POSITIONS, TOKEN, TOKENS, SmilesProcessor
from plugin_molecule.settings import SmilesTransformerConfig, describe
from plugin_molecule.tokens import FIRST

HIDDEN = "hidden"
"""The tensor of a state, ``(batch, token, feature)``, atoms first."""


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and around a residual: ``(batch, token, feature)`` → the same."""

    def __init__(self, size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(size)
        self.attention_in = nn.Linear(size, 3 * size)
        self.attention_out = nn.Linear(size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.feed_forward_in = nn.Linear(size, 4 * size)
        self.feed_forward_out = nn.Linear(4 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Run the block.

        Args:
            real: ``(batch, token)`` bool, False at padding.
        """
        hidden = hidden + self.dropout(self.attention_out(self._attend(self.attention_norm(hidden), real)))
        inner = gelu(self.feed_forward_in(self.feed_forward_norm(hidden)))
        return hidden + self.dropout(self.feed_forward_out(inner))

    def _attend(self, hidden: Tensor, real: Tensor) -> Tensor:
        query, key, value = self.attention_in(hidden).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return scaled_dot_product_attention(query, key, value, real[:, None, None, :]).transpose(1, 2).flatten(2)


class SmilesTransformer(Backbone):
    """See :class:`SmilesTransformerConfig`. Vector features are the mean over all tokens, sequence features the atoms."""

    def __init__(self, config: SmilesTransformerConfig):
        super().__init__()
        self._config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.embedding = nn.Embedding(FIRST + len(config.vocabulary), config.feature_size)
            self.dropout = nn.Dropout(config.dropout)
            self.blocks = nn.ModuleList(
                Block(config.feature_size, config.heads, config.dropout) for _ in range(config.blocks)
            )
            self.norm = nn.LayerNorm(config.feature_size)

    @property
    def description(self) -> BackboneDescription:
        return describe(self._config)

    @property
    def processor(self) -> SmilesProcessor:
        return SmilesProcessor(self._config)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden, real = self._embed(batch), batch.mask(TOKEN)
        for block in self.blocks[: cut - 1]:
            hidden = block(hidden, real)
        return Batch({HIDDEN: hidden}, {HIDDEN: (TOKEN,)}, batch.lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden, real = self._embed(state) if cut == 0 else state[HIDDEN], state.mask(TOKEN)
        for block in self.blocks[max(cut - 1, 0) :]:
            hidden = block(hidden, real)
        hidden, atoms = self.norm(hidden), state.lengths[ELEMENT_AXIS]
        if layout == Layout.SEQUENCE:
            return Features(layout, (hidden[:, : int(atoms.max())],), atoms)
        total = hidden.masked_fill(~real[..., None], 0).sum(1)
        return Features(layout, (total / state.lengths[TOKEN][:, None].to(total.dtype),))

    def _embed(self, batch: Batch) -> Tensor:
        """Embed tokens, and add sinusoidal position embeddings."""
        size = self.embedding.embedding_dim
        steps = torch.arange(0, size, 2, device=batch[POSITIONS].device)
        angles = batch[POSITIONS][..., None] * 10_000 ** (-steps / size)
        position_embeddings = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return self.dropout(self.embedding(batch[TOKENS]) + position_embeddings.to(self.embedding.weight.dtype))
