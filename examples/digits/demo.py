"""Classify handwritten digits: from random weights, and with real ImageNet weights if they are available."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from save import save

import taskgraft as tg

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[3] / "shared" / "data"))
WEIGHTS = DATA / "weights/mobilenetv1_imagenet_trunc/mobilenetv1_100_to_block4_0.safetensors"
"""The first twelve of the thirteen blocks of a MobileNet pretrained on ImageNet."""

RANDOM = {"name": "timm:test_resnet", "weights": "random", "image_size": 32, "crop": 1.0}
PRETRAINED = {
    "name": "timm:mobilenetv1_100",
    "weights": str(WEIGHTS),
    "until": "blocks.4.0",
    "arguments": {"pad_type": "same", "bn_eps": 1e-3},
    "image_size": 64,
    "crop": 1.0,
}
MODELS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "test_resnet, random weights, full": (RANDOM, {"name": "full", "learning_rate": 2e-3}),
    "MobileNet, ImageNet weights, linear-probe": (PRETRAINED, {"name": "linear-probe"}),
}


def main() -> None:
    """Run the demo."""
    console = Console(width=100)
    table = Table(title="500 held-out digits")
    for column in ("", "accuracy", "seconds", "trainable parameters", "artifact"):
        table.add_column(column, justify="right" if column else "left")
    with tempfile.TemporaryDirectory() as temporary:
        folder = save(temporary)
        for name, (backbone, strategy) in MODELS.items():
            if backbone is PRETRAINED and not WEIGHTS.is_file():
                console.print(
                    f"Skipped: {name}. Set TASKGRAFT_DATA to the folder that contains {WEIGHTS.relative_to(DATA)}."
                )
                continue
            console.print(f"Training {name} …")
            model = tg.compose(backbone, head="classification", strategy=strategy)
            run = model.fit(folder / "train", target="label", training={"epochs": 10})
            accuracy = model.evaluate(folder / "test", resamples=0)["accuracy"]
            artifact = model.save(folder / strategy["name"])
            size = sum(file.stat().st_size for file in artifact.iterdir()) / 1e3
            trainable = sum(stage.trained for stage in run.stages)
            table.add_row(name, f"{accuracy:.3f}", f"{run.seconds:.1f}", f"{trainable:,}", f"{size:,.0f} KB")
        console.print(table)
        images = sorted((folder / "test").glob("*/*.png"))[::120]
        labels = tg.load(folder / "full").predict([str(image) for image in images])
        console.print("Loaded from its artifact, on new images:")
        for image, label in zip(images, labels, strict=True):
            console.print(f"  {image.relative_to(folder / 'test')!s:<12} is classified as {label}", highlight=False)


if __name__ == "__main__":
    main()
