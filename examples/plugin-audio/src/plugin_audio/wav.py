"""Read WAV files: PCM of 8 to 32 bits and floats, any number of channels, as far as they are needed."""

import struct
from typing import IO

import numpy as np
from numpy.typing import NDArray
from taskgraft.plugin import open_regular_file

Samples = NDArray[np.float32]
"""``(sample,)``, full scale is from -1 to 1."""

MAX_RATE, MAX_CHANNELS = 768_000, 64
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM", 80: "MPEG", 85: "MP3", 255: "AAC"}
"""Formats that are not decoded, by their number in the file."""

UNKNOWN_SIZE = 0xFFFFFFFF
"""The size that a program writes which does not know it yet, such as one that writes to a pipe."""


class InvalidSound(Exception):
    """A sound that cannot be used. Its text is a clause: "tone.wav is empty"."""


def read_wav(path: str, seconds: float) -> tuple[Samples, int, bool]:
    """Read the beginning of a WAV file, its channels averaged.

    Returns:
        the samples; their rate in hertz; and whether the file is longer than ``seconds``.

    Raises:
        InvalidSound: for a file that cannot be opened or is no readable WAV file.
    """
    try:
        with open_regular_file(path) as file:
            return _read(file, seconds)
    except OSError as error:
        raise InvalidSound(f"{path} cannot be opened ({error.strerror})") from None
    except InvalidSound as error:
        raise InvalidSound(f"{path} {error}") from None


def _read(file: IO[bytes], seconds: float) -> tuple[Samples, int, bool]:
    header = file.read(12)
    if not header:
        raise InvalidSound("is empty")
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        raise InvalidSound("is not a WAV file: it does not start with RIFF and WAVE")
    layout = None
    while True:
        name, size = _chunk(file)
        if name == b"fmt ":
            layout = _format(file.read(min(size, 64)))
            file.seek(max(size - 64, 0) + size % 2, 1)
        elif name == b"data":
            break
        else:
            file.seek(size + size % 2, 1)
    if layout is None:
        raise InvalidSound("is damaged: its samples come before their format")
    kind, channels, rate, width = layout
    wanted = int(seconds * rate) * channels * width
    start = file.tell()
    there = file.seek(0, 2) - start
    file.seek(start)
    if size == UNKNOWN_SIZE:
        size = there
    if there < size:
        raise InvalidSound(f"is truncated: its header promises {size:,} bytes of samples, and {there:,} are there")
    samples = _decode(file.read(min(size, wanted)), kind, channels, width)
    return samples, rate, size > wanted


def _chunk(file: IO[bytes]) -> tuple[bytes, int]:
    header = file.read(8)
    if len(header) < 8:
        raise InvalidSound("is truncated: it ends before its samples")
    name, size = struct.unpack("<4sI", header)
    return name, size


def _format(chunk: bytes) -> tuple[int, int, int, int]:
    """Return the kind of number, the channels, the rate in hertz and the bytes of a number."""
    if len(chunk) < 16:
        raise InvalidSound("is damaged: its format is incomplete")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
    if kind == EXTENSIBLE and len(chunk) >= 26:
        (kind,) = struct.unpack("<H", chunk[24:26])
    if (kind, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}:
        found = COMPRESSED.get(kind, f"format {kind} with {bits} bits")
        raise InvalidSound(f"contains {found}; convert it to PCM of 16 bits")
    if not (1 <= channels <= MAX_CHANNELS and 1 <= rate <= MAX_RATE):
        raise InvalidSound(f"is damaged: it states {channels:,} channels at {rate:,} hertz")
    return kind, channels, rate, bits // 8


def _decode(data: bytes, kind: int, channels: int, width: int) -> Samples:
    data = data[: len(data) // (channels * width) * channels * width]
    if not data:
        raise InvalidSound("has no samples")
    numbers: NDArray[np.float64]
    if kind == FLOAT:
        numbers = np.frombuffer(data, f"<f{width}").astype(np.float64)
    elif width == 1:
        numbers = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    elif width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 1:] = parts
        numbers = wide.reshape(-1).view("<i4").astype(np.float64) / 2**31
    else:
        numbers = np.frombuffer(data, f"<i{width}").astype(np.float64) / 2 ** (8 * width - 1)
    if not np.isfinite(numbers).all():
        raise InvalidSound("contains numbers that are not finite")
    if np.abs(numbers).max() > 1_000:
        raise InvalidSound(f"contains samples up to {np.abs(numbers).max():.3g}, where full scale is 1")
    samples: Samples = numbers.reshape(-1, channels).mean(1).astype(np.float32)
    return samples
