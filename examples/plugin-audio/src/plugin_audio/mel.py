"""Samples → a log-mel spectrogram."""

import math
from functools import cache

import torch
from scipy.signal import resample_poly
from torch import Tensor

from plugin_audio.wav import Samples

WINDOW, HOP = 0.025, 0.010
"""Length of a frame and distance between frames, in seconds."""

FLOOR = 1e-6
"""Added to the energy of a band before its logarithm."""

CENTRE, SPREAD = -6.0, 4.0
"""Subtracted from logarithms of energy, and what they are then divided by."""

SILENCE = (math.log(FLOOR) - CENTRE) / SPREAD
"""The value of a band without energy."""


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Convert samples from one rate to another, in hertz, by a polyphase filter."""
    if rate == wanted:
        return samples
    common = math.gcd(rate, wanted)
    result: Samples = resample_poly(samples, wanted // common, rate // common).astype("float32")
    return result


def log_mel(samples: Tensor, rate: int, bands: int) -> Tensor:
    """Compute the log-mel spectrogram: ``(sample,)`` float32 → ``(frame, band)`` float32, a frame every 10 ms."""
    window = torch.hann_window(round(WINDOW * rate), dtype=torch.float32)
    size = 2 ** math.ceil(math.log2(len(window)))
    spectrum = torch.stft(
        samples,
        size,
        hop_length=round(HOP * rate),
        win_length=len(window),
        window=window,
        pad_mode="constant",
        return_complex=True,
    )
    energy = spectrum.abs().square() / window.square().sum()
    return ((mel_filters(rate, size, bands) @ energy + FLOOR).log() - CENTRE).div(SPREAD).T.contiguous()


@cache
def mel_filters(rate: int, size: int, bands: int) -> Tensor:
    """Compute triangular filters, equally spaced in mel: ``(band, frequency)`` float32, the sum of each is 1.

    Mel is 2595 log10(1 + hertz / 700) (O'Shaughnessy, 1987). A filter narrower than the distance between two frequencies
    takes the nearest one.
    """
    frequencies = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, bands + 2, dtype=torch.float64) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    filters = torch.minimum(rising, falling).clamp(min=0)
    nearest = torch.zeros_like(filters)
    nearest[torch.arange(bands), (frequencies - middle).abs().argmin(1)] = 1
    total = filters.sum(1, keepdim=True)
    return torch.where(total > 0, filters / total.clamp(min=1e-12), nearest).float()
