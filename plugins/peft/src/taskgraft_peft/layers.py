"""Wrap layers in peft's adapter layers, and merge these into the layers again."""

from collections.abc import Callable, Sequence
from typing import Any

from peft import PeftConfig
from torch import nn
from transformers.pytorch_utils import Conv1D

from taskgraft.plugin import TaskgraftError, ignored_warnings, join_words

ALL_LAYERS = r"layers\.\d+"
"""A pattern for peft's ``target_modules`` that matches all layers of a :class:`LayerHolder`."""


class PeftError(TaskgraftError):
    """Something that peft cannot do with a model, a layer or an input."""


class LayerHolder(nn.Module):
    """The model that peft sees: a list of layers."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)


def wrap_layers(
    layers: Sequence[nn.Module], config: PeftConfig, inject: Callable[[PeftConfig, LayerHolder], object]
) -> list[nn.Module]:
    """Wrap layers in peft's.

    Args:
        config: targets :data:`ALL_LAYERS`.
        inject: replaces the layers of a holder by peft's layers.

    Returns:
        peft's layers, which have the wrapped ones as ``base_layer``.

    Raises:
        PeftError: if peft cannot wrap them.
    """
    holder = LayerHolder(layers)
    with ignored_warnings():  # about settings that peft corrects itself
        try:
            inject(config, holder)
        except (NotImplementedError, TypeError, ValueError) as error:
            kinds = sorted({type(layer).__name__ for layer in layers})
            raise PeftError(f"peft cannot wrap a {join_words(kinds)} layer: {str(error).rstrip('.')}.") from None
    return list(holder.layers)


def is_transposed(layer: nn.Module) -> bool:
    """Check whether the weight of a layer is ``(in, out)``, as in transformers' Conv1D."""
    return isinstance(layer, Conv1D)


def merge_adapter(adapter: nn.Module) -> nn.Module:
    """Merge a copy of peft's layer into the layer that it wraps, and return that layer.

    Raises:
        PeftError: if peft cannot merge it.
    """
    peft_layer: Any = adapter
    layer: nn.Module = peft_layer.get_base_layer()
    try:
        peft_layer.merge(safe_merge=True)
    except (NotImplementedError, ValueError) as error:
        raise PeftError(
            f"peft cannot merge the adapter of a {type(layer).__name__} layer: {str(error).rstrip('.')}."
        ) from None
    return layer
