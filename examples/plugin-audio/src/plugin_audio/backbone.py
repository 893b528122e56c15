"""The network: two strided convolutions and attention blocks over a log-mel spectrogram, masked for length."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from taskgraft.plugin import (
    ELEMENT_AXIS,
    Backbone,
    BackboneDescription,
    Batch,
    Checkpoint,
    Features,
    InvalidCheckpoint,
    Layout,
    MissingTensors,
    base_fingerprint,
    translate_errors,
)
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from plugin_audio.processor import FRAME, MEL, MelProcessor
from plugin_audio.settings import MelNetworkConfig, describe

HIDDEN = "hidden"
"""The tensor of a state, ``(batch, element, feature)``."""

WEIGHTS = "model.safetensors"


class Halving(nn.Module):
    """A convolution over time with stride 2, a norm and GELU: ``(batch, position, feature)`` → half the positions."""

    def __init__(self, size_in: int, size: int):
        super().__init__()
        self.convolution = nn.Conv1d(size_in, size, kernel_size=3, stride=2, padding=1)
        self.norm = nn.LayerNorm(size)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Run it; ``real`` is ``(batch, position)`` bool, False at padding, which is set to 0 as the convolution pads."""
        hidden = hidden.masked_fill(~real[..., None], 0)
        output: Tensor = gelu(self.norm(self.convolution(hidden.transpose(1, 2)).transpose(1, 2)))
        return output


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and around a residual: ``(batch, element, feature)`` → the same."""

    def __init__(self, size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(size)
        self.query, self.key, self.value = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, size)
        self.attention_out = nn.Linear(size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.feed_forward_in = nn.Linear(size, 4 * size)
        self.feed_forward_out = nn.Linear(4 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Run the block; ``real`` is ``(batch, element)`` bool, False at padding."""
        inner = self.attention_norm(hidden)
        query, key, value = (
            layer(inner).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        attended = scaled_dot_product_attention(query, key, value, real[:, None, None, :]).transpose(1, 2).flatten(2)
        hidden = hidden + self.dropout(self.attention_out(attended))
        inner = gelu(self.feed_forward_in(self.feed_forward_norm(hidden)))
        output: Tensor = hidden + self.dropout(self.feed_forward_out(inner))
        return output


class MelNetwork(Backbone):
    """See :class:`MelNetworkConfig`. Vector features are the mean of the sequence features, which are one per 40 ms."""

    def __init__(self, config: MelNetworkConfig):
        super().__init__()
        self._config = config
        size = config.feature_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.first, self.second = Halving(config.bands, size), Halving(size, size)
            self.blocks = nn.ModuleList(Block(size, config.heads, config.dropout) for _ in range(config.blocks))
            self.norm = nn.LayerNorm(size)
        if config.checkpoint is not None:
            self._load(Checkpoint(config.checkpoint))

    @property
    def description(self) -> BackboneDescription:
        return describe(self._config)

    @property
    def processor(self) -> MelProcessor:
        return MelProcessor(self._config)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden, real = self._convolve(batch), batch.mask(ELEMENT_AXIS)
        for block in self.blocks[: cut - 1]:
            hidden = block(hidden, real)
        return Batch({HIDDEN: hidden}, {HIDDEN: (ELEMENT_AXIS,)}, {ELEMENT_AXIS: batch.lengths[ELEMENT_AXIS]})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden, lengths = self._convolve(state) if cut == 0 else state[HIDDEN], state.lengths[ELEMENT_AXIS]
        real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        for block in self.blocks[max(cut - 1, 0) :]:
            hidden = block(hidden, real)
        hidden = self.norm(hidden)
        if layout == Layout.SEQUENCE:
            return Features(layout, (hidden,), lengths)
        total = hidden.masked_fill(~real[..., None], 0).sum(1)
        return Features(layout, (total / lengths[:, None].to(total.dtype),))

    def fingerprint(self) -> str | None:
        if self._config.checkpoint is None:
            return None
        return base_fingerprint(
            Checkpoint(self._config.checkpoint).folder(weights=True), self._own_names().__contains__, ()
        )

    def export(self, folder: Path) -> None:
        """Write model.safetensors, which the setting ``checkpoint`` reads with the same sizes."""
        tensors = {name: self.get_parameter(name).detach().cpu().contiguous() for name in self._own_names()}
        save_file(tensors, folder / WEIGHTS)

    def _load(self, checkpoint: Checkpoint) -> None:
        path, own = checkpoint.folder(weights=True) / WEIGHTS, self._own_names()
        with translate_errors(checkpoint.name, WEIGHTS):
            stored = load_file(path)
        if missing := tuple(sorted(own - stored.keys())):
            raise MissingTensors(checkpoint.name, missing)
        for name in sorted(own):
            wanted, found = tuple(self.get_parameter(name).shape), tuple(stored[name].shape)
            if wanted != found:
                problem = f"its tensor {name} has the shape {found}, but the settings give {wanted}"
                raise InvalidCheckpoint(checkpoint.name, problem)
        self.load_state_dict({name: stored[name] for name in own})

    def _own_names(self) -> set[str]:
        return {name for name, _ in self.named_parameters()}

    def _convolve(self, batch: Batch) -> Tensor:
        """Convolve frames to elements, and add sinusoidal position embeddings."""
        mel, frames = batch[MEL].to(self.norm.weight.dtype), batch.lengths[FRAME]
        hidden = self.first(mel, _real(mel, frames))
        hidden = self.second(hidden, _real(hidden, (frames + 1) // 2))
        size = hidden.shape[2]
        steps = torch.arange(0, size, 2, device=mel.device)
        angles = torch.arange(hidden.shape[1], device=mel.device)[:, None] * 10_000 ** (-steps / size)
        embeddings: Tensor = hidden + torch.cat([angles.sin(), angles.cos()], dim=-1).to(hidden.dtype)
        return embeddings


def _real(hidden: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
