"""Image backbones: one module for every library, run along the stretches that its anatomy found."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from taskgraft.plugin import Backbone, BackboneDescription, Batch, Features, GridGeometry, InputField, Layout, Part
from taskgraft_vision.anatomy import Anatomy, Size
from taskgraft_vision.augmentation_settings import PolicyList
from taskgraft_vision.processor import IMAGE, Colour, ImageProcessor
from taskgraft_vision.settings import ImageConfig

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

HIDDEN, LEVEL = "hidden", "level"
"""Begin the names of the tensors of a state: what the block at a cut reads, and levels of a pyramid from before it."""


Export = Callable[[nn.Module, Path], None]


class ImageBackbone(Backbone):
    """A model for images. ``model`` is the library's own module."""

    def __init__(
        self,
        model: nn.Module,
        found: Anatomy,
        description: BackboneDescription,
        processor: ImageProcessor,
        normalization: tuple[Colour, Colour],
        size: Size,
        fingerprint: str | None,
        export: Export,
    ):
        """Put together what a library made.

        Args:
            export: writes the model, as it is then, into an empty folder in the form of its library.
            normalization: mean and standard deviation of red, green and blue, from 0 to 1.
            size: channels, height and width of the pixels.
        """
        super().__init__()
        self.model = model
        self._found = found
        self._description = description
        self._processor = processor.normalized(*normalization)
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
        return self._processor.blank(2)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return _features(self._found.stretches[layout].whole(self.model, self._pixels(batch)), layout, batch)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden, early = self._found.stretches[layout].run_to(self.model, cut, self._pixels(batch))
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
        outputs = self._found.stretches[layout].resume(self.model, cut, hidden, early, self._size)
        return _features(outputs, layout, state)

    def _pixels(self, batch: Batch) -> Tensor:
        """Scale pixels, ``(batch, 3, height, width)`` uint8, to mean 0 and standard deviation 1 in the dtype of the weights."""
        pixels = batch["pixels"]
        dtype = next(self.model.parameters()).dtype
        mean, std = (
            torch.tensor(one, dtype=torch.float32, device=pixels.device).mul(255)[:, None, None]
            for one in self._normalization
        )
        return ((pixels.to(torch.float32) - mean) / std).to(dtype)


def described(found: Anatomy, config: ImageConfig, licence: str | None) -> BackboneDescription:
    """Describe an image backbone."""
    policies = PolicyList(config.augment)
    return BackboneDescription(
        inputs=(InputField(IMAGE, files=True),),
        features=tuple(
            replace(feature, unused=tuple(f"model.{path}" for path in feature.unused)) for feature in found.features
        ),
        parts=tuple(_below_model(part) for part in found.parts),
        cuts=found.cuts,
        unused=tuple(f"model.{path}" for path in found.unused),
        licence=licence,
        mixes_examples=policies.mixes,
        moves_positions_in=policies.displaces & {feature.layout for feature in found.features},
    )


def _below_model(part: Part) -> Part:
    roles = {f"model.{path}": role for path, role in part.roles.items()}
    return replace(part, owns=tuple(f"model.{path}" for path in part.owns), roles=roles)


def _features(outputs: Sequence[Tensor], layout: Layout, batch: Batch) -> Features:
    if layout == Layout.VECTOR:
        return Features(layout, (outputs[0],))
    if layout == Layout.SEQUENCE:
        elements = outputs[0].flatten(2).transpose(1, 2)
        return Features(layout, (elements,), torch.full(elements.shape[:1], elements.shape[1], device=elements.device))
    return Features(layout, tuple(outputs), geometry=GridGeometry(batch["place"], batch["sizes"]))
