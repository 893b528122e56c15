"""Text backbones: encoders and decoders of transformers, pooled, in pairs, and resumable between blocks."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from taskgraft.backbone import Backbone
from taskgraft.batch import Batch
from taskgraft.checkpoint import BadCheckpoint, base_fingerprint, reading
from taskgraft.description import BackboneDescription, Layout
from taskgraft.features import ELEMENT, Features
from taskgraft.passage import Passage
from taskgraft_text.checkpoint import Known, known
from taskgraft_text.processor import PIECES, TextProcessor
from taskgraft_text.settings import Pair, Pooling, TextConfig
from taskgraft_transformers.loading import draw, load, quiet

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""Files that hold a vocabulary. A checkpoint needs one of them."""

PROCESSOR_FILES = (
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
"""Files of a checkpoint that decide what the processor does and how features are pooled."""

USUAL_LENGTH = 512
"""Pieces per text where a checkpoint states no limit."""

BOUNDLESS = 1_000_000
"""A tokenizer that knows no limit states a number beyond this."""

OTHER = "other "
"""Begins the names of the tensors of a second text that goes apart."""


class TextBackbone(Backbone):
    """A text model. See :class:`TextConfig` for what can be decided."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self._known = facts = known(config)
        tokenizer = _tokenizer(facts)
        dtype = DTYPES[config.dtype]
        self._used: Callable[[str], bool] | None = None
        if config.weights == "random":
            self.model = draw(facts.model_config, facts.structure, dtype)
        else:
            loaded = load(facts.checkpoint, facts.model_config, facts.structure, dtype)
            self.model, self._used = loaded.model, loaded.used
        blocks = facts.structure.blocks
        self._passage = None if blocks is None else Passage(list(self.model.get_submodule(blocks).children()))
        self._segments = getattr(facts.model_config, "type_vocab_size", 0) > 1 and _reads(self.model, "token_type_ids")
        self._padding = int(tokenizer.pad_token_id or 0)
        length = _max_length(facts, tokenizer, self.model)
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

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self._features(batch, layout, lambda prefix: self._whole(batch, prefix))

    def run_to(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        assert self._passage is not None
        tensors: dict[str, Tensor] = {}
        axes: dict[str, tuple[str, ...]] = {}
        for prefix in self._texts(batch, "ids"):
            run = self._runner(batch, prefix)
            tensors[f"{prefix}hidden"] = self._passage.stop_before(cut, run)
            axes[f"{prefix}hidden"] = batch.axes[f"{prefix}ids"]
        lengths = {axis: length for axis, length in batch.lengths.items() if axis != ELEMENT}
        if layout == Layout.SEQUENCE and "first" in batch.tensors:
            tensors["first"], axes["first"] = batch["first"], batch.axes["first"]
            lengths[ELEMENT] = batch.lengths[ELEMENT]
        return Batch(tensors, axes, lengths)

    def resume(self, cut: int, state: Batch, layout: Layout) -> Features:
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

    def _whole(self, batch: Batch, prefix: str) -> Tensor:
        return self._runner(batch, prefix)()

    def _runner(self, batch: Batch, prefix: str) -> Callable[[], Tensor]:
        real = batch.mask(f"{prefix}{PIECES}")
        ids = batch[f"{prefix}ids"].masked_fill(~real, self._padding)
        return self._call(ids, real, batch[f"{prefix}segments"] if self._segments else None)

    def _resumed(self, cut: int, state: Batch, prefix: str) -> Tensor:
        """Run the model on pieces that stand for nothing but their number; the blocks before the cut pass the state on."""
        assert self._passage is not None
        real = state.mask(f"{prefix}{PIECES}")
        ids = torch.where(real, int(self._padding == 0), self._padding)
        segments = torch.zeros_like(ids) if self._segments else None
        hidden: Tensor = self._passage.pass_through(cut, state[f"{prefix}hidden"], self._call(ids, real, segments))
        return hidden

    def _call(self, ids: Tensor, real: Tensor, segments: Tensor | None) -> Callable[[], Tensor]:
        named: dict[str, Any] = {"input_ids": ids, "attention_mask": real.long()}
        if segments is not None:
            named["token_type_ids"] = segments

        def run() -> Tensor:
            return self.model(**named).last_hidden_state  # type: ignore[no-any-return]

        return run

    def _pooled(self, hidden: Tensor, real: Tensor) -> Tensor:
        pooled = pool(hidden, real, self._known.pooling)
        return functional.normalize(pooled, dim=-1) if self._known.normalize else pooled


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
    return Features(Layout.SEQUENCE, (hidden.gather(1, first),), batch.lengths[ELEMENT])


def _tokenizer(facts: Known) -> PreTrainedTokenizerBase:
    folder = facts.checkpoint.folder()
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise BadCheckpoint(
            facts.checkpoint.name, f"it has no vocabulary ({', '.join(VOCABULARIES)}), so texts cannot be read"
        )
    with reading(facts.checkpoint.name, "its tokenizer"), quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=facts.checkpoint.remote_code)
    if not tokenizer.is_fast:
        raise BadCheckpoint(facts.checkpoint.name, "its tokenizer has no fast form (tokenizer.json), which is needed")
    return tokenizer


def _max_length(facts: Known, tokenizer: PreTrainedTokenizerBase, model: torch.nn.Module) -> int:
    """The number of pieces that the checkpoint takes: what it states, but no more than it has positions for.

    A model with relative positions may state nothing (T5); then it is ``USUAL_LENGTH``.
    """
    stated = [
        facts.max_length,
        tokenizer.model_max_length,
        getattr(facts.model_config, "max_position_embeddings", None),
    ]
    positions = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    for module in positions:
        if isinstance(module, torch.nn.Embedding):
            stated.append(module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    lengths = [length for length in stated if length is not None and 0 < length < BOUNDLESS]
    return int(min(lengths, default=USUAL_LENGTH))


def _reads(model: torch.nn.Module, name: str) -> bool:
    return name in inspect.signature(model.forward).parameters
