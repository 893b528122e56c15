"""Trained virtual tokens before all elements: prompt tuning (Lester et al. 2021) and prefix tuning (Li and Liang 2021).

Both wrap a whole transformers model (``LayerRole.MODEL``), which is called as :class:`taskgraft_transformers.runner.Runner`
says. Nothing else of the model is known; peft and transformers find what they need in its configuration.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import torch
from peft import PrefixTuningConfig, PromptEmbedding, PromptTuningConfig, get_peft_model
from torch import Tensor, nn

from taskgraft.plugin import (
    BackboneDescription,
    HeadDescription,
    Insertion,
    LayerRole,
    Plan,
    Stage,
    Strategy,
    StrategyNotApplicable,
    ignored_warnings,
)
from taskgraft_peft.layers import PeftError
from taskgraft_peft.settings import VirtualTokenConfig
from taskgraft_transformers.structure import max_positions


class PromptTuning(Strategy):
    """Trained vectors before the token embeddings, in one stage."""

    def __init__(self, config: VirtualTokenConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        return _plan("prompt-tuning", PromptTunedModel, self._config, backbone)


class PrefixTuning(Strategy):
    """Trained keys and values before those of every attention layer, in one stage."""

    def __init__(self, config: VirtualTokenConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        return _plan("prefix-tuning", PrefixTunedModel, self._config, backbone)


class VirtualTokenModel(nn.Module, ABC):
    """A model with virtual tokens before all elements. Its input and output are those of the model alone."""

    model: Any

    def __init__(self, model: Any, length: int):
        super().__init__()
        self.model = model
        self._length = length
        self._max_positions = max_positions(model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        """Run the model.

        Args:
            input_ids: ``(batch, token)`` int64, like the others.

        Raises:
            PeftError: if tokens and virtual tokens together exceed the model's positions.
        """
        tokens = input_ids.shape[1]
        if self._max_positions is not None and tokens + self._length > self._max_positions:
            raise PeftError(
                f"An input has {tokens:,} tokens, and the strategy puts {self._length:,} virtual tokens before them, but the "
                f"model has only {self._max_positions:,} positions. Set max_length of the backbone to "
                f"{max(self._max_positions - self._length, 1):,} or less, or choose a smaller length for the strategy."
            )
        virtual = attention_mask.new_ones(len(input_ids), self._length)
        return self.run(input_ids, torch.cat([virtual, attention_mask], 1), token_type_ids)

    @abstractmethod
    def run(self, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Any:
        """Run the model. ``mask`` also covers the virtual tokens: ``(batch, length + token)``."""


class PromptTunedModel(VirtualTokenModel):
    """A model with trained vectors before the token embeddings."""

    def __init__(self, model: Any, length: int):
        super().__init__(model, length)
        table = model.get_input_embeddings()
        config = PromptTuningConfig(
            num_virtual_tokens=length,
            token_dim=table.embedding_dim,
            num_transformer_submodules=1,
            prompt_tuning_init="SAMPLE_VOCAB",
        )
        self.prompt = PromptEmbedding(config, table)

    def run(self, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Any:
        """Run the model on placeholder tokens before the real ones, and replace the embeddings of the placeholders."""
        prompt = self.prompt(torch.arange(self._length, device=ids.device))

        def replace(table: nn.Module, inputs: object, embedded: Tensor) -> Tensor:
            vectors = prompt.to(embedded.dtype).expand(len(embedded), -1, -1)
            return torch.cat([vectors, embedded[:, self._length :]], 1)

        arguments = {"input_ids": _repeat_first(ids, self._length), "attention_mask": mask}
        if segments is not None:
            arguments["token_type_ids"] = _repeat_first(segments, self._length)
        handles = [table.register_forward_hook(replace) for table in self._embedding_tables()]
        try:
            output = self.model(**arguments)
        finally:
            for handle in handles:
                handle.remove()
        output.last_hidden_state = output.last_hidden_state[:, self._length :]
        return output

    def _embedding_tables(self) -> list[nn.Module]:
        """Find the modules that embed tokens. T5 uses another one than the model names, with the same weight."""
        weight = self.model.get_input_embeddings().weight
        return [
            module for module in self.model.modules() if isinstance(module, nn.Embedding) and module.weight is weight
        ]


class PrefixTunedModel(VirtualTokenModel):
    """A model with trained keys and values before those of every attention layer."""

    def __init__(self, model: Any, length: int):
        super().__init__(model, length)
        settings = PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=length)
        with ignored_warnings():
            try:
                self.prefix = get_peft_model(model, settings)
            except ValueError as error:
                raise PeftError(f"peft cannot wrap a {type(model).__name__} model: {str(error).rstrip('.')}.") from None

    def run(self, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Any:
        arguments = {"input_ids": ids, "attention_mask": mask, "past_key_values": self.prefix.get_prompt(len(ids))}
        if segments is not None:
            arguments["token_type_ids"] = segments
        return self.model(**arguments)


def _plan(
    name: str, model_class: type[VirtualTokenModel], config: VirtualTokenConfig, backbone: BackboneDescription
) -> Plan:
    first = backbone.parts[0]
    if LayerRole.MODEL not in first.roles.values():
        raise StrategyNotApplicable(
            f"'{name}' puts virtual tokens into a transformers model, but this backbone has no layer with the role 'model'. "
            "Choose lora, or another strategy that wraps layers."
        )
    wrap = partial(model_class, length=config.length)
    insertion = Insertion(name, (first.name,), frozenset({LayerRole.MODEL}), wrap, config.learning_rate)
    return (Stage(name, insertions=(insertion,), head_learning_rate=config.head_learning_rate),)


def _repeat_first(ids: Tensor, count: int) -> Tensor:
    """Put copies of each row's first token before it."""
    return torch.cat([ids[:, :1].expand(-1, count), ids], 1)
