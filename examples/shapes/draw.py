"""Generate noisy images of circles, squares and triangles, and their masks."""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CIRCLE, SQUARE, TRIANGLE = 1, 2, 3
"""Class ids. The background is 0; the edge of a shape, one pixel wide, is ignored: 255."""

EDGE = 255
COLOURS = {CIRCLE: (200, 70, 60), SQUARE: (70, 180, 80), TRIANGLE: (70, 90, 210)}
"""Mean colours of shapes; that of the background is grey."""

PALETTE = [40, 40, 40, 230, 80, 60, 70, 170, 90, 70, 110, 220] + [0] * 3 * 251 + [255] * 3


def draw(folder: Path, count: int, seed: int) -> None:
    """Write images and masks into a folder, and a table of them, NAME.csv, next to it.

    Args:
        count: number of images.
        seed: determines the images.
    """
    folder.mkdir(parents=True)
    with folder.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "mask"])
        for number in range(count):
            image, mask = random_image(np.random.default_rng([seed, number]))
            names = [f"{folder.name}/{number:04}.jpg", f"{folder.name}/{number:04}.png"]
            image.save(folder.parent / names[0], quality=90)
            mask.save(folder.parent / names[1])
            table.writerow(names)


def random_image(rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Draw one to three shapes, and a mask with a palette for its classes."""
    width, height = rng.integers(64, 97, 2).tolist()
    image = Image.new("RGB", (width, height), random_colour((128, 128, 128), rng))
    mask = Image.new("P", (width, height))
    mask.putpalette(PALETTE)
    for _ in range(rng.integers(1, 4)):
        shape = int(rng.integers(CIRCLE, TRIANGLE + 1))
        corners = outline(shape, rng, width, height)
        ImageDraw.Draw(image).polygon(corners, fill=random_colour(COLOURS[shape], rng))
        ImageDraw.Draw(mask).polygon(corners, fill=shape, outline=EDGE)
    noisy = np.asarray(image, np.float64) + rng.normal(0, 15, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), mask


def outline(shape: int, rng: np.random.Generator, width: int, height: int) -> list[tuple[float, float]]:
    """Compute the corners of a shape at a random position and rotation; sixty for a circle."""
    corners, base_angle = {CIRCLE: (60, 0.0), SQUARE: (4, np.pi / 4), TRIANGLE: (3, np.pi / 6)}[shape]
    radius, angle = rng.uniform(12, 26), base_angle + rng.uniform(-0.3, 0.3)
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    angles = angle + 2 * np.pi * np.arange(corners) / corners
    return [(x + radius * float(np.cos(angle)), y + radius * float(np.sin(angle))) for angle in angles]


def random_colour(colour: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Sample a colour around another one."""
    red, green, blue = (np.array(colour) + rng.integers(-75, 76, 3)).clip(0, 255).tolist()
    return red, green, blue


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="output folder of train/, train.csv, test/ and test.csv")
    arguments.add_argument("--train", type=int, default=400, help="number of training images")
    arguments.add_argument("--test", type=int, default=100, help="number of test images")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    draw(options.folder / "train", options.train, options.seed)
    draw(options.folder / "test", options.test, options.seed + 1)
