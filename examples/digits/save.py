"""Save scikit-learn's handwritten digits as an image folder: ``python examples/digits/save.py FOLDER``."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TEST = 500
"""Images held out, stratified by digit."""


def save(folder: str | Path) -> Path:
    """Write FOLDER/train/DIGIT/NUMBER.png and FOLDER/test/…: 8 x 8 pixels, 8 bits."""
    digits = load_digits()
    parts = train_test_split(range(len(digits.images)), test_size=TEST, stratify=digits.target, random_state=0)
    for name, rows in zip(("train", "test"), parts, strict=True):
        for row in rows:
            path = Path(folder) / name / str(digits.target[row]) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[row] * (255 / 16)).round().astype(np.uint8)).save(path)
    return Path(folder)


if __name__ == "__main__":
    save(sys.argv[1])
