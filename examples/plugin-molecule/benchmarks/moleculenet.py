"""Solubility (ESOL) and the blood-brain barrier (BBBP) on unseen scaffolds: a small transformer and a forest.

    python benchmarks/moleculenet.py FOLDER

FOLDER contains esol.csv.gz and bbbp.csv.gz of MoleculeNet. Each is split 80 / 10 / 10 by the split 'scaffold'; the
validation rows are for early stopping, and the forest, which reads fingerprints, does not use them. The transformer starts
from random weights, or is pretrained by masking atoms of the same training molecules. Means and standard deviations over
seeds of weights and training; the forest has no seed.
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

from plugin_molecule.scaffold import split_by_scaffold
from plugin_molecule.settings import ScaffoldConfig

TASKS = {
    "ESOL, RMSE": ("esol.csv.gz", "measured log solubility in mols per litre", "regression"),
    "BBBP, ROC-AUC": ("bbbp.csv.gz", "p_np", "classification"),
}
FULL = {"name": "full", "learning_rate": 5e-4, "head_learning_rate": 2e-3}
"""Learning rates for random weights."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60, help="maximum; stops after 8 without a lower validation loss")
    parser.add_argument("--pretraining", type=int, default=40, help="epochs of pretraining")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--feature-size", type=int, default=64)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, dict[str, str]] = {}
    for task in options.tasks:
        file, target, head = TASKS[task]
        with tempfile.TemporaryDirectory() as folder:
            write_parts(options.folder / file, target, Path(folder))
            scores: dict[str, list[float]] = {}
            for seed in range(options.seeds):
                for name, score in run_models(Path(folder), head, seed, options):
                    scores.setdefault(name, []).append(score)
                    print(f"{task}, seed {seed}, {name}: {score:.3f}", flush=True)
        for name, values in scores.items():
            spread = f" ± {statistics.stdev(values):.3f}" if len(set(values)) > 1 else ""
            results.setdefault(name, {})[task] = f"{statistics.mean(values):.3f}{spread}"
    table = Table("", *options.tasks, title="Test rows with unseen scaffolds")
    for name, cells in results.items():
        table.add_row(name, *(cells[task] for task in options.tasks))
    Console(width=100).print(table)


def write_parts(path: Path, target: str, folder: Path) -> None:
    """Write the parts of a data set as files, without invalid rows."""
    rows, config = read_file(path), ScaffoldConfig(validation=0.1, test=0.1)
    try:
        parts = split_by_scaffold(rows, (target,), config, 0)
    except InvalidRows as error:
        print(f"{path.name}: {len(error.reasons)} of {len(rows):,} rows are invalid", flush=True)
        rows = rows.drop(error.reasons)
        parts = split_by_scaffold(rows, (target,), config, 0)
    print(f"{path.name}: { ({part: len(members) for part, members in parts.items()}) }", flush=True)
    for part, members in parts.items():
        table = rows.take(members).table.select(["smiles", target]).rename_columns(["smiles", "target"])
        pq.write_table(table, folder / f"{part}.parquet")


def run_models(folder: Path, head: str, seed: int, options: Any) -> Iterator[tuple[str, float]]:
    """Yield the test score of each model, and of the forest."""
    untrained = {
        "name": "smiles-transformer",
        "blocks": options.blocks,
        "feature_size": options.feature_size,
        "randomised": True,
        "seed": seed,
    }
    shared = {"seed": seed, "batch_size": 64, "workers": 0}
    training = {**shared, "epochs": options.epochs, "patience": 8}
    start = time.perf_counter()
    first = tg.compose(untrained, {"name": "masked-elements", "shown": 0.0}, {**FULL, "head_learning_rate": 5e-4})
    first.fit(folder / "train.parquet", training={**shared, "epochs": options.pretraining}, quiet=True)
    recovered = first.evaluate(folder / "validation.parquet", resamples=0, quiet=True)["hidden_accuracy"]
    print(f"masked atoms: {recovered:.3f} recovered, {time.perf_counter() - start:,.0f} s", flush=True)
    base = first.save(folder / f"pretrained-{seed}")
    pretrained = {"name": f"smiles-transformer:{base}", "randomised": True}
    models = {
        "random weights, linear-probe": (untrained, "linear-probe"),
        "random weights, full": (untrained, FULL),
        "pretrained, linear-probe": (pretrained, "linear-probe"),
        "pretrained, full": (pretrained, FULL),
    }
    for index, (name, (backbone, strategy)) in enumerate(models.items()):
        start = time.perf_counter()
        model = tg.compose(backbone, head, strategy)
        settings = training if strategy is FULL else shared
        validation = folder / "validation.parquet"
        model.fit(folder / "train.parquet", validation=validation, target="target", training=settings, quiet=True)
        baselines = [] if index or seed else ["morgan-forest"]
        evaluation = model.evaluate(folder / "test.parquet", baselines=baselines, resamples=0, quiet=True)
        if baselines:
            yield "fingerprint + random forest", score_of(evaluation.baselines["morgan-forest"])
        print(f"{name}: {time.perf_counter() - start:,.0f} s", flush=True)
        yield name, score_of(evaluation)


def score_of(metrics: Mapping[str, float]) -> float:
    """Return the metric that is usually reported."""
    return metrics["auroc"] if "auroc" in metrics else math.sqrt(metrics["mean_squared_error"])


if __name__ == "__main__":
    main()
