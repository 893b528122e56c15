"""Draw noisy pictures of circles, squares and triangles, and their masks."""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CIRCLE, SQUARE, TRIANGLE = 1, 2, 3
"""Class numbers. The background is 0; the edge of a shape, one pixel wide, is nobody's: 255."""

EDGE = 255
COLOURS = {CIRCLE: (200, 70, 60), SQUARE: (70, 180, 80), TRIANGLE: (70, 90, 210)}
"""Red, green and blue about which a shape's own colour is drawn; the background is drawn about grey."""

PALETTE = [40, 40, 40, 230, 80, 60, 70, 170, 90, 70, 110, 220] + [0] * 3 * 251 + [255] * 3


def draw(folder: Path, count: int, seed: int) -> None:
    """Draw pictures and masks into a folder, and a table of them, NAME.csv, beside it.

    Args:
        count: how many pictures.
        seed: the same seed draws the same pictures.
    """
    folder.mkdir(parents=True)
    with folder.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "mask"])
        for number in range(count):
            image, mask = picture(np.random.default_rng([seed, number]))
            names = [f"{folder.name}/{number:04}.jpg", f"{folder.name}/{number:04}.png"]
            image.save(folder.parent / names[0], quality=90)
            mask.save(folder.parent / names[1])
            table.writerow(names)


def picture(chance: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Draw one to three shapes, and the mask with a palette that shows its classes."""
    width, height = chance.integers(64, 97, 2).tolist()
    image = Image.new("RGB", (width, height), about((128, 128, 128), chance))
    mask = Image.new("P", (width, height))
    mask.putpalette(PALETTE)
    for _ in range(chance.integers(1, 4)):
        shape = int(chance.integers(CIRCLE, TRIANGLE + 1))
        corners = outline(shape, chance, width, height)
        ImageDraw.Draw(image).polygon(corners, fill=about(COLOURS[shape], chance))
        ImageDraw.Draw(mask).polygon(corners, fill=shape, outline=EDGE)
    noisy = np.asarray(image, np.float64) + chance.normal(0, 15, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), mask


def outline(shape: int, chance: np.random.Generator, width: int, height: int) -> list[tuple[float, float]]:
    """Give the corners of a shape somewhere in the picture, a little turned; of a circle, sixty."""
    corners, upright = {CIRCLE: (60, 0.0), SQUARE: (4, np.pi / 4), TRIANGLE: (3, np.pi / 6)}[shape]
    radius, turned = chance.uniform(12, 26), upright + chance.uniform(-0.3, 0.3)
    left, top = chance.uniform(radius, width - radius), chance.uniform(radius, height - radius)
    angles = turned + 2 * np.pi * np.arange(corners) / corners
    return [(left + radius * float(np.cos(angle)), top + radius * float(np.sin(angle))) for angle in angles]


def about(colour: tuple[int, int, int], chance: np.random.Generator) -> tuple[int, int, int]:
    """Draw a colour somewhere about another one."""
    red, green, blue = (np.array(colour) + chance.integers(-75, 76, 3)).clip(0, 255).tolist()
    return red, green, blue


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="gets train/, train.csv, test/ and test.csv")
    arguments.add_argument("--train", type=int, default=400, help="pictures to learn from")
    arguments.add_argument("--test", type=int, default=100, help="pictures to judge by")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    draw(given.folder / "train", given.train, given.seed)
    draw(given.folder / "test", given.test, given.seed + 1)
