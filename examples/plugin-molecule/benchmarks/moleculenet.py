"""Solubility (ESOL) and the blood-brain barrier (BBBP) on unseen scaffolds: a small transformer beside a forest.

    python benchmarks/moleculenet.py FOLDER

FOLDER holds esol.csv.gz and bbbp.csv.gz of MoleculeNet. Each is divided 80 / 10 / 10 by the split 'scaffold'; the
validation rows decide when training stops, and are not shown to the forest, which reads fingerprints. The transformer
starts from random weights, or was pretrained by hiding atoms of the same training molecules. Means and standard deviations
over seeds of weights and training; no seed is in the forest.
"""

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import taskgraft as tg
from rich.console import Console
from rich.table import Table
from taskgraft.plugin import InvalidRows, read_file

from plugin_molecule.scaffold import by_scaffold
from plugin_molecule.settings import ScaffoldConfig

TASKS = {
    "ESOL, RMSE": ("esol.csv.gz", "measured log solubility in mols per litre", "regression"),
    "BBBP, ROC-AUC": ("bbbp.csv.gz", "p_np", "classification"),
}
FULL = {"name": "full", "learning_rate": 5e-4, "head_learning_rate": 2e-3}
"""Rates for weights that know nothing yet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60, help="at most; 8 without a lower validation loss end it")
    parser.add_argument("--pretraining", type=int, default=40, help="epochs of masked atoms")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--feature-size", type=int, default=64)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[str, dict[str, str]] = {}
    for task in options.tasks:
        file, target, head = TASKS[task]
        with tempfile.TemporaryDirectory() as folder:
            divide(options.folder / file, target, Path(folder))
            numbers: dict[str, list[float]] = {}
            for seed in range(options.seeds):
                for row, number in tried(Path(folder), head, seed, options):
                    numbers.setdefault(row, []).append(number)
                    print(f"{task}, seed {seed}, {row}: {number:.3f}", flush=True)
        for row, values in numbers.items():
            spread = f" ± {statistics.stdev(values):.3f}" if len(set(values)) > 1 else ""
            found.setdefault(row, {})[task] = f"{statistics.mean(values):.3f}{spread}"
    table = Table("", *options.tasks, title="Test rows of unseen scaffolds")
    for row, cells in found.items():
        table.add_row(row, *(cells[task] for task in options.tasks))
    Console(width=100).print(table)


def divide(path: Path, target: str, folder: Path) -> None:
    """Write the parts of a data set as files, without the rows that are no molecules."""
    rows, config = read_file(path, tg.catalog()), ScaffoldConfig(validation=0.1, test=0.1)
    try:
        parts = by_scaffold(rows, (target,), config, 0)
    except InvalidRows as error:
        print(f"{path.name}: {len(error.reasons)} of {len(rows):,} rows are no molecules", flush=True)
        rows = rows.drop(error.reasons)
        parts = by_scaffold(rows, (target,), config, 0)
    print(f"{path.name}: { ({part: len(members) for part, members in parts.items()}) }", flush=True)
    for part, members in parts.items():
        table = rows.take(members).table.select(["smiles", target]).rename_columns(["smiles", "target"])
        pq.write_table(table, folder / f"{part}.parquet")


def tried(folder: Path, head: str, seed: int, options: Any) -> Iterator[tuple[str, float]]:
    """Give the number of each way on the test rows, and of the forest."""
    new = {
        "name": "smiles-transformer",
        "blocks": options.blocks,
        "feature_size": options.feature_size,
        "randomised": True,
        "seed": seed,
    }
    shared = {"seed": seed, "batch_size": 64, "workers": 0}
    training = {**shared, "epochs": options.epochs, "patience": 8}
    began = time.perf_counter()
    first = tg.compose(new, {"name": "masked-elements", "shown": 0.0}, {**FULL, "head_learning_rate": 5e-4})
    first.fit(folder / "train.parquet", training={**shared, "epochs": options.pretraining}, quiet=True)
    recovered = first.evaluate(folder / "validation.parquet", resamples=0, quiet=True)["hidden_accuracy"]
    print(f"masked atoms: {recovered:.3f} recovered, {time.perf_counter() - began:,.0f} s", flush=True)
    base = first.save(folder / f"pretrained-{seed}")
    known = {"name": f"smiles-transformer:{base}", "randomised": True}
    ways = {
        "random weights, linear-probe": (new, "linear-probe"),
        "random weights, full": (new, FULL),
        "pretrained, linear-probe": (known, "linear-probe"),
        "pretrained, full": (known, FULL),
    }
    for place, (row, (backbone, strategy)) in enumerate(ways.items()):
        began = time.perf_counter()
        model = tg.compose(backbone, head, strategy)
        settings = training if strategy is FULL else shared
        validation = folder / "validation.parquet"
        model.fit(folder / "train.parquet", validation=validation, target="target", training=settings, quiet=True)
        rivals = [] if place or seed else ["morgan-forest"]
        judged = model.evaluate(folder / "test.parquet", baselines=rivals, resamples=0, quiet=True)
        if rivals:
            yield "fingerprint + random forest", number(judged.baselines["morgan-forest"])
        print(f"{row}: {time.perf_counter() - began:,.0f} s", flush=True)
        yield row, number(judged)


def number(metrics: Mapping[str, float]) -> float:
    """Give what the field reports."""
    return metrics["auroc"] if "auroc" in metrics else math.sqrt(metrics["mean_squared_error"])


if __name__ == "__main__":
    main()
