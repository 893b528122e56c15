"""A small ESM, pretrained here, on secondary structure and on the fitness of GB1 variants, compared to random weights.

    python tests/benchmarks/proteins.py                      # an hour of CPU time for pretraining
    python tests/benchmarks/proteins.py --minutes 10 --blocks 4 --feature-size 128 --heads 4
    python tests/benchmarks/proteins.py --pretrained runs/esm  # skip pretraining; from --save runs/esm

Data: protein/flip_secondary_structure and protein/flip_gb1 (FLIP: Dallago et al., 2021). Pretraining masks residues of the
training proteins of secondary structure, and of the GB1 variants that are training rows in all five splits, without labels.
Then each strategy is trained on each task from both networks. Q3 is the accuracy over resolved residues of the 364 test
proteins, GB1 the Spearman correlation over the test variants of each split, with its validation variants held out; the input
is GB1's 56 residues without the rest of the construct, which is the same in all. The baselines read residues one-hot: a
logistic regression over windows of 15 (of at most 600 proteins), and ridge regression over all positions. Results of the
networks depend on --seed.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import material
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import OneHotEncoder
from torch.nn.attention import SDPBackend, sdpa_kernel

import taskgraft as tg

SPLITS = ("one_vs_rest", "two_vs_rest", "three_vs_rest", "low_vs_high", "sampled")
Q3 = "Q3"
STRATEGIES: Mapping[str, Any] = {
    "linear-probe": "linear-probe",
    "partial": {"name": "partial", "learn": 2},
    "full": {"name": "full", "learning_rate": 5e-4, "head_learning_rate": 3e-3},
}
RANDOM, PRETRAINED = NETWORKS = ("random", "pretrained")
AROUND = 7
"""Residues on each side of the center of a window."""

BASELINE_PROTEINS = 600

DOMAIN = 56
"""Residues of GB1 itself, in which the variants differ; the rest of the construct is the same in all."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="CPU time of pretraining, over all threads")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--feature-size", type=int, default=320)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--length", type=int, default=128, help="residues per window in pretraining")
    parser.add_argument("--batch-elements", type=int, default=2_048, help="residues per step in pretraining")
    parser.add_argument("--share", type=float, default=0.25, help="share of residues that pretraining masks")
    parser.add_argument("--shown", type=float, default=0.1, help="share of scored residues that are not masked")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate of pretraining")
    parser.add_argument("--epochs", type=int, default=3, help="epochs over labelled rows, for gradient descent")
    parser.add_argument(
        "--rows", type=int, help="maximum training and validation rows per task; all test rows are used"
    )
    parser.add_argument("--labelled-batch-size", type=int, default=8, help="rows per step over labelled rows")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--tasks", nargs="+", choices=(Q3, *SPLITS), default=[Q3, *SPLITS])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--pretrained", type=Path, help="an artifact to use instead of pretraining")
    parser.add_argument("--save", type=Path, help="folder for the artifact of pretraining")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    structures = material.parquet("protein/flip_secondary_structure/sampled.parquet")
    variants = material.parquet("protein/flip_gb1/gb1.parquet")
    tasks = {name: task(name, structures, variants, options.rows) for name in options.tasks}
    untrained = {
        "name": "new-esm",
        "blocks": options.blocks,
        "feature_size": options.feature_size,
        "heads": options.heads,
        "long": "windows",
    }
    results: dict[str, dict[str, float]] = {
        "one-hot": {name: one_hot_baseline(name, *parts) for name, parts in tasks.items()}
    }
    with tempfile.TemporaryDirectory() as folder:
        networks = {RANDOM: untrained}
        if PRETRAINED in options.networks:
            into = options.save or Path(folder) / "esm"
            artifact = options.pretrained or pretrain(untrained, structures, variants, into, options)
            networks[PRETRAINED] = {"name": f"new-esm:{artifact}", "long": "windows"}
        for label, backbone in ((label, networks[label]) for label in options.networks):
            for strategy in options.strategies:
                row = f"{label}, {strategy}"
                results[row] = {}
                for name, parts in tasks.items():
                    start = time.perf_counter()
                    results[row][name] = fit_and_test(backbone, STRATEGIES[strategy], name, *parts, options)
                    print(f"{row}, {name}: {results[row][name]:.3f} ({time.perf_counter() - start:,.0f} s)", flush=True)
    report(results, options.tasks, options.networks)


def pretrain(
    untrained: Mapping[str, Any], structures: pa.Table, variants: pa.Table, folder: Path, options: Any
) -> Path:
    """Pretrain for as many steps as fit into the CPU time; return the artifact."""
    sequences = [
        row["sequence"] for row in structures.select(["sequence", "split"]).to_pylist() if row["split"] == "train"
    ]
    every = (row["sequence"] for row in variants.to_pylist() if all(row[split] == "train" for split in SPLITS))
    rows = {"sequence": [*sequences, *every]}
    backbone = {**untrained, "max_length": options.length, "overlap": 0}
    head = {"name": "masked-elements", "share": options.share, "shown": options.shown}
    strategy = {"name": "full", "learning_rate": options.rate, "head_learning_rate": options.rate}

    def fit(steps: int) -> tg.TaskModel:
        model = tg.compose(backbone, head=head, strategy=strategy)
        training = {"steps": steps, "batch_size": 64, "batch_elements": options.batch_elements, "seed": options.seed}
        with sdpa_kernel(SDPBackend.MATH):  # the backward pass of other backends is slow in bf16 on CPUs
            run = model.fit(rows, training={**training, "schedule": "cosine", "precision": "bf16"}, quiet=True)
        print(f"pretrained {steps:,} steps: loss {run.stages[0].losses[-1]:.3f} nats per scored residue", flush=True)
        return model

    trial_steps = 20
    fit(1)  # warm-up
    start = time.process_time()
    fit(trial_steps)
    per_step = (time.process_time() - start) / trial_steps
    model = fit(max(int(60 * options.minutes / per_step), 1))
    validation = {"sequence": [row["sequence"] for row in structures.to_pylist() if row["split"] == "validation"]}
    metrics = model.evaluate(validation, quiet=True)
    print(f"masked residues of validation proteins recovered: {metrics['hidden_accuracy']:.3f}", flush=True)
    return model.save(folder)


Rows = dict[str, list[Any]]


def task(name: str, structures: pa.Table, variants: pa.Table, limit: int | None) -> tuple[Rows, Rows, Rows]:
    """Return training, validation and test rows: ``sequence`` and ``target``."""
    column, rows = ("split", structures.to_pylist()) if name == Q3 else (name, variants.to_pylist())
    parts: dict[str, Rows] = {part: {"sequence": [], "target": []} for part in ("train", "validation", "test")}
    for row in np.random.default_rng(0).permutation(len(rows)).tolist():
        part = parts[rows[row][column]]
        if limit is None or rows[row][column] == "test" or len(part["target"]) < limit:
            part["sequence"].append(rows[row]["sequence"][: None if name == Q3 else DOMAIN])
            part["target"].append(residue_labels(rows[row]) if name == Q3 else rows[row]["target"])
    return parts["train"], parts["validation"], parts["test"]


def residue_labels(row: Mapping[str, Any]) -> list[str | None]:
    """Return the label of each residue, None if it is not resolved."""
    return [label if known == "1" else None for label, known in zip(row["labels"], row["resolved_mask"], strict=True)]


def fit_and_test(
    backbone: Any, strategy: Any, name: str, train: Rows, validation: Rows, test: Rows, options: Any
) -> float:
    """Train on a task; return its score on the test rows."""
    head, metric = ("element-classification", "accuracy") if name == Q3 else ("regression", "spearman")
    model = tg.compose(backbone, head=head, strategy=strategy)
    training = {"epochs": options.epochs, "seed": options.seed, "batch_size": options.labelled_batch_size}
    model.fit(train, validation=validation, inputs="sequence", target="target", training=training, quiet=True)
    return model.evaluate(test, resamples=0, quiet=True)[metric]


def one_hot_baseline(name: str, train: Rows, validation: Rows, test: Rows) -> float:
    """Return the score of a model that reads residues one-hot."""
    if name != Q3:
        encoder = OneHotEncoder(handle_unknown="ignore").fit([list(text) for text in train["sequence"]])
        ridge = RidgeCV(alphas=np.logspace(-3, 3, 7))
        ridge.fit(encoder.transform([list(text) for text in train["sequence"]]), train["target"])
        predictions = ridge.predict(encoder.transform([list(text) for text in test["sequence"]]))
        return float(spearmanr(predictions, test["target"]).statistic)
    subset = {column: values[:BASELINE_PROTEINS] for column, values in train.items()}
    windows, labels = one_hot_windows(subset)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(windows)
    model = LogisticRegression(max_iter=300).fit(encoder.transform(windows), labels)
    windows, labels = one_hot_windows(test)
    return float((model.predict(encoder.transform(windows)) == labels).mean())


def one_hot_windows(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return a window around each resolved residue, ``(residue, window)``, and the labels, ``(residue,)``."""
    windows, labels = [], []
    for text, targets in zip(rows["sequence"], rows["target"], strict=True):
        padded = list("-" * AROUND + text + "-" * AROUND)
        windows += [padded[start : start + 2 * AROUND + 1] for start, label in enumerate(targets) if label]
        labels += [label for label in targets if label]
    return np.array(windows), np.array(labels)


def report(results: Mapping[str, Mapping[str, float]], tasks: Sequence[str], networks: Sequence[str]) -> None:
    """Print all scores in one table, and whether the goals are reached."""
    table = Table(title="Secondary structure (Q3) and fitness of GB1 variants (Spearman)")
    for column in ("model", *tasks):
        table.add_column(column)
    for row, scores in results.items():
        table.add_row(row, *(f"{scores[name]:.3f}" for name in tasks))
    Console(width=120).print(table)
    if Q3 in tasks and len(networks) == len(NETWORKS):
        best = {
            label: max(scores[Q3] for row, scores in results.items() if row.startswith(label))
            for label in (*NETWORKS, "one-hot")
        }
        for other in (RANDOM, "one-hot"):
            reached = "reached" if best[PRETRAINED] > best[other] else "MISSED"
            print(f"goal: pretrained beats {other} on Q3; {reached} ({best[PRETRAINED]:.3f}, {best[other]:.3f})")


if __name__ == "__main__":
    main()
