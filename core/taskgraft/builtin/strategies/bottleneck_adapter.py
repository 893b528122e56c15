"""The module of a bottleneck adapter: a small network whose output is added to that of a frozen layer."""

from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.contract.descriptions import FeatureDescription, Layout

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class BottleneckAdapter(nn.Module):
    """Adds a bottleneck to the output of a module: ``h + up(gelu(down(h)))`` (Houlsby et al. 2019).

    ``up`` is initialized to zero, so training starts at the pretrained function. Over a grid both are 1 x 1 convolutions.
    Where the module returns a tuple, its first entry is adapted.
    """

    def __init__(self, wrapped: nn.Module, output: FeatureDescription, reduction: int, *, whole: bool):
        """Wrap a layer, or a whole part.

        Args:
            output: the features that leave the part.
            reduction: features of the module per feature of the bottleneck.
            whole: whether the module is the whole part, so that ``output`` describes what it returns; else it is a layer.
        """
        super().__init__()
        self.wrapped = wrapped
        reference = next((one for one in wrapped.parameters() if one.is_floating_point()), torch.empty(0))
        projection = _projection_type(wrapped, output, whole=whole)
        size = output.feature_size if whole else _feature_size(wrapped, output)
        inner = max(1, size // reduction)
        options: dict[str, Any] = {"dtype": reference.dtype, "device": reference.device}
        if projection is not nn.Linear:
            options["kernel_size"] = 1
        self.down, self.up = projection(size, inner, **options), projection(inner, size, **options)
        for tensor in (*self.up.parameters(), *(one for one in self.down.parameters() if one.dim() == 1)):
            nn.init.zeros_(tensor)
        # Torch's own Transformer layers take a fast path on the weights alone, which skips this module, unless one of their
        # submodules has a hook.
        self.register_forward_hook(_no_op)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Run the module and adapt its output."""
        output = self.wrapped(*inputs, **named)
        if isinstance(output, tuple):
            return (self._adapt(output[0]), *output[1:])
        return self._adapt(output)

    def __getattr__(self, name: str) -> Any:
        """Forward attributes of the wrapped module, for callers that read more of it, such as the dtype of its weight."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("wrapped"), name)

    def _adapt(self, hidden: Tensor) -> Tensor:
        adapted: Tensor = hidden + self.up(nn.functional.gelu(self.down(hidden)))
        return adapted


def _projection_type(wrapped: nn.Module, output: FeatureDescription, *, whole: bool) -> Any:
    """Choose the type of layer that acts on the feature axis of the module's output."""
    if whole:
        return nn.Conv2d if output.layout in (Layout.GRID, Layout.PYRAMID) else nn.Linear
    return next((kind for kind in _CONVOLUTIONS if isinstance(wrapped, kind)), nn.Linear)


def _feature_size(layer: nn.Module, output: FeatureDescription) -> int:
    """Return the feature size of a layer's output: the one it states, else that of its part."""
    stated = (getattr(layer, name, None) for name in ("out_features", "out_channels"))
    return next((size for size in stated if isinstance(size, int)), output.feature_size)


def _no_op(*_: object) -> None:
    """Change nothing."""
