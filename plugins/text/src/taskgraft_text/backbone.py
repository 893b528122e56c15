"""Text backbones: encoders and decoders of transformers, pooled, in pairs, and resumable between blocks."""

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from taskgraft.plugin import (
    ELEMENT_AXIS,
    Backbone,
    BackboneDescription,
    Batch,
    Features,
    InvalidCheckpoint,
    Layout,
    base_fingerprint,
)
from taskgraft_text.checkpoint import SECOND, TEXT, Known, known
from taskgraft_text.hiding import PIECES
from taskgraft_text.processor import TextProcessor
from taskgraft_text.settings import Pair, Pooling, TextConfig
from taskgraft_transformers.exporting import export
from taskgraft_transformers.loading import DTYPES, draw, load
from taskgraft_transformers.running import Runner, places
from taskgraft_transformers.tokenizer import TOKENIZER_FILES, stated_length

PROCESSOR_FILES = (*TOKENIZER_FILES, "modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
"""Files of a checkpoint that decide what the processor does and how features are pooled."""

USUAL_LENGTH = 512
"""Pieces per text where a checkpoint states no limit."""

OTHER = "other "
"""Begins the names of the tensors of a second text that goes apart."""


class TextBackbone(Backbone):
    """A text model. See :class:`TextConfig` for what can be decided."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self._known = facts = known(config)
        tokenizer = facts.tokenizer
        if not tokenizer.is_fast:
            raise InvalidCheckpoint(
                facts.checkpoint.name, "its tokenizer has no fast form (tokenizer.json), which is needed"
            )
        dtype = DTYPES[config.dtype]
        self._used: Callable[[str], bool] | None = None
        if config.weights == "random":
            self.model = draw(facts.model_config, facts.structure, dtype)
        else:
            loaded = load(facts.checkpoint, facts.model_config, facts.structure, dtype)
            self.model, self._used = loaded.model, loaded.used
        self._segments = getattr(facts.model_config, "type_vocab_size", 0) > 1 and _reads(self.model, "token_type_ids")
        self._runner = Runner(self.model, facts.structure, int(tokenizer.pad_token_id or 0))
        length = _max_length(facts, self.model)
        self._processor = TextProcessor(tokenizer, facts.pair, length, segments=self._segments)

    @property
    def description(self) -> BackboneDescription:
        return self._known.description

    @property
    def processor(self) -> TextProcessor:
        return self._processor

    def fingerprint(self) -> str | None:
        if self._used is None:
            return None
        return base_fingerprint(self._known.checkpoint.folder(weights=True), self._used, PROCESSOR_FILES)

    def export(self, folder: Path) -> None:
        """Write a checkpoint of transformers, or the sentence-transformers folder that the checkpoint was."""
        facts = self._known
        export(self.model, facts.structure, facts.checkpoint, self._used is not None, folder, PROCESSOR_FILES)

    def example_batch(self) -> Batch:
        texts = {TEXT: ["two small texts", "one"]}
        return self._processor.prepare(texts if self._known.pair == Pair.NONE else texts | {SECOND: texts[TEXT]}).batch

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self._features(batch, layout, lambda prefix: self._whole(batch, prefix))

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        tensors: dict[str, Tensor] = {}
        axes: dict[str, tuple[str, ...]] = {}
        for prefix in self._texts(batch, "ids"):
            tensors[f"{prefix}hidden"] = self._runner.run_to(self.model, cut, *self._pieces(batch, prefix))
            axes[f"{prefix}hidden"] = batch.axes[f"{prefix}ids"]
        lengths = {axis: length for axis, length in batch.lengths.items() if axis != ELEMENT_AXIS}
        if layout == Layout.SEQUENCE and "first" in batch.tensors:
            tensors["first"], axes["first"] = batch["first"], batch.axes["first"]
            lengths[ELEMENT_AXIS] = batch.lengths[ELEMENT_AXIS]
        return Batch(tensors, axes, lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        if cut == 0:
            return self(state, layout)  # type: ignore[no-any-return]
        return self._features(state, layout, lambda prefix: self._resumed(cut, state, prefix))

    def _features(self, batch: Batch, layout: Layout, hidden_of: Callable[[str], Tensor]) -> Features:
        hidden = hidden_of("")
        if layout == Layout.SEQUENCE:
            return _elements(hidden, batch)
        pooled = self._pooled(hidden, batch.mask(PIECES))
        if self._known.pair == Pair.APART:
            other = self._pooled(hidden_of(OTHER), batch.mask(f"{OTHER}{PIECES}"))
            pooled = torch.cat([pooled, other, (pooled - other).abs(), pooled * other], -1)
        return Features(Layout.VECTOR, (pooled,))

    def _texts(self, batch: Batch, kind: str) -> list[str]:
        return [prefix for prefix in ("", OTHER) if f"{prefix}{kind}" in batch.tensors]

    def _pieces(self, batch: Batch, prefix: str) -> tuple[Tensor, Tensor, Tensor | None]:
        segments = batch[f"{prefix}segments"] if self._segments else None
        return batch[f"{prefix}ids"], batch.mask(f"{prefix}{PIECES}"), segments

    def _whole(self, batch: Batch, prefix: str) -> Tensor:
        return self._runner.whole(self.model, *self._pieces(batch, prefix))

    def _resumed(self, cut: int, state: Batch, prefix: str) -> Tensor:
        real = state.mask(f"{prefix}{PIECES}")
        return self._runner.resume(self.model, cut, state[f"{prefix}hidden"], real, segments=self._segments)

    def _pooled(self, hidden: Tensor, real: Tensor) -> Tensor:
        pooled = pool(hidden, real, self._known.pooling)
        return functional.normalize(pooled, dim=-1) if self._known.normalize else pooled


def sketch(config: TextConfig) -> TextBackbone:
    """Make a text backbone without weights."""
    with torch.device("meta"):
        return TextBackbone(config.model_copy(update={"weights": "random"}))


def pool(hidden: Tensor, real: Tensor, pooling: Pooling) -> Tensor:
    """Make one vector per text.

    Args:
        hidden: ``(batch, piece, feature)``.
        real: ``(batch, piece)`` bool, True at real pieces, which stand on the left.

    Returns:
        ``(batch, feature)``.
    """
    if pooling == Pooling.CLS:
        return hidden[:, 0]
    if pooling == Pooling.LAST:
        last = real.sum(1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    if pooling == Pooling.MAX:
        return hidden.masked_fill(~real.unsqueeze(-1), -torch.inf).amax(1)
    weight = real.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def _elements(hidden: Tensor, batch: Batch) -> Features:
    """Give one vector per word where words are known, else one per piece."""
    if "first" not in batch.tensors:
        return Features(Layout.SEQUENCE, (hidden,), batch.lengths[PIECES])
    first = batch["first"].unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
    return Features(Layout.SEQUENCE, (hidden.gather(1, first),), batch.lengths[ELEMENT_AXIS])


def _max_length(facts: Known, model: torch.nn.Module) -> int:
    """The number of pieces that the checkpoint takes, or fewer where fewer are asked for."""
    stated = [facts.max_length, stated_length(facts.model_config, facts.tokenizer), places(model)]
    return min((length for length in stated if length is not None), default=USUAL_LENGTH)


def _reads(model: torch.nn.Module, name: str) -> bool:
    return name in inspect.signature(model.forward).parameters
