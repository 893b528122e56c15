"""PatchTST (Nie and others, 2023) as a backbone: a vector per series."""

from pathlib import Path
from typing import Any

import torch
from taskgraft.plugin import (
    Backbone,
    BackboneDescription,
    Batch,
    Checkpoint,
    Features,
    InvalidCheckpoint,
    Layout,
    MissingTensors,
    base_fingerprint,
    translate_errors,
)
from torch import Tensor
from transformers import PatchTSTModel

from plugin_series.processor import OBSERVED, VALUES, SeriesProcessor
from plugin_series.settings import PatchTSTSettings
from plugin_series.structure import describe, model_config

HIDDEN, SEEN = "hidden", "seen"
"""The tensors of a state: ``(batch, channel, patch, feature)``; and ``(batch, channel, patch)`` bool, True with values."""


class PatchTST(Backbone):
    """See :class:`PatchTSTSettings`. A vector holds for each channel the mean over patches that have an observed value."""

    def __init__(self, settings: PatchTSTSettings):
        super().__init__()
        self._settings, self._model_config = settings, model_config(settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = self._read() if settings.checkpoint else PatchTSTModel(self._model_config)
        self.encoder, self.patchifier = model.encoder, model.patchifier

    @property
    def description(self) -> BackboneDescription:
        return describe(self._settings)

    @property
    def processor(self) -> SeriesProcessor:
        count = len(self._settings.channels)
        means, deviations = self._settings.means or (0.0,) * count, self._settings.deviations or (1.0,) * count
        return SeriesProcessor(self._settings, self._model_config.context_length, means, deviations)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden, seen = self._embed(batch)
        for layer in self.encoder.layers[: cut - 1]:
            hidden = layer(hidden)[0]
        return Batch({HIDDEN: hidden, SEEN: seen})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden, seen = self._embed(state) if cut == 0 else (state[HIDDEN], state[SEEN])
        for layer in self.encoder.layers[max(cut - 1, 0) :]:
            hidden = layer(hidden)[0]
        if self._model_config.use_cls_token:
            return Features(layout, (hidden[:, :, 0].flatten(1),))
        total = hidden.masked_fill(~seen[..., None], 0).sum(2)
        return Features(layout, ((total / seen.sum(2).clamp(min=1)[..., None].to(total.dtype)).flatten(1),))

    def fingerprint(self) -> str | None:
        if self._settings.checkpoint is None:
            return None
        folder = Checkpoint(self._settings.checkpoint).folder(weights=True)
        return base_fingerprint(folder, lambda name: "encoder." in name, ())

    def export(self, folder: Path) -> None:
        """Write config.json and model.safetensors, which PatchTSTModel.from_pretrained reads."""
        with torch.device("meta"):
            model = PatchTSTModel(self._model_config)
        model.encoder = self.encoder
        model.save_pretrained(folder)

    def _read(self) -> PatchTSTModel:
        checkpoint = Checkpoint(self._settings.checkpoint or "")
        with translate_errors(checkpoint.name, "its weights"):
            loaded: Any = PatchTSTModel.from_pretrained(
                checkpoint.folder(weights=True),
                config=self._model_config,
                output_loading_info=True,
                dtype=torch.float32,
            )
        model: PatchTSTModel = loaded[0]
        report = loaded[1]
        if missing := tuple(sorted(report["missing_keys"])):
            raise MissingTensors(checkpoint.name, missing)
        if wrong := sorted(map(str, report["mismatched_keys"])):
            raise InvalidCheckpoint(
                checkpoint.name, f"its tensors have other shapes than its configuration: {wrong[0]}"
            )
        return model

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        weight = next(self.encoder.parameters())
        patches = self.patchifier(batch[VALUES].to(weight.dtype))
        seen = self.patchifier(batch[OBSERVED]).any(-1)
        return self.encoder.positional_encoder(self.encoder.embedder(patches)), seen
