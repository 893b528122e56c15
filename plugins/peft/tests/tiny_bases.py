"""Tiny backbones of all four plugins, with four labelled rows for each: what strategies are tried on."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tiny
from PIL import Image

import taskgraft as tg

TEXT_FAMILIES = ("bert", "gpt2", "qwen2", "llama", "t5", "modernbert", "deberta-v3")

STRATEGIES = ("lora:4", "dora:4", "rslora:4", "ia3", "adalora:2", "vera:8", "prefix-tuning:3", "prompt-tuning:3")
"""All strategies, small."""

LABELS = ["a", "b", "a", "b"]


def image(seed: int) -> bytes:
    """Give an encoded picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


TEXTS = {"text": ["lost my card", "parcel is late", "my card", "the parcel please"], "label": LABELS}
SEQUENCES = {"sequence": ["MKVLA", "GGSAAP", "MKKLV", "PGSGA"], "label": LABELS}
IMAGES = {"image": [image(row) for row in range(4)], "label": LABELS}
TABLE = {"amount": [1.0, 9.0, 2.0, 8.0], "shop": ["a", "b"] * 2, "label": LABELS}

OTHERS: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "esm": ({"name": "new-esm", "blocks": 2, "feature_size": 16, "heads": 2}, SEQUENCES),
    "vit": ({"name": "timm:test_vit", "weights": "random", "image_size": 32}, IMAGES),
    "resnet": ({"name": "timm:test_resnet", "weights": "random", "image_size": 32}, IMAGES),
    "convnext": ({"name": "timm:test_convnext", "weights": "random", "image_size": 32}, IMAGES),
    "ft-transformer": ({"name": "ft-transformer", "blocks": 2, "feature_size": 16, "attention_heads": 2}, TABLE),
    "tabm": ({"name": "tabm", "blocks": 2, "feature_size": 16, "members": 2}, TABLE),
}
"""What needs no checkpoint: the backbone, and rows for it."""


def base(name: str, folder: Path) -> tuple[Any, dict[str, list[Any]]]:
    """Give a backbone by the name of its kind, and rows for it.

    Args:
        folder: where a checkpoint may be written, unless one is there already.
    """
    if name in OTHERS:
        return OTHERS[name]
    place = folder / name
    return f"hf-text:{place if place.is_dir() else tiny.save(name, place)}", TEXTS


def fitted(backbone: Any, rows: dict[str, list[Any]], strategy: Any, **training: Any) -> tg.TaskModel:
    """Fit a classification head by two steps."""
    model = tg.compose(backbone, head="classification", strategy=strategy)
    model.fit(rows, target="label", training={"epochs": 1, "batch_size": 2} | training, quiet=True)
    return model
