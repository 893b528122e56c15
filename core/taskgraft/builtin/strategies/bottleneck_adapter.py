"""Bottleneck adapters: a small network beside a frozen layer, added to what the layer gives."""

from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.contract.descriptions import FeatureDescription, Layout

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class BottleneckAdapter(nn.Module):
    """Adds to what a module gives what a bottleneck makes of it: ``h + up(gelu(down(h)))`` (Houlsby et al. 2019).

    ``up`` is zero at first, so training starts at the pretrained function. Over a grid both are convolutions of size 1.
    Where the module gives a tuple, its first entry is adapted.
    """

    def __init__(self, wrapped: nn.Module, output: FeatureDescription, reduction: int, *, whole: bool):
        """Stand around a layer, or a whole part.

        Args:
            output: what leaves the part.
            reduction: features of the module per feature of the bottleneck.
            whole: whether the module gives what ``output`` says; else it is a layer.
        """
        super().__init__()
        self.wrapped = wrapped
        like = next((one for one in wrapped.parameters() if one.is_floating_point()), torch.empty(0))
        kind = _kind(wrapped, output, whole=whole)
        size = output.feature_size if whole else _size(wrapped, output)
        inner = max(1, size // reduction)
        more: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        if kind is not nn.Linear:
            more["kernel_size"] = 1
        self.down, self.up = kind(size, inner, **more), kind(inner, size, **more)
        for tensor in (*self.up.parameters(), *(one for one in self.down.parameters() if one.dim() == 1)):
            nn.init.zeros_(tensor)
        # Torch's own Transformer layers compute from weights alone, past this module, unless one of theirs has a hook.
        self.register_forward_hook(_nothing)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Give what the module gives, adapted."""
        given = self.wrapped(*inputs, **named)
        if isinstance(given, tuple):
            return (self._adapted(given[0]), *given[1:])
        return self._adapted(given)

    def __getattr__(self, name: str) -> Any:
        """Answer for the module where code around it asks for more than a call, such as the dtype of its weight."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("wrapped"), name)

    def _adapted(self, hidden: Tensor) -> Tensor:
        adapted: Tensor = hidden + self.up(nn.functional.gelu(self.down(hidden)))
        return adapted


def _kind(wrapped: nn.Module, output: FeatureDescription, *, whole: bool) -> Any:
    """Choose what computes over the feature axis of what a module gives."""
    if whole:
        return nn.Conv2d if output.layout in (Layout.GRID, Layout.PYRAMID) else nn.Linear
    return next((kind for kind in CONVOLUTIONS if isinstance(wrapped, kind)), nn.Linear)


def _size(layer: nn.Module, output: FeatureDescription) -> int:
    """Find the length of the feature axis of what a layer gives: what it says, else that of its part."""
    stated = (getattr(layer, name, None) for name in ("out_features", "out_channels"))
    return next((size for size in stated if isinstance(size, int)), output.feature_size)


def _nothing(*given: object) -> None:
    """Change nothing."""
