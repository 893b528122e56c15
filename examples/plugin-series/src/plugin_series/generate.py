"""Write series to try the plugin, as a long table: ``python -m plugin_series.generate FILE.csv``."""

import csv
import sys
from pathlib import Path

import numpy as np

LABELS = ("falling", "fast", "rising", "slow")


def write_series(path: Path, per_label: int = 40, seed: int = 0) -> None:
    """Write the columns ``sensor``, ``second``, ``x``, ``y`` and ``kind``: 50 to 90 seconds per sensor, some values missing."""
    generator = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sensor", "second", "x", "y", "kind"])
        for number in range(per_label * len(LABELS)):
            kind = LABELS[number % len(LABELS)]
            seconds = np.arange(generator.integers(50, 91))
            period = {"fast": generator.uniform(4, 7), "slow": generator.uniform(16, 24)}.get(kind, 10)
            trend = {"rising": 1.0, "falling": -1.0}.get(kind, 0.0) * generator.uniform(0.05, 0.1)
            phase = generator.uniform(0, 2 * np.pi)
            for second in seconds:
                angle = 2 * np.pi * second / period + phase
                x, y = np.sin(angle) + trend * second, np.cos(angle) + generator.normal(scale=0.1)
                missing = generator.random() < 0.02
                writer.writerow([f"s{number}", second, "" if missing else f"{x:.3f}", f"{y:.3f}", kind])


if __name__ == "__main__":
    write_series(Path(sys.argv[1]))
