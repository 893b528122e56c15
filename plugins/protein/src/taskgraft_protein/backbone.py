"""Protein language models: one vector per residue, their mean, attention maps; resumable between blocks."""

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
    InvalidCheckpoint,
    LayerRole,
    Layout,
    base_fingerprint,
)
from taskgraft_protein.alphabet import ESM_TOKENS
from taskgraft_protein.checkpoint import NEW, Known, known, new
from taskgraft_protein.processor import RESIDUES, SEQUENCE, Limit, ProteinProcessor
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig, SequenceConfig
from taskgraft_protein.windows import Stretches, residue_vectors, stretches, tokens
from taskgraft_transformers.exporting import export, write
from taskgraft_transformers.loading import DTYPES, draw, load
from taskgraft_transformers.running import Runner, maps, places
from taskgraft_transformers.tokenizer import TOKENIZER_FILES

USUAL_LENGTH = 2_048
"""Residues that go through a model at once which states no limit (T5)."""

DISTANCES = 1.5
"""Standard deviation of the biases of queries and keys in a new model: its square is that of attention's logits."""

HIDDEN, STRETCH, TOKEN = "hidden", "stretch", "token"
"""The one tensor of a state, and its padded axes."""


class ProteinBackbone(Backbone):
    """A protein language model. See :class:`ProteinConfig`, and :class:`NewEsmConfig` for a new one."""

    def __init__(self, config: ProteinConfig | NewEsmConfig):
        super().__init__()
        self._known = facts = new(config) if isinstance(config, NewEsmConfig) else known(config)
        dtype = DTYPES[config.dtype]
        self._used: Callable[[str], bool] | None = None
        if facts.checkpoint is None or (isinstance(config, ProteinConfig) and config.weights == "random"):
            self.model = draw(facts.model_config, facts.structure, dtype)
            if facts.checkpoint is None:
                self._tell_distances_apart()
        else:
            loaded = load(facts.checkpoint, facts.model_config, facts.structure, dtype)
            self.model, self._used = loaded.model, loaded.used
        self._runner = Runner(self.model, facts.structure, facts.alphabet.padding)
        self._limit = _limit(config, facts, places(self.model))
        self._processor = ProteinProcessor(facts.alphabet, self._limit)

    @property
    def description(self) -> BackboneDescription:
        return self._known.description

    @property
    def processor(self) -> ProteinProcessor:
        return self._processor

    def fingerprint(self) -> str | None:
        if self._used is None or self._known.checkpoint is None:
            return None
        return base_fingerprint(self._known.checkpoint.folder(weights=True), self._used, TOKENIZER_FILES)

    def export(self, folder: Path) -> None:
        """Write a checkpoint of transformers; of a new ESM also the vocabulary."""
        facts = self._known
        if facts.checkpoint is not None:
            export(self.model, facts.structure, facts.checkpoint, self._used is not None, folder, TOKENIZER_FILES)
            return
        whole: Any = facts.structure.model_class(facts.model_config)
        dtype = next(self.model.parameters()).dtype
        write(self.model, whole.to(dtype), frozenset(whole.state_dict()), facts.structure, NEW, folder)
        (folder / "vocab.txt").write_text("\n".join(ESM_TOKENS), encoding="utf-8")
        EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)

    def example_batch(self) -> Batch:
        return self._processor.prepare({SEQUENCE: ["MKVLAG", "GSA"]}).batch

    def forward(self, batch: Batch, layout: Layout) -> Features:
        laid = self._laid(batch)
        ids, real = tokens(batch[RESIDUES], laid, self._known.alphabet)
        if layout == Layout.PAIR:
            first = len(self._known.alphabet.before)
            inner = slice(first, first + laid.longest)
            return Features(layout, (maps(self.model, ids, real)[:, inner, inner],), laid.lengths)
        return self._features(self._runner.whole(self.model, ids, real), laid, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        laid = self._laid(batch)
        found = self._runner.run_to(self.model, cut, *tokens(batch[RESIDUES], laid, self._known.alphabet))
        hidden = found.new_zeros(*laid.real.shape, *found.shape[1:])
        hidden[laid.real] = found
        lengths = {STRETCH: laid.counts, TOKEN: laid.sizes + self._known.alphabet.special, ELEMENT_AXIS: laid.lengths}
        return Batch({HIDDEN: hidden}, {HIDDEN: (STRETCH, TOKEN)}, lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        if cut == 0:
            return self(state, layout)  # type: ignore[no-any-return]
        laid = self._laid(state)
        real = state.mask(TOKEN)[laid.real.nonzero()[:, 0]]
        hidden = state[HIDDEN][:, : laid.real.shape[1]][laid.real]
        return self._features(self._runner.resume(self.model, cut, hidden, real), laid, layout)

    def _tell_distances_apart(self) -> None:
        """Draw the biases of queries and keys: turned by their positions, they make each head look at distances of its own.

        Without them attention begins the same at all distances, and it takes long until it has found the neighbours.
        """
        for part in self.description.parts:
            for path, role in part.roles.items():
                if role in (LayerRole.QUERY, LayerRole.KEY):
                    layer = self.get_submodule(path)
                    assert isinstance(layer, nn.Linear), "ESM's queries and keys are linear"
                    nn.init.normal_(layer.bias, std=DISTANCES)

    def _laid(self, batch: Batch) -> Stretches:
        windows = self._limit.long == "windows"
        return stretches(batch.lengths[ELEMENT_AXIS], self._limit.residues if windows else None, self._limit.overlap)

    def _features(self, hidden: Tensor, laid: Stretches, layout: Layout) -> Features:
        vectors = residue_vectors(hidden, laid, self._known.alphabet)
        features = Features(Layout.SEQUENCE, (vectors,), laid.lengths)
        if layout == Layout.SEQUENCE:
            return features
        real = features.mask[..., None]
        mean = vectors.masked_fill(~real, 0).sum(1) / laid.lengths[:, None].to(vectors.dtype)
        return Features(Layout.VECTOR, (mean,))


def sketch(config: ProteinConfig | NewEsmConfig) -> ProteinBackbone:
    """Make a protein language model without weights."""
    if isinstance(config, ProteinConfig):
        config = config.model_copy(update={"weights": "random"})
    with torch.device("meta"):
        return ProteinBackbone(config)


def _limit(config: SequenceConfig, facts: Known, table: int | None) -> Limit:
    """Decide how many residues go through a model at once.

    Args:
        table: the tokens it has positions for, where it has a table of them.

    Raises:
        InvalidCheckpoint: when more are asked for than the table has.
    """
    special = facts.alphabet.special
    known = [length for length in (facts.length, table) if length is not None]
    most = config.max_length or (min(known) - special if known else USUAL_LENGTH)
    if table is not None and most > table - special:
        problem = f"it has positions for {table - special:,} residues, fewer than max_length = {most:,}"
        raise InvalidCheckpoint("" if facts.checkpoint is None else facts.checkpoint.name, problem)
    return Limit(most, config.long, most // 4 if config.overlap is None else min(config.overlap, most - 1))
