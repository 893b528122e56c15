"""Tiny backbones of all four plugins, as checkpoints on disk, with four labelled rows for each."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import tiny_proteins
from PIL import Image
from timm_files import random_model, save_weights

import taskgraft as tg

TEXT_FAMILIES = ("bert", "gpt2", "qwen2", "llama", "t5", "modernbert", "deberta-v3")

STRATEGIES = ("lora:4", "dora:4", "rslora:4", "ia3", "adalora:2", "vera:8", "prefix-tuning:3", "prompt-tuning:3")
"""All strategies, small."""

LABELS = ["a", "b", "a", "b"]


def image(seed: int) -> bytes:
    """Encode an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


TEXTS = {"text": ["lost my card", "parcel is late", "my card", "the parcel please"], "label": LABELS}
SEQUENCES = {"sequence": ["MKVLA", "GGSAAP", "MKKLV", "PGSGA"], "label": LABELS}
IMAGES = {"image": [image(row) for row in range(4)], "label": LABELS}
TABLE = {"amount": [1.0, 9.0, 2.0, 8.0], "shop": ["a", "b"] * 2, "label": LABELS}

IMAGE_SIZE = 32
IMAGE_MODELS = {"vit": "test_vit", "resnet": "test_resnet", "convnext": "test_convnext"}
TABLES: dict[str, dict[str, Any]] = {
    "ft-transformer": {"name": "ft-transformer", "blocks": 2, "feature_size": 16, "attention_heads": 2},
    "tabm": {"name": "tabm", "blocks": 2, "feature_size": 16, "members": 2},
}
"""Backbones that need no checkpoint."""


def base(name: str, folder: Path) -> tuple[Any, dict[str, list[Any]]]:
    """Give a backbone by the name of its kind, and rows for it.

    Args:
        folder: where the checkpoint is saved, unless it is there already.
    """
    place = folder / name
    if name in TABLES:
        return TABLES[name], TABLE
    if name in IMAGE_MODELS:
        return _image_model(IMAGE_MODELS[name], place.with_suffix(".safetensors")), IMAGES
    if name == "esm":
        if not place.is_dir():
            place.mkdir()
            tiny_proteins.save("esm2", place)
        return f"protein:{place}", SEQUENCES
    return f"hf-text:{place if place.is_dir() else tiny.save(name, place)}", TEXTS


def _image_model(name: str, place: Path) -> dict[str, Any]:
    if not place.is_file():
        save_weights(random_model(name, **({"img_size": IMAGE_SIZE} if name == "test_vit" else {})), place)
    return {"name": f"timm:{name}", "weights": str(place), "image_size": IMAGE_SIZE}


def fitted(backbone: Any, rows: dict[str, list[Any]], strategy: Any, **training: Any) -> tg.TaskModel:
    """Fit a classification head in two steps."""
    model = tg.compose(backbone, head="classification", strategy=strategy)
    model.fit(rows, target="label", training={"epochs": 1, "batch_size": 2} | training, quiet=True)
    return model
