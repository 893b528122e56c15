"""A network that is in no library, with its own checkpoint format, as a backbone: ResNet-20 to 56 for images of 32 x 32."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from taskgraft.plugin import (
    Backbone,
    BackboneDescription,
    Batch,
    FeatureDescription,
    Features,
    GridGeometry,
    InputField,
    LayerRole,
    Layout,
    MissingTensors,
    Part,
    checkpoint_fingerprint,
    vector,
)
from taskgraft_vision.processor import Geometry, ImageProcessor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHANNELS = (16, 32, 64)
"""Of the three stages; each except the first halves the image."""


class Block(nn.Module):
    """Two convolutions and a shortcut without weights (He et al. 2015, option A): strided, padded with zero channels."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.stride = channels_out // channels_in
        self.padding = (channels_out - channels_in) // 2  # not read from a layer, since a strategy may wrap layers
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, grid: Tensor) -> Tensor:
        """Compute ``(batch, channels_out, height / stride, width / stride)``."""
        shortcut = pad(grid[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        inner = relu(self.bn1(self.conv1(grid)))
        return relu(self.bn2(self.conv2(inner)) + shortcut)


class CifarResNet(Backbone):
    """A ResNet for CIFAR-10, depth 20, 32, 44 or 56.

    Args:
        weights: a safetensors file with the names of this network's tensors; None for random weights.
        depth: number of layers; the network has (depth - 2) / 6 blocks per stage.
    """

    def __init__(self, weights: str | Path | None = None, depth: int = 20):
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        self.names = []
        previous = CHANNELS[0]
        for stage, channels in enumerate(CHANNELS, start=1):
            channels_in = [previous, *[channels] * (blocks - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(*(Block(count, channels) for count in channels_in)))
            self.names += [f"layer{stage}.{number}" for number in range(blocks)]
            previous = channels
        self.weights = None if weights is None else Path(weights)
        if weights is not None:
            stored = load_file(weights)
            needed = [name for name in self.state_dict() if not name.endswith("num_batches_tracked")]
            if missing := tuple(name for name in needed if name not in stored):
                raise MissingTensors(str(weights), missing)
            self.load_state_dict({name: stored[name] for name in needed}, strict=False)
        self.eval()

    @property
    def description(self) -> BackboneDescription:
        """Inputs, features, and blocks, with a cut before each."""
        parts = []
        for name in self.names:
            channels = CHANNELS[int(name[5]) - 1]
            owns = ("conv1", "bn1", name) if name == self.names[0] else (name,)
            roles = {f"{name}.{layer}": LayerRole.CONVOLUTION for layer in ("conv1", "conv2")}
            parts.append(
                Part(name, owns, FeatureDescription(Layout.GRID, (channels,), strides=(channels // 16,)), roles)
            )
        features = (vector(CHANNELS[-1]), parts[-1].output)
        return BackboneDescription((InputField("image", files=True),), features, tuple(parts), tuple(range(len(parts))))

    @property
    def processor(self) -> ImageProcessor:
        """Resizes images to 32 x 32."""
        return ImageProcessor(Geometry(32, 32, mode="squash"))

    def fingerprint(self) -> str | None:
        """Identify the checkpoint by the tensors that the network uses."""
        own = self.state_dict().keys()
        return None if self.weights is None else checkpoint_fingerprint([self.weights], own.__contains__, {})

    def forward(self, batch: Batch, layout: Layout) -> Features:
        """Compute features."""
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        """Run the blocks before a cut."""
        if cut == 0:
            return batch
        state = {"grid": self._blocks(self._stem(batch["pixels"]), self.names[:cut])}
        return Batch(state if layout == Layout.VECTOR else state | {name: batch[name] for name in ("place", "sizes")})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        """Run the blocks after a cut."""
        grid = self._blocks(self._stem(state["pixels"]) if cut == 0 else state["grid"], self.names[cut:])
        if layout == Layout.VECTOR:
            return Features(layout, (grid.mean((2, 3)),))
        return Features(layout, (grid,), geometry=GridGeometry(state["place"], state["sizes"]))

    def _stem(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(colour, device=pixels.device)[:, None, None] * 255 for colour in (MEAN, STD))
        return relu(self.bn1(self.conv1(((pixels - mean) / std).to(self.conv1.weight.dtype))))

    def _blocks(self, grid: Tensor, names: list[str]) -> Tensor:
        for name in names:
            grid = self.get_submodule(name)(grid)
        return grid
