"""Learned vectors in front of all elements: prompt tuning (Lester et al. 2021) and prefix tuning (Li and Liang 2021).

Both go around a whole model of transformers (``Role.MODEL``), which is called as :class:`taskgraft_transformers.running.Runner`
says. Nothing else of the model is known: peft and transformers find what they need in its configuration.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
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
    TaskgraftError,
)
from taskgraft_peft.layers import CannotAdapt, quiet
from taskgraft_peft.settings import FrontConfig
from taskgraft_transformers.running import places


class PromptTuning(Strategy):
    """Vectors in front of what the first block reads, in one stage."""

    def __init__(self, config: FrontConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        return _plan("prompt-tuning", Prompted, self._config, backbone)


class PrefixTuning(Strategy):
    """Keys and values in front of those of every attention, in one stage."""

    def __init__(self, config: FrontConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        return _plan("prefix-tuning", Prefixed, self._config, backbone)


class Fronted(nn.Module, ABC):
    """A model with something in front of all elements. Is called, and answers, as the model alone does."""

    model: Any

    def __init__(self, model: Any, length: int):
        super().__init__()
        self.model = model
        self._length = length
        self._places = places(model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        """Run the model.

        Args:
            input_ids: ``(batch, piece)`` int64, and the others alike.

        Raises:
            TooLong: when what stands in front leaves too few positions.
        """
        pieces = input_ids.shape[1]
        if self._places is not None and pieces + self._length > self._places:
            raise TooLong(pieces, self._length, self._places)
        front = attention_mask.new_ones(len(input_ids), self._length)
        return self.run(input_ids, torch.cat([front, attention_mask], 1), token_type_ids)

    @abstractmethod
    def run(self, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Any:
        """Run the model on elements; ``mask`` is longer by what stands in front of them."""


class Prompted(Fronted):
    """A model whose first block reads learned vectors before those of all elements."""

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
        """Let pieces hold the places, and put vectors there as soon as they are looked up."""
        front = self.prompt(torch.arange(self._length, device=ids.device))

        def put(table: nn.Module, inputs: object, found: Tensor) -> Tensor:
            return torch.cat([front.to(found.dtype).expand(len(found), -1, -1), found[:, self._length :]], 1)

        named = {"input_ids": _before(ids, self._length), "attention_mask": mask}
        if segments is not None:
            named["token_type_ids"] = _before(segments, self._length)
        handles = [table.register_forward_hook(put) for table in self._tables()]
        try:
            output = self.model(**named)
        finally:
            for handle in handles:
                handle.remove()
        output.last_hidden_state = output.last_hidden_state[:, self._length :]
        return output

    def _tables(self) -> list[nn.Module]:
        """Find the modules that look pieces up: in T5, another one than the model names, with the same weight."""
        weight = self.model.get_input_embeddings().weight
        return [one for one in self.model.modules() if isinstance(one, nn.Embedding) and one.weight is weight]


class Prefixed(Fronted):
    """A model whose attentions read learned keys and values before those of all elements."""

    def __init__(self, model: Any, length: int):
        super().__init__(model, length)
        settings = PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=length)
        with quiet():
            try:
                self.prefix = get_peft_model(model, settings)
            except ValueError as error:
                raise CannotAdapt((type(model).__name__,), str(error)) from None

    def run(self, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Any:
        named = {"input_ids": ids, "attention_mask": mask, "past_key_values": self.prefix.get_prompt(len(ids))}
        if segments is not None:
            named["token_type_ids"] = segments
        return self.model(**named)


def _plan(name: str, around: type[Fronted], config: FrontConfig, backbone: BackboneDescription) -> Plan:
    first = backbone.parts[0]
    if LayerRole.MODEL not in first.roles.values():
        raise StrategyNotApplicable(
            f"'{name}' puts vectors in front of the elements of a model of transformers, but this backbone names no such "
            "model. Choose lora, or another strategy that goes around layers."
        )

    wrap = partial(around, length=config.length)
    insertion = Insertion(name, (first.name,), frozenset({LayerRole.MODEL}), wrap, config.learning_rate)
    return (Stage(name, insertions=(insertion,), head_learning_rate=config.head_learning_rate),)


def _before(pieces: Tensor, count: int) -> Tensor:
    """Repeat the first piece of each row in front of it."""
    return torch.cat([pieces[:, :1].expand(-1, count), pieces], 1)


@dataclass(eq=False)
class TooLong(TaskgraftError):
    """More elements than a model has positions for, with what stands in front of them."""

    pieces: int
    length: int
    places: int

    def __str__(self) -> str:
        return (
            f"An input has {self.pieces:,} pieces, and {self.length:,} learned vectors stand in front of them, but the model "
            f"has only {self.places:,} positions. Choose max_length = {max(self.places - self.length, 1):,} or less for the "
            "backbone, or a smaller length for the strategy."
        )
