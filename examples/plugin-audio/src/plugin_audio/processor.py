"""Sounds → log-mel spectrograms. Invalid sounds are reported by row."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from taskgraft.plugin import ELEMENT_AXIS, AugmentedBatch, Batch, Columns, ProcessedBatch, Processor
from torch import Tensor

from plugin_audio.mel import CENTRE, FLOOR, HOP, SILENCE, SPREAD, WINDOW, log_mel, resample
from plugin_audio.settings import AUDIO, MelNetworkConfig
from plugin_audio.wav import InvalidSound, Samples, read_wav

MEL, FRAME = "mel", "frame"
"""The tensor of a processed batch, and the axis that it is padded along."""

STRIDE = 4
"""Frames per element: 40 ms."""


class MelProcessor(Processor):
    """A sound → ``mel`` ``(batch, frame, band)`` float32, a frame every 10 ms; padding is 0.

    A sound is the path of a WAV file, a list of samples at the rate of the settings, or a dict with ``array`` and
    ``sampling_rate`` as in the Audio column of Hugging Face datasets. An element is 40 ms.
    """

    def __init__(self, config: MelNetworkConfig):
        self._rate, self._bands, self._seconds = config.sample_rate, config.bands, config.max_seconds
        self._gain, self._shift, self._noise, self._masks = config.gain, config.shift, config.noise, config.masks

    @property
    def augments(self) -> bool:
        return any((self._gain, self._shift, self._noise, self._masks))

    def settings(self) -> Mapping[str, Any]:
        return {
            "sample_rate": self._rate,
            "bands": self._bands,
            "max_seconds": self._seconds,
            "window": WINDOW,
            "hop": HOP,
            "floor": FLOOR,
            "centre": CENTRE,
            "spread": SPREAD,
        }

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        sounds, invalid, cut = self._load_all(inputs)
        notes = {f"cut to {self._seconds:g} seconds": cut} if cut else {}
        batch = _batch([log_mel(torch.from_numpy(sound), self._rate, self._bands) for sound in sounds])
        return ProcessedBatch(batch, invalid, notes, batch.lengths[ELEMENT_AXIS].tolist())

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        sounds, invalid, _ = self._load_all(inputs)
        rows = [self._vary(torch.from_numpy(sound), seed) for sound, seed in zip(sounds, seeds, strict=True)]
        return AugmentedBatch(_batch(rows), invalid=invalid)

    def raw_values(self, role: str, value: Any) -> Sequence[Any]:
        if isinstance(value, np.ndarray):
            if value.ndim != 1:
                raise ValueError(f"pass samples as an array (sample,), not of shape {value.shape}")
            return [value.tolist()]
        return [value]

    def _load_all(self, inputs: Columns) -> tuple[list[Samples], dict[int, str], int]:
        """Load all sounds: one sample of silence for an invalid one, its reason, and how many were cut."""
        sounds, invalid, cut = list[Samples](), dict[int, str](), Counter[bool]()
        for row, value in enumerate(inputs[AUDIO]):
            try:
                sound, longer = self._load(value)
                cut[longer] += 1
            except InvalidSound as error:
                sound, invalid[row] = np.zeros(1, np.float32), str(error)
            sounds.append(sound)
        return sounds, invalid, cut[True]

    def _load(self, value: Any) -> tuple[Samples, bool]:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise InvalidSound("the sound is empty")
        if isinstance(value, str):
            samples, rate, longer = read_wav(value, self._seconds)
        else:
            samples, rate = _from_memory(value, self._rate)
            longer = len(samples) > int(self._seconds * rate)
            samples = samples[: int(self._seconds * rate)]
        return resample(samples, rate, self._rate), longer

    def _vary(self, samples: Tensor, seed: int) -> Tensor:
        """Change loudness, shift in time (circularly), add noise, and mask a stretch of time and of bands (Park, 2019)."""
        generator = torch.Generator().manual_seed(seed)
        gain, shift, noise, *masks = torch.rand(7, generator=generator).tolist()
        samples = samples * 10 ** (self._gain * (2 * gain - 1) / 20)
        samples = samples.roll(round(self._shift * (2 * shift - 1) * self._rate))
        samples = samples + self._noise * noise * torch.randn(len(samples), generator=generator)
        mel = log_mel(samples, self._rate, self._bands)
        for axis, (share, place) in enumerate((masks[:2], masks[2:])):
            width = int(self._masks * share * mel.shape[axis])
            mel.narrow(axis, int(place * (mel.shape[axis] - width)), width).fill_(SILENCE)
        return mel


def _from_memory(value: Any, rate: int) -> tuple[Samples, int]:
    if isinstance(value, Mapping):
        if value.get("array") is None or not isinstance(value.get("sampling_rate"), int):
            raise InvalidSound("the sound is a dict without 'array' and 'sampling_rate'")
        value, rate = value["array"], value["sampling_rate"]
        if not 1 <= rate <= 768_000:
            raise InvalidSound(f"the sampling rate is {rate:,} hertz")
    try:
        samples = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        samples = None
    if samples is None or samples.ndim != 1:
        raise InvalidSound(f"the sound is {value!r:.40}, neither the path of a WAV file nor a list of samples")
    if not len(samples):
        raise InvalidSound("the sound has no samples")
    if not np.isfinite(samples).all() or np.abs(samples).max() > 1_000:
        raise InvalidSound("the sound contains samples that are not finite or above 1,000, where full scale is 1")
    return samples, rate


def _batch(rows: Sequence[Tensor]) -> Batch:
    lengths = torch.tensor([len(row) for row in rows])
    mel = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    elements = torch.tensor([math.ceil(len(row) / STRIDE) for row in rows])
    return Batch({MEL: mel}, {MEL: (FRAME,)}, {FRAME: lengths, ELEMENT_AXIS: elements})
