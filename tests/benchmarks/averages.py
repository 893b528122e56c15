"""Averages of weights beside ``full`` without: banking77 with MiniLM, and CIFAR-10 with a third-party ResNet-20.

    python tests/benchmarks/averages.py                # both, three seeds each
    python tests/benchmarks/averages.py --data cifar   # one of them

Subsets, so that it takes about 20 minutes on two cores. Of banking77 six training rows per class for 3 epochs, and 1,000 test
rows; of CIFAR-10 600 training rows for 10 epochs, and 2,000 test rows. A seed decides the weights of the head, the order of the
rows and the dropout; the rows and the pretrained weights stay the same.
``linear`` is the default schedule, which falls to 0; SWA is meant for ``constant``. The last row of CIFAR-10 is SWA whose
BatchNorm statistics are computed anew from the training rows, as in the paper, instead of averaged.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import material
import numpy as np
import pyarrow as pa
import torch
from torch import nn

import taskgraft as tg

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "foreign"))
from resnet import CifarResNet

warnings.simplefilter("ignore")

SEEDS = (0, 1, 2)
BANKING_PER_CLASS, BANKING_TEST = 6, 1_000
CIFAR_ROWS, CIFAR_TEST = 600, 2_000
FULL = {"name": "full"}
EMA = {"name": "average", "method": "ema"}
SWA = {"name": "average", "method": "swa"}
METHODS = {
    "full, linear": (FULL, "linear"),
    "EMA around full, linear": (EMA, "linear"),
    "SWA around full, linear": (SWA, "linear"),
    "full, constant": (FULL, "constant"),
    "EMA around full, constant": (EMA, "constant"),
    "SWA around full, constant": (SWA, "constant"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=("banking77", "cifar"), default=["banking77", "cifar"])
    options = parser.parse_args()
    if "banking77" in options.data:
        train = material.table("text/banking77/train.csv.gz").sample(frac=1, random_state=0)
        train = train.groupby("label").head(BANKING_PER_CLASS)
        test = material.table("text/banking77/test.csv.gz").sample(BANKING_TEST, random_state=0)
        encoder = {"name": "hf-text", "checkpoint": material.minilm()}
        print(f"banking77: {len(train):,} training rows, {len(test):,} test rows, 3 epochs")
        compare(lambda: encoder, FULL, train, test, {"inputs": "text", "target": "label"}, epochs=3)
    if "cifar" in options.data:
        train, test = (material.parquet(f"vision/cifar10_jpeg/{part}.parquet") for part in ("train", "test"))
        chance = np.random.default_rng(0)
        train = train.take(pa.array(chance.permutation(len(train))[:CIFAR_ROWS]))
        test = test.take(pa.array(chance.permutation(len(test))[:CIFAR_TEST]))
        weights = material.file("weights/resnet_cifar10/resnet20.safetensors")
        print(f"CIFAR-10: {len(train):,} training rows, {len(test):,} test rows, 10 epochs")
        full = FULL | {"learning_rate": 1e-3}
        columns = {"inputs": "image", "target": "label_name"}
        compare(lambda: CifarResNet(weights), full, train, test, columns, epochs=10)


def compare(
    backbone: Callable[[], Any], full: dict[str, Any], train: Any, test: Any, columns: dict[str, str], epochs: int
) -> None:
    """Print mean and standard deviation of the test accuracy, and the mean seconds of a fit, of each method."""
    for name, (around, schedule) in METHODS.items():
        strategy = full if around is FULL else {**around, "strategy": full}
        accuracies, seconds, anew = [], [], []
        for seed in SEEDS:
            model = tg.compose(backbone(), "classification", strategy)
            training = {"epochs": epochs, "schedule": schedule, "seed": seed}
            run = model.fit(train, **columns, training=training, quiet=True)
            accuracies.append(model.evaluate(test, quiet=True, resamples=0)["accuracy"])
            seconds.append(run.seconds)
            if around is SWA and schedule == "constant" and compute_statistics(model, train, columns["inputs"]):
                anew.append(model.evaluate(test, quiet=True, resamples=0)["accuracy"])
        report(name, accuracies, f"{statistics.mean(seconds):6.1f} s")
        if anew:
            report("the same, BatchNorm statistics anew", anew, "")


def compute_statistics(model: tg.TaskModel, train: pa.Table, column: str) -> bool:
    """Compute the statistics of BatchNorm layers from the training rows, as means over batches of 500; false without layers."""
    task = model.fitted.task
    norms = [module for module in task.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    if norms:
        processor, values = task.backbone.processor, train.column(column).to_pylist()
        with torch.no_grad():
            for start in range(0, len(values), 500):
                batch = processor.prepare({column: values[start : start + 500]}).batch
                task.backbone(batch, task.layout)
        task.eval()
    return bool(norms)


def report(name: str, accuracies: list[float], seconds: str) -> None:
    mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
    print(f"{name:38} accuracy {mean:.4f} ± {deviation:.4f}  {seconds}", flush=True)


if __name__ == "__main__":
    main()
