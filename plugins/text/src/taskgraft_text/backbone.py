"""Text backbones: encoders and decoders of transformers, with pooling, text pairs, and cuts between blocks."""

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
from taskgraft_text.checkpoint import SECOND, TEXT, inspect_model
from taskgraft_text.masking import FIRST, IDS, SEGMENTS, TEXT_AXIS
from taskgraft_text.processor import SECOND_PREFIX, TextProcessor
from taskgraft_text.settings import Pair, Pooling, TextConfig
from taskgraft_transformers.export import export_checkpoint
from taskgraft_transformers.runner import Runner
from taskgraft_transformers.tokenizer import TOKENIZER_FILES
from taskgraft_transformers.weights import DTYPES, load_model, random_model

PROCESSOR_FILES = (*TOKENIZER_FILES, "modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
"""Files of a checkpoint that determine the processor and the pooling."""

HIDDEN = "hidden"
"""The tensor of a state: the hidden states at a cut."""


class TextBackbone(Backbone):
    """A text model. For its settings see :class:`TextConfig`."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self._info = info = inspect_model(config)
        tokenizer = info.tokenizer
        if not tokenizer.is_fast:
            problem = "its tokenizer has no fast version (tokenizer.json), which is required"
            raise InvalidCheckpoint(info.checkpoint.name, problem)
        dtype = DTYPES[config.dtype]
        self._used: Callable[[str], bool] | None = None
        if config.weights == "random":
            self.model = random_model(info.model_config, info.structure, dtype)
        else:
            loaded = load_model(info.checkpoint, info.model_config, info.structure, dtype)
            self.model, self._used = loaded.model, loaded.used
        self._segments = getattr(info.model_config, "type_vocab_size", 0) > 1 and _has_input(
            self.model, "token_type_ids"
        )
        self._runner = Runner(self.model, info.structure, int(tokenizer.pad_token_id or 0))
        self._processor = TextProcessor(tokenizer, info.pair, info.max_length, segments=self._segments)

    @property
    def description(self) -> BackboneDescription:
        return self._info.description

    @property
    def processor(self) -> TextProcessor:
        return self._processor

    def fingerprint(self) -> str | None:
        if self._used is None:
            return None
        return base_fingerprint(self._info.checkpoint.folder(weights=True), self._used, PROCESSOR_FILES)

    def export(self, folder: Path) -> None:
        """Write a transformers checkpoint, or a sentence-transformers folder if the base checkpoint is one."""
        info = self._info
        export_checkpoint(self.model, info.structure, info.checkpoint, self._used is not None, folder, PROCESSOR_FILES)

    def example_batch(self) -> Batch:
        texts = {TEXT: ["two small texts", "one"]}
        return self._processor.prepare(texts if self._info.pair == Pair.NONE else texts | {SECOND: texts[TEXT]}).batch

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self._features(batch, layout, lambda prefix: self._run(batch, prefix))

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        tensors: dict[str, Tensor] = {}
        axes: dict[str, tuple[str, ...]] = {}
        for prefix in ("", SECOND_PREFIX):
            if f"{prefix}{IDS}" in batch.tensors:
                tensors[f"{prefix}{HIDDEN}"] = self._runner.run_to_cut(self.model, cut, *self._tokens(batch, prefix))
                axes[f"{prefix}{HIDDEN}"] = batch.axes[f"{prefix}{IDS}"]
        lengths = {axis: length for axis, length in batch.lengths.items() if axis != ELEMENT_AXIS}
        if layout == Layout.SEQUENCE and FIRST in batch.tensors:
            tensors[FIRST], axes[FIRST] = batch[FIRST], batch.axes[FIRST]
            lengths[ELEMENT_AXIS] = batch.lengths[ELEMENT_AXIS]
        return Batch(tensors, axes, lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        if cut == 0:
            return self(state, layout)  # type: ignore[no-any-return]
        return self._features(state, layout, lambda prefix: self._run_from_cut(cut, state, prefix))

    def _features(self, batch: Batch, layout: Layout, hidden_of: Callable[[str], Tensor]) -> Features:
        hidden = hidden_of("")
        if layout == Layout.SEQUENCE:
            return _element_features(hidden, batch)
        pooled = self._pool(hidden, batch.mask(TEXT_AXIS))
        if self._info.pair == Pair.APART:
            second = self._pool(hidden_of(SECOND_PREFIX), batch.mask(f"{SECOND_PREFIX}{TEXT_AXIS}"))
            pooled = torch.cat([pooled, second, (pooled - second).abs(), pooled * second], -1)
        return Features(Layout.VECTOR, (pooled,))

    def _tokens(self, batch: Batch, prefix: str) -> tuple[Tensor, Tensor, Tensor | None]:
        segments = batch[f"{prefix}{SEGMENTS}"] if self._segments else None
        return batch[f"{prefix}{IDS}"], batch.mask(f"{prefix}{TEXT_AXIS}"), segments

    def _run(self, batch: Batch, prefix: str) -> Tensor:
        return self._runner.run(self.model, *self._tokens(batch, prefix))

    def _run_from_cut(self, cut: int, state: Batch, prefix: str) -> Tensor:
        real = state.mask(f"{prefix}{TEXT_AXIS}")
        return self._runner.run_from_cut(self.model, cut, state[f"{prefix}{HIDDEN}"], real, segments=self._segments)

    def _pool(self, hidden: Tensor, real: Tensor) -> Tensor:
        pooled = pool(hidden, real, self._info.pooling)
        return functional.normalize(pooled, dim=-1) if self._info.normalize else pooled


def build_on_meta(config: TextConfig) -> TextBackbone:
    """Build a text backbone on the meta device, without weights."""
    with torch.device("meta"):
        return TextBackbone(config.model_copy(update={"weights": "random"}))


def pool(hidden: Tensor, real: Tensor, pooling: Pooling) -> Tensor:
    """Combine the token vectors of each text into one vector.

    Args:
        hidden: ``(batch, token, feature)``.
        real: ``(batch, token)`` bool, True at tokens, which are on the left, False at padding.

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


def _element_features(hidden: Tensor, batch: Batch) -> Features:
    """Give one vector per word for lists of words, else one per token."""
    if FIRST not in batch.tensors:
        return Features(Layout.SEQUENCE, (hidden,), batch.lengths[TEXT_AXIS])
    first = batch[FIRST].unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
    return Features(Layout.SEQUENCE, (hidden.gather(1, first),), batch.lengths[ELEMENT_AXIS])


def _has_input(model: torch.nn.Module, name: str) -> bool:
    return name in inspect.signature(model.forward).parameters
