"""Image backbones: one module for all libraries, run by the traced forward functions of its structure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from taskgraft.plugin import Backbone, BackboneDescription, Batch, Features, GridGeometry, InputField, Layout, Part
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.grids import Size
from taskgraft_vision.processor import IMAGE, Colour, ImageProcessor
from taskgraft_vision.settings import ImageConfig
from taskgraft_vision.structure import ModelStructure

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

HIDDEN, LEVEL = "hidden", "level"
"""Prefixes of the tensor names of a state: input of the block at a cut, and pyramid levels from before the cut."""

Export = Callable[[nn.Module, Path], None]


class ImageBackbone(Backbone):
    """An image model. ``model`` is the library's own module."""

    def __init__(
        self,
        model: nn.Module,
        structure: ModelStructure,
        description: BackboneDescription,
        processor: ImageProcessor,
        normalization: tuple[Colour, Colour],
        size: Size,
        fingerprint: str | None,
        export: Export,
    ):
        """Wrap a library's model.

        Args:
            normalization: mean and standard deviation of red, green and blue, from 0 to 1.
            size: channels, height and width of the pixels.
            fingerprint: of the loaded weights; None for random ones.
            export: writes the model with its current weights into an empty folder, in its library's format.
        """
        super().__init__()
        self.model = model
        self._structure = structure
        self._description = description
        self._processor = processor.with_normalization(*normalization)
        self._normalization = normalization
        self._size = size
        self._fingerprint = fingerprint
        self._export = export

    @property
    def description(self) -> BackboneDescription:
        return self._description

    @property
    def processor(self) -> ImageProcessor:
        return self._processor

    def fingerprint(self) -> str | None:
        return self._fingerprint

    def export(self, folder: Path) -> None:
        """Write a checkpoint of timm or of transformers."""
        self._export(self.model, folder)

    def example_batch(self) -> Batch:
        return self._processor.blank_batch(2)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        outputs = self._structure.forwards[layout].forward(self.model, self._pixels(batch))
        return _features(outputs, layout, batch)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden, early = self._structure.forwards[layout].forward_to_cut(self.model, cut, self._pixels(batch))
        tensors = {f"{HIDDEN} {number}": tensor for number, tensor in enumerate(hidden)}
        tensors |= {f"{LEVEL} {number}": tensor for number, tensor in early.items()}
        if layout in (Layout.GRID, Layout.PYRAMID):
            tensors |= {name: batch[name] for name in ("place", "sizes")}
        return Batch(tensors)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        if cut == 0:
            return self(state, layout)  # type: ignore[no-any-return]
        hidden = [tensor for name, tensor in state.tensors.items() if name.startswith(HIDDEN)]
        early = {int(name.split()[1]): tensor for name, tensor in state.tensors.items() if name.startswith(LEVEL)}
        outputs = self._structure.forwards[layout].forward_from_cut(self.model, cut, hidden, early, self._size)
        return _features(outputs, layout, state)

    def _pixels(self, batch: Batch) -> Tensor:
        """Normalize pixels, ``(batch, 3, height, width)`` uint8, to mean 0 and standard deviation 1, in the weights' dtype."""
        pixels = batch["pixels"]
        dtype = next(self.model.parameters()).dtype
        mean, std = (
            torch.tensor(colour, dtype=torch.float32, device=pixels.device).mul(255)[:, None, None]
            for colour in self._normalization
        )
        return ((pixels.to(torch.float32) - mean) / std).to(dtype)


def describe_backbone(structure: ModelStructure, config: ImageConfig, licence: str | None) -> BackboneDescription:
    """Describe an image backbone."""
    policies = PolicyList(config.augment)
    return BackboneDescription(
        inputs=(InputField(IMAGE, files=True),),
        features=tuple(
            replace(feature, unused=tuple(f"model.{path}" for path in feature.unused)) for feature in structure.features
        ),
        parts=tuple(_prefixed(part) for part in structure.parts),
        cuts=structure.cuts,
        unused=tuple(f"model.{path}" for path in structure.unused),
        licence=licence,
        mixes_examples=policies.mixes_examples,
        moves_positions_in=policies.moves_positions_in & {feature.layout for feature in structure.features},
    )


def _prefixed(part: Part) -> Part:
    roles = {f"model.{path}": role for path, role in part.roles.items()}
    return replace(part, owns=tuple(f"model.{path}" for path in part.owns), roles=roles)


def _features(outputs: Sequence[Tensor], layout: Layout, batch: Batch) -> Features:
    if layout == Layout.VECTOR:
        return Features(layout, (outputs[0],))
    if layout == Layout.SEQUENCE:
        elements = outputs[0].flatten(2).transpose(1, 2)
        return Features(layout, (elements,), torch.full(elements.shape[:1], elements.shape[1], device=elements.device))
    return Features(layout, tuple(outputs), geometry=GridGeometry(batch["place"], batch["sizes"]))
