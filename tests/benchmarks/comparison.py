"""All strategies in one table per data set: banking77 with MiniLM, CIFAR-10 with a stranger's ResNet-20, fraud with mlp-plr.

    python tests/benchmarks/comparison.py -o runs/comparisons                # all three, every installed strategy
    python tests/benchmarks/comparison.py -o runs/small --rows 200 --epochs 1 --sets banking77

Strategies are those of the catalog that leave nothing to decide, and ``partial:2``. All of one table learn from the same rows,
with the same seeds and training; where a strategy has a learning rate it is that of the set, so that none is tuned more than
another. What is kept in the folder is gone on with where the script is started again.
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
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.specs import StrategySpec
from taskgraft.discovery.catalog import catalog

BANKING, CIFAR = 2_000, 5_000
"""Training rows."""

PLUGIN = '''
"""The stranger's network as a plugin, since a comparison's runs find their backbone by its name."""

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
class Set:
    """One data set, written to files.

    Attributes:
        rates: setting of a strategy → value, used where a strategy has such a setting.
    """

    recipe: Recipe
    test: Path
    rates: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder of the comparisons")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--strategies", nargs="*", default=[], help="those of the catalog when left out")
    parser.add_argument("--rows", type=int, help="of training and test alike; all that a set stands for when left out")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    names = options.strategies or decided()
    with tempfile.TemporaryDirectory() as place:
        plant(Path(place))
        for name in options.sets:
            found = SETS[name](Path(place), options.rows, options.epochs)
            ways = [with_rates(strategy, found.rates) for strategy in names]
            out = options.output / name
            result = tg.compare(
                found.recipe, ways, folder=out, test=found.test, seeds=options.seeds, resume=True, quiet=True
            )
            Console(width=150).print(f"\n{name}", result, f"Figure: {result.figure}")


def decided() -> list[str]:
    """Name the installed strategies that leave nothing to decide, and ``partial:2``."""
    specs = [spec for spec, _ in catalog().specs(StrategySpec)]
    return [*(spec.name for spec in specs if not spec.config.model_json_schema().get("required")), "partial:2"]


def with_rates(strategy: str, rates: dict[str, float]) -> dict[str, Any]:
    """Give a strategy the rates of a set, as far as it has such settings."""
    (fields,) = (
        spec.config.model_fields for spec, _ in catalog().specs(StrategySpec) if spec.name == strategy.partition(":")[0]
    )
    return {"name": strategy} | {key: rate for key, rate in rates.items() if key in fields}


def plant(folder: Path) -> None:
    """Install the stranger's network for this process and those it starts."""
    about = folder / "cifar_resnet-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: cifar-resnet\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[taskgraft]\nmain = cifar_resnet_plugin\n")
    (folder / "cifar_resnet_plugin.py").write_text(PLUGIN)
    sys.path += [str(folder), str(Path(__file__).parents[2] / "examples" / "foreign")]
    catalog.cache_clear()


def banking77(folder: Path, rows: int | None, epochs: int) -> Set:
    """2,000 sentences of bank customers, 77 intents."""
    frames = {part: material.table(f"text/banking77/{part}.csv.gz") for part in ("train", "test")}
    count = min(rows or BANKING, BANKING)
    frames = {"train": frames["train"].sample(frac=1, random_state=0)[:count], "test": some(frames["test"], rows)}
    for part, frame in frames.items():
        frame.to_csv(folder / f"{part}.csv", index=False)
    backbone = f"hf-text:{os.path.relpath(material.minilm())}"
    data = {"train": str(folder / "train.csv"), "inputs": "text", "target": "label", "on_bad_row": "skip"}
    return Set(recipe(backbone, "classification", data, epochs=epochs), folder / "test.csv", {})


def cifar10(folder: Path, rows: int | None, epochs: int) -> Set:
    """5,000 images, 10 classes."""
    for part, count in (("train", CIFAR), ("test", None)):
        table = material.parquet(f"vision/cifar10_jpeg/{part}.parquet")
        order = np.random.default_rng(0).permutation(len(table))[: min(rows or len(table), count or len(table))]
        pq.write_table(table.take(pa.array(order)), folder / f"{part}.parquet")
    backbone = f"cifar-resnet:{material.file('weights/resnet_cifar10/resnet20.safetensors')}"
    data = {"train": str(folder / "train.parquet"), "inputs": "image", "target": "label_name"}
    return Set(
        recipe(backbone, "classification", data, epochs=epochs), folder / "test.parquet", {"learning_rate": 1e-3}
    )


def fraud(folder: Path, rows: int | None, epochs: int) -> Set:
    """A week of transactions, its last two days held out; the backbone's weights are random, so probes show what that costs."""
    place = folder / "fraud"
    place.mkdir()
    columns = handbook.written(place)
    for part in ("train", "test"):
        frame = pd.read_parquet(place / f"{part}.parquet")
        some(frame, rows).sort_values(handbook.TIME).to_parquet(place / f"{part}.parquet")
    data = {
        "train": str(place / "train.parquet"),
        "split": {"name": "time", "column": handbook.TIME, "validation": 2},
        "inputs": columns,
        "target": handbook.TARGET,
    }
    head = handbook.FRAUD | {"review": 10.0, "amount": handbook.AMOUNT}
    training = handbook.TRAINING | {"epochs": epochs}
    rates = {"learning_rate": 3e-4, "head_learning_rate": 3e-4}
    return Set(recipe("mlp-plr", head, data, **training), place / "test.parquet", rates)


def some(frame: pd.DataFrame, rows: int | None) -> pd.DataFrame:
    """Draw some rows, always the same."""
    return frame if rows is None or rows >= len(frame) else frame.sample(rows, random_state=0)


def recipe(backbone: str, head: Any, data: dict[str, Any], **training: Any) -> Recipe:
    """Write down what is the same for all strategies."""
    said = {"backbone": backbone, "head": head, "strategy": "full", "data": data, "training": training}
    return Recipe.model_validate(said)


SETS: dict[str, Callable[[Path, int | None, int], Set]] = {"banking77": banking77, "cifar10": cifar10, "fraud": fraud}


if __name__ == "__main__":
    main()
