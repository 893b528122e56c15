"""A linear probe on 2,000 images, with real and random weights, compared to timm's frozen model in a hand-written loop.

    python tests/benchmarks/probing.py                   # images of 112 x 112 pixels
    python tests/benchmarks/probing.py --image-size 224  # the checkpoint's own size

The backbone is a MobileNet with real ImageNet weights, up to block 4.0, and also the same network with random weights, of
another seed in each run. The probe is solved on cached features, in more passes over them than 10 epochs. The loop trains a
linear layer for 10 epochs, as in timm's and PyTorch's documentation: timm's own transform, a loader, the frozen model in eval
mode without gradients. The second loop adds the advice of the performance guide: inference mode, the memory format "channels
last", and loader workers. All run in turn, and medians of whole runs, including decoding and reading the weights, are
compared. Goals: a ratio (the loop's seconds / ours) of at least 6, an artifact below 200 KB, and a higher accuracy with real
weights than with random ones. Accuracy is on the first 2,000 test images.
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import material
import numpy as np
import pyarrow as pa
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config
from torch import nn
from torch.utils.data import DataLoader, Dataset

import taskgraft as tg

ROWS, BATCH, EPOCHS, HEAD_RATE = 2_000, 32, 10, 3e-3
RATIO, ARTIFACT = 6.0, 200_000
WEIGHTS = "weights/mobilenetv1_imagenet_trunc/mobilenetv1_100_to_block4_0.safetensors"
ARGUMENTS = {"pad_type": "same", "bn_eps": 1e-3}


class Outcome(NamedTuple):
    """The result of a run; ``artifact`` is its size in bytes, None if nothing is saved."""

    seconds: float
    accuracy: float
    artifact: int | None = None


REAL, RANDOM, LOOP = "linear-probe", "linear-probe, random weights", "timm frozen, loop of 10 epochs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=112, help="pixels per side")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is reported")
    options = parser.parse_args()
    train, test = (material.parquet(f"vision/cifar10_jpeg/{part}.parquet") for part in ("train", "test"))
    train = train.take(pa.array(np.random.default_rng(0).permutation(len(train))[:ROWS]))
    test = test.slice(0, ROWS)
    size = options.image_size
    methods = {
        REAL: lambda seed: ours(train, test, size, str(material.file(WEIGHTS)), seed),
        RANDOM: lambda seed: ours(train, test, size, "random", seed),
        LOOP: lambda seed: loop(train, test, size, fast=False),
        "the same, channels last, workers": lambda seed: loop(train, test, size, fast=True),
    }
    results: dict[str, list[Outcome]] = {name: [] for name in methods}
    for seed in range(options.repeats):
        for name, method in methods.items():
            results[name].append(method(seed))
            print(f"run {seed + 1}: {name}, {results[name][-1].seconds:.1f} s", flush=True)
    report(results)


def report(results: dict[str, list[Outcome]]) -> None:
    """Print a line per method, and whether the goals are reached."""
    seconds = {name: statistics.median(run.seconds for run in runs) for name, runs in results.items()}
    accuracy = {name: [run.accuracy for run in runs] for name, runs in results.items()}
    for name, values in accuracy.items():
        print(
            f"{name:34} accuracy {statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})  "
            f"{seconds[name]:6.1f} s  these seconds / linear-probe's {seconds[name] / seconds[REAL]:5.2f}"
        )
    ratio, artifact = seconds[LOOP] / seconds[REAL], max(run.artifact or 0 for run in results[REAL])
    print(f"artifact of the probe: {artifact / 1e3:.0f} KB; {verdict(artifact < ARTIFACT)}")
    print(f"goal: at least {RATIO}; {verdict(ratio >= RATIO)} ({ratio:.2f})")
    print(f"real weights better than random ones: {verdict(min(accuracy[REAL]) > max(accuracy[RANDOM]))}")


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def ours(train: pa.Table, test: pa.Table, size: int, weights: str, seed: int) -> Outcome:
    """Fit, evaluate and save a probe."""
    backbone = {
        "name": "timm:mobilenetv1_100",
        "weights": weights,
        "until": "blocks.4.0",
        "arguments": ARGUMENTS,
        "image_size": size,
    }
    model = tg.compose(backbone, "classification", "linear-probe")
    run = model.fit(train, inputs="image", target="label_name", training={"seed": seed}, quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        artifact = model.save(Path(folder) / "artifact")
        saved = sum(file.stat().st_size for file in artifact.iterdir())
    return Outcome(run.seconds, model.evaluate(test, resamples=0, quiet=True)["accuracy"], saved)


class Images(Dataset):
    """Images as in timm's documentation."""

    def __init__(self, table: pa.Table, transform: nn.Module):
        self.files, self.labels = table.column("image").to_pylist(), table.column("label").to_pylist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(io.BytesIO(self.files[row])) as image:
            return self.transform(image.convert("RGB")), self.labels[row]


def loop(train: pa.Table, test: pa.Table, size: int, *, fast: bool) -> Outcome:
    """Train a linear layer for ten epochs and evaluate it."""
    torch.manual_seed(0)
    start = time.perf_counter()
    model = timm.create_model("mobilenetv1_100", num_classes=0, **ARGUMENTS)
    model.load_state_dict(load_file(material.file(WEIGHTS)), strict=False)
    model.blocks[4][1] = nn.Identity()  # the checkpoint ends before it
    model.eval().requires_grad_(False)
    transform = create_transform(**resolve_model_data_config(model) | {"input_size": (3, size, size)})
    head = nn.Linear(1024, 10)
    optimizer = torch.optim.AdamW(head.parameters(), lr=HEAD_RATE)
    if fast:
        model = model.to(memory_format=torch.channels_last)

    def features(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode() if fast else torch.no_grad():
            return model(pixels.to(memory_format=torch.channels_last) if fast else pixels)

    workers = 2 if fast else 0
    loader = DataLoader(Images(train, transform), BATCH, shuffle=True, num_workers=workers, persistent_workers=fast)
    for _ in range(EPOCHS):
        for pixels, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features(pixels).clone()), labels).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    correct = 0
    for pixels, labels in DataLoader(Images(test, transform), 128):
        with torch.no_grad():
            correct += int((head(model(pixels)).argmax(-1) == labels).sum())
    return Outcome(seconds, correct / len(test))


if __name__ == "__main__":
    main()
