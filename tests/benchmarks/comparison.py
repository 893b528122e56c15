"""All strategies in one table per data set: banking77 with MiniLM, CIFAR-10 with a third-party ResNet-20, fraud with mlp-plr.

    python tests/benchmarks/comparison.py -o runs/comparisons                # all three, every installed strategy
    python tests/benchmarks/comparison.py -o runs/small --rows 200 --epochs 1 --sets banking77

Strategies are those of the catalog without required settings, and ``partial:2``. All of one table are trained on the same rows,
with the same seeds and training settings; the learning rate of a strategy, if it has one, is that of the data set, so that
none is tuned more than another. The script resumes what is in the output folder.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handbook
import material
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

import taskgraft as tg
from taskgraft.contract.specs import StrategySpec
from taskgraft.discovery.catalog import catalog
from taskgraft.recipe import Recipe

BANKING, CIFAR = 2_000, 5_000
"""Training rows."""

PLUGIN = '''
"""The third-party network as a plugin, since the runs of a comparison find their backbone by name."""

from typing import ClassVar

from taskgraft.plugin import BackboneSpec, Config, hookimpl

TASKGRAFT_CONTRACT = "1.0"


class ResNetConfig(Config):
    positional: ClassVar[str | None] = "weights"

    weights: str


def _describe(config):
    from resnet import CifarResNet

    return CifarResNet().description


def _build(config):
    from resnet import CifarResNet

    return CifarResNet(config.weights)


@hookimpl
def taskgraft_backbones():
    yield BackboneSpec(name="cifar-resnet", summary="ResNet-20", config=ResNetConfig, describe=_describe, build=_build)
'''


@dataclass(frozen=True)
class DataSet:
    """One data set, written to files.

    Attributes:
        rates: setting of a strategy → value, for strategies with that setting.
    """

    recipe: Recipe
    test: Path
    rates: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder of the comparisons")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--strategies", nargs="*", default=[], help="by default those of the catalog")
    parser.add_argument("--rows", type=int, help="training and test rows; by default all of the data set")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    names = options.strategies or strategies_without_required_settings()
    with tempfile.TemporaryDirectory() as temporary:
        plant(Path(temporary))
        for name in options.sets:
            data_set = SETS[name](Path(temporary), options.rows, options.epochs)
            strategies = [with_rates(strategy, data_set.rates) for strategy in names]
            out = options.output / name
            result = tg.compare(
                data_set.recipe,
                strategies,
                folder=out,
                test=data_set.test,
                seeds=options.seeds,
                resume=True,
                quiet=True,
            )
            Console(width=150).print(f"\n{name}", result, f"Figure: {result.figure}")


def strategies_without_required_settings() -> list[str]:
    """Name the installed strategies without required settings, and ``partial:2``."""
    specs = [spec for spec, _ in catalog().specs(StrategySpec)]
    return [*(spec.name for spec in specs if not spec.config.model_json_schema().get("required")), "partial:2"]


def with_rates(strategy: str, rates: dict[str, float]) -> dict[str, Any]:
    """Set the learning rates of a data set for a strategy that has such settings."""
    (fields,) = (
        spec.config.model_fields for spec, _ in catalog().specs(StrategySpec) if spec.name == strategy.partition(":")[0]
    )
    return {"name": strategy} | {key: rate for key, rate in rates.items() if key in fields}


def plant(folder: Path) -> None:
    """Install the third-party network for this process and its child processes."""
    about = folder / "cifar_resnet-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: cifar-resnet\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[taskgraft]\nmain = cifar_resnet_plugin\n")
    (folder / "cifar_resnet_plugin.py").write_text(PLUGIN)
    sys.path += [str(folder), str(Path(__file__).parents[2] / "examples" / "foreign")]
    catalog.cache_clear()


def banking77(folder: Path, rows: int | None, epochs: int) -> DataSet:
    """2,000 sentences of bank customers, 77 intents."""
    frames = {part: material.table(f"text/banking77/{part}.csv.gz") for part in ("train", "test")}
    count = min(rows or BANKING, BANKING)
    frames = {"train": frames["train"].sample(frac=1, random_state=0)[:count], "test": sample(frames["test"], rows)}
    for part, frame in frames.items():
        frame.to_csv(folder / f"{part}.csv", index=False)
    backbone = f"hf-text:{os.path.relpath(material.minilm())}"
    data = {"train": str(folder / "train.csv"), "inputs": "text", "target": "label", "on_bad_row": "skip"}
    return DataSet(recipe(backbone, "classification", data, epochs=epochs), folder / "test.csv", {})


def cifar10(folder: Path, rows: int | None, epochs: int) -> DataSet:
    """5,000 images, 10 classes."""
    for part, count in (("train", CIFAR), ("test", None)):
        table = material.parquet(f"vision/cifar10_jpeg/{part}.parquet")
        order = np.random.default_rng(0).permutation(len(table))[: min(rows or len(table), count or len(table))]
        pq.write_table(table.take(pa.array(order)), folder / f"{part}.parquet")
    backbone = f"cifar-resnet:{material.file('weights/resnet_cifar10/resnet20.safetensors')}"
    data = {"train": str(folder / "train.parquet"), "inputs": "image", "target": "label_name"}
    return DataSet(
        recipe(backbone, "classification", data, epochs=epochs), folder / "test.parquet", {"learning_rate": 1e-3}
    )


def fraud(folder: Path, rows: int | None, epochs: int) -> DataSet:
    """A week of transactions, the last two days held out; the backbone has random weights, so probes are at a disadvantage."""
    folder = folder / "fraud"
    folder.mkdir()
    columns = handbook.write_parts(folder)
    for part in ("train", "test"):
        frame = pd.read_parquet(folder / f"{part}.parquet")
        sample(frame, rows).sort_values(handbook.TIME).to_parquet(folder / f"{part}.parquet")
    data = {
        "train": str(folder / "train.parquet"),
        "split": {"name": "time", "column": handbook.TIME, "validation": 2},
        "inputs": columns,
        "target": handbook.TARGET,
    }
    head = handbook.FRAUD | {"review": 10.0, "amount": handbook.AMOUNT}
    training = handbook.TRAINING | {"epochs": epochs}
    rates = {"learning_rate": 3e-4, "head_learning_rate": 3e-4}
    return DataSet(recipe("mlp-plr", head, data, **training), folder / "test.parquet", rates)


def sample(frame: pd.DataFrame, rows: int | None) -> pd.DataFrame:
    """Sample rows, always the same."""
    return frame if rows is None or rows >= len(frame) else frame.sample(rows, random_state=0)


def recipe(backbone: str, head: Any, data: dict[str, Any], **training: Any) -> Recipe:
    """Make the recipe that all strategies share."""
    settings = {"backbone": backbone, "head": head, "strategy": "full", "data": data, "training": training}
    return Recipe.model_validate(settings)


SETS: dict[str, Callable[[Path, int | None, int], DataSet]] = {
    "banking77": banking77,
    "cifar10": cifar10,
    "fraud": fraud,
}


if __name__ == "__main__":
    main()
