"""Protein language models: one vector per residue, their mean, and attention maps, with cuts between blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EsmTokenizer

from taskgraft.plugin import (
    ELEMENT_AXIS,
    Backbone,
    BackboneDescription,
    Batch,
    Features,
    LayerRole,
    Layout,
    base_fingerprint,
)
from taskgraft_protein.alphabet import ESM_TOKENS
from taskgraft_protein.checkpoint import NEW_ESM, inspect_model, new_esm_info
from taskgraft_protein.processor import RESIDUE_TENSOR, SEQUENCE, ProteinProcessor
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig
from taskgraft_protein.windows import Windows, residue_vectors, split_windows, window_tokens
from taskgraft_transformers.export import export_checkpoint, write_checkpoint
from taskgraft_transformers.runner import Runner, attention_maps
from taskgraft_transformers.tokenizer import TOKENIZER_FILES
from taskgraft_transformers.weights import DTYPES, load_model, random_model

BIAS_STD = 1.5
"""Standard deviation of the query and key biases of a new model. Its square is the standard deviation of attention logits."""

HIDDEN, WINDOW, TOKEN = "hidden", "window", "token"
"""The one tensor of a state, and its padded axes."""


class ProteinBackbone(Backbone):
    """A protein language model. For its settings see :class:`ProteinConfig`, and :class:`NewEsmConfig` for a new one."""

    def __init__(self, config: ProteinConfig | NewEsmConfig):
        super().__init__()
        self._info = info = new_esm_info(config) if isinstance(config, NewEsmConfig) else inspect_model(config)
        dtype = DTYPES[config.dtype]
        self._used: Callable[[str], bool] | None = None
        if info.checkpoint is None or (isinstance(config, ProteinConfig) and config.weights == "random"):
            self.model = random_model(info.model_config, info.structure, dtype)
            if info.checkpoint is None:
                self._initialize_attention_biases()
        else:
            loaded = load_model(info.checkpoint, info.model_config, info.structure, dtype)
            self.model, self._used = loaded.model, loaded.used
        self._runner = Runner(self.model, info.structure, info.alphabet.padding)
        self._limit = info.limit
        self._processor = ProteinProcessor(info.alphabet, self._limit)

    @property
    def description(self) -> BackboneDescription:
        return self._info.description

    @property
    def processor(self) -> ProteinProcessor:
        return self._processor

    def fingerprint(self) -> str | None:
        if self._used is None or self._info.checkpoint is None:
            return None
        return base_fingerprint(self._info.checkpoint.folder(weights=True), self._used, TOKENIZER_FILES)

    def export(self, folder: Path) -> None:
        """Write a transformers checkpoint; for a new ESM also the vocabulary."""
        info = self._info
        if info.checkpoint is not None:
            pretrained = self._used is not None
            export_checkpoint(self.model, info.structure, info.checkpoint, pretrained, folder, TOKENIZER_FILES)
            return
        full: Any = info.structure.model_class(info.model_config)
        dtype = next(self.model.parameters()).dtype
        write_checkpoint(self.model, full.to(dtype), frozenset(full.state_dict()), info.structure, NEW_ESM, folder)
        (folder / "vocab.txt").write_text("\n".join(ESM_TOKENS), encoding="utf-8")
        EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)

    def example_batch(self) -> Batch:
        return self._processor.prepare({SEQUENCE: ["MKVLAG", "GSA"]}).batch

    def forward(self, batch: Batch, layout: Layout) -> Features:
        windows = self._windows(batch)
        ids, real = window_tokens(batch[RESIDUE_TENSOR], windows, self._info.alphabet)
        if layout == Layout.PAIR:
            first = len(self._info.alphabet.before)
            inner = slice(first, first + windows.longest)
            maps = attention_maps(self.model, ids, real)[:, inner, inner]
            return Features(layout, (maps,), windows.lengths)
        return self._features(self._runner.run(self.model, ids, real), windows, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        windows, alphabet = self._windows(batch), self._info.alphabet
        ids, real = window_tokens(batch[RESIDUE_TENSOR], windows, alphabet)
        by_window = self._runner.run_to_cut(self.model, cut, ids, real)
        hidden = by_window.new_zeros(*windows.real.shape, *by_window.shape[1:])
        hidden[windows.real] = by_window
        lengths = {WINDOW: windows.counts, TOKEN: windows.sizes + alphabet.special, ELEMENT_AXIS: windows.lengths}
        return Batch({HIDDEN: hidden}, {HIDDEN: (WINDOW, TOKEN)}, lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        if cut == 0:
            return self(state, layout)  # type: ignore[no-any-return]
        windows = self._windows(state)
        real = state.mask(TOKEN)[windows.real.nonzero()[:, 0]]
        hidden = state[HIDDEN][:, : windows.real.shape[1]][windows.real]
        return self._features(self._runner.run_from_cut(self.model, cut, hidden, real), windows, layout)

    def _initialize_attention_biases(self) -> None:
        """Initialize query and key biases at random, so that rotary positions make each head prefer distances of its own.

        Without them attention starts out the same at all distances, and takes long to find the neighbours.
        """
        for part in self.description.parts:
            for path, role in part.roles.items():
                if role in (LayerRole.QUERY, LayerRole.KEY):
                    layer = self.get_submodule(path)
                    assert isinstance(layer, nn.Linear), "ESM's queries and keys are linear"
                    nn.init.normal_(layer.bias, std=BIAS_STD)

    def _windows(self, batch: Batch) -> Windows:
        max_size = self._limit.residues if self._limit.long == "windows" else None
        return split_windows(batch.lengths[ELEMENT_AXIS], max_size, self._limit.overlap)

    def _features(self, hidden: Tensor, windows: Windows, layout: Layout) -> Features:
        vectors = residue_vectors(hidden, windows, self._info.alphabet)
        features = Features(Layout.SEQUENCE, (vectors,), windows.lengths)
        if layout == Layout.SEQUENCE:
            return features
        real = features.mask[..., None]
        mean = vectors.masked_fill(~real, 0).sum(1) / windows.lengths[:, None].to(vectors.dtype)
        return Features(Layout.VECTOR, (mean,))


def build_on_meta(config: ProteinConfig | NewEsmConfig) -> ProteinBackbone:
    """Build a protein language model on the meta device, without weights."""
    if isinstance(config, ProteinConfig):
        config = config.model_copy(update={"weights": "random"})
    with torch.device("meta"):
        return ProteinBackbone(config)
