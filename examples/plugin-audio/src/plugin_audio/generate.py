"""Write short sounds to try the plugin: ``python -m plugin_audio.generate FOLDER``."""

import sys
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABELS = ("chirp", "noise", "tone")
RATE = 8_000


def write_sounds(folder: Path, per_label: int = 40, seed: int = 0) -> None:
    """Write ``folder/LABEL/NUMBER.wav``: 16-bit mono at 8 kHz, between 0.2 and 0.5 seconds of each label."""
    generator = np.random.default_rng(seed)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(per_label):
            samples = _sound(label, generator)
            with wave.open(str(folder / label / f"{number:03}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes((samples * 32_767).astype("<i2").tobytes())


def _sound(label: str, generator: np.random.Generator) -> NDArray[np.float64]:
    seconds = generator.uniform(0.2, 0.5)
    time = np.arange(int(seconds * RATE)) / RATE
    low, high = generator.uniform(200, 1_000), generator.uniform(2_000, 3_500)
    noise = generator.normal(size=len(time))
    if label == "noise":
        sound = np.clip(noise / 4, -1, 1)
    elif label == "tone":
        sound = np.sin(2 * np.pi * generator.uniform(low, high) * time)
    else:
        sound = np.sin(2 * np.pi * (low * time + (high - low) * time**2 / (2 * seconds)))
    return generator.uniform(0.1, 0.8) * np.clip(sound + 0.01 * noise, -1, 1)


if __name__ == "__main__":
    write_sounds(Path(sys.argv[1]))
