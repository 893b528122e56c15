"""A small ESM, pretrained here, on secondary structure and on the fitness of GB1 variants, beside its like with random weights.

    python tests/benchmarks/proteins.py                      # an hour of computing to pretrain
    python tests/benchmarks/proteins.py --minutes 10 --blocks 4 --feature-size 128 --heads 4
    python tests/benchmarks/proteins.py --pretrained runs/esm  # leave out pretraining; made by --save runs/esm

Needed: protein/flip_secondary_structure and protein/flip_gb1 of the shared data (FLIP: Dallago et al., 2021). Pretraining
hides residues of the training proteins of secondary structure, and of those variants of GB1 that all five splits train on,
and sees no label. Then each strategy learns each task from both networks. Q3 is the share of right labels over resolved
residues of the 364 test proteins, GB1 the Spearman correlation over the test variants of each split, its validation variants
held out; its 56 residues are read, not what follows in the construct, which is the same in all. The rivals read residues
one-hot: a logistic regression over windows of 15 (of at most 600 proteins), and ridge regression over all positions. A number
of the networks hangs on the seed; --seed gives another.
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
"""Residues on each side of the one that a window is about."""

RIVAL_PROTEINS = 600

DOMAIN = 56
"""Residues of GB1 itself, in which the variants differ; what follows in the construct is the same in all."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=60, help="of computing that pretraining takes, all threads together"
    )
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--feature-size", type=int, default=320)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--length", type=int, default=128, help="residues of the windows that pretraining reads")
    parser.add_argument("--batch-elements", type=int, default=2_048, help="residues per step of pretraining")
    parser.add_argument("--share", type=float, default=0.25, help="of residues that pretraining hides")
    parser.add_argument("--shown", type=float, default=0.1, help="of residues that it asks for though they are shown")
    parser.add_argument("--rate", type=float, default=2e-3, help="of pretraining, at its peak")
    parser.add_argument("--epochs", type=int, default=3, help="over the labelled rows, where weights descend")
    parser.add_argument(
        "--rows", type=int, help="labelled rows that a task is learned from at most; all it is tested by"
    )
    parser.add_argument("--labelled-batch-size", type=int, default=8, help="rows per step over labelled rows")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--tasks", nargs="+", choices=(Q3, *SPLITS), default=[Q3, *SPLITS])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--pretrained", type=Path, help="an artifact to take instead of pretraining")
    parser.add_argument("--save", type=Path, help="folder for the artifact of pretraining")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    structures = material.parquet("protein/flip_secondary_structure/sampled.parquet")
    variants = material.parquet("protein/flip_gb1/gb1.parquet")
    tasks = {name: task(name, structures, variants, options.rows) for name in options.tasks}
    new = {
        "name": "new-esm",
        "blocks": options.blocks,
        "feature_size": options.feature_size,
        "heads": options.heads,
        "long": "windows",
    }
    found: dict[str, dict[str, float]] = {"one-hot": {name: rival(name, *parts) for name, parts in tasks.items()}}
    with tempfile.TemporaryDirectory() as folder:
        networks = {RANDOM: new}
        if PRETRAINED in options.networks:
            into = options.save or Path(folder) / "esm"
            place = options.pretrained or pretrained(new, structures, variants, into, options)
            networks[PRETRAINED] = {"name": f"new-esm:{place}", "long": "windows"}
        for label, backbone in ((label, networks[label]) for label in options.networks):
            for strategy in options.strategies:
                row = f"{label}, {strategy}"
                found[row] = {}
                for name, parts in tasks.items():
                    began = time.perf_counter()
                    found[row][name] = learned(backbone, STRATEGIES[strategy], name, *parts, options)
                    print(f"{row}, {name}: {found[row][name]:.3f} ({time.perf_counter() - began:,.0f} s)", flush=True)
    report(found, options.tasks, options.networks)


def pretrained(new: Mapping[str, Any], structures: pa.Table, variants: pa.Table, folder: Path, options: Any) -> Path:
    """Pretrain for as many steps as fit into the minutes of computing, and give the artifact."""
    sequences = [
        row["sequence"] for row in structures.select(["sequence", "split"]).to_pylist() if row["split"] == "train"
    ]
    every = (row["sequence"] for row in variants.to_pylist() if all(row[split] == "train" for split in SPLITS))
    rows = {"sequence": [*sequences, *every]}
    backbone = {**new, "max_length": options.length, "overlap": 0}
    head = {"name": "masked-elements", "share": options.share, "shown": options.shown}
    strategy = {"name": "full", "learning_rate": options.rate, "head_learning_rate": options.rate}

    def fitted(steps: int) -> tg.TaskModel:
        model = tg.compose(backbone, head=head, strategy=strategy)
        training = {"steps": steps, "batch_size": 64, "batch_elements": options.batch_elements, "seed": options.seed}
        with sdpa_kernel(SDPBackend.MATH):  # torch's other way back through attention is slow in bf16 on a CPU
            run = model.fit(rows, training={**training, "schedule": "cosine", "precision": "bf16"}, quiet=True)
        print(f"pretrained {steps:,} steps: loss {run.stages[0].losses[-1]:.3f} nats per residue asked for", flush=True)
        return model

    tried = 20
    fitted(1)  # what is done once does not count
    began = time.process_time()
    fitted(tried)
    per_step = (time.process_time() - began) / tried
    model = fitted(max(int(60 * options.minutes / per_step), 1))
    held = {"sequence": [row["sequence"] for row in structures.to_pylist() if row["split"] == "validation"]}
    numbers = model.evaluate(held, quiet=True)
    print(f"hidden residues of validation proteins recovered: {numbers['hidden_accuracy']:.3f}", flush=True)
    return model.save(folder)


Rows = dict[str, list[Any]]


def task(name: str, structures: pa.Table, variants: pa.Table, most: int | None) -> tuple[Rows, Rows, Rows]:
    """Give training, validation and test rows: ``sequence`` and ``target``."""
    column, rows = ("split", structures.to_pylist()) if name == Q3 else (name, variants.to_pylist())
    parts: dict[str, Rows] = {part: {"sequence": [], "target": []} for part in ("train", "validation", "test")}
    for row in np.random.default_rng(0).permutation(len(rows)).tolist():
        some = parts[rows[row][column]]
        if most is None or rows[row][column] == "test" or len(some["target"]) < most:
            some["sequence"].append(rows[row]["sequence"][: None if name == Q3 else DOMAIN])
            some["target"].append(residue_labels(rows[row]) if name == Q3 else rows[row]["target"])
    return parts["train"], parts["validation"], parts["test"]


def residue_labels(row: Mapping[str, Any]) -> list[str | None]:
    """Give the label of each residue, None where it is not resolved."""
    return [label if known == "1" else None for label, known in zip(row["labels"], row["resolved_mask"], strict=True)]


def learned(backbone: Any, strategy: Any, name: str, train: Rows, held: Rows, test: Rows, options: Any) -> float:
    """Learn a task, and give its number on the test rows."""
    head, number = ("element-classification", "accuracy") if name == Q3 else ("regression", "spearman")
    model = tg.compose(backbone, head=head, strategy=strategy)
    training = {"epochs": options.epochs, "seed": options.seed, "batch_size": options.labelled_batch_size}
    model.fit(train, validation=held, inputs="sequence", target="target", training=training, quiet=True)
    return model.evaluate(test, resamples=0, quiet=True)[number]


def rival(name: str, train: Rows, held: Rows, test: Rows) -> float:
    """Give the number of a model that reads residues one-hot."""
    if name != Q3:
        encoder = OneHotEncoder(handle_unknown="ignore").fit([list(text) for text in train["sequence"]])
        ridge = RidgeCV(alphas=np.logspace(-3, 3, 7))
        ridge.fit(encoder.transform([list(text) for text in train["sequence"]]), train["target"])
        found = ridge.predict(encoder.transform([list(text) for text in test["sequence"]]))
        return float(spearmanr(found, test["target"]).statistic)
    some = {column: values[:RIVAL_PROTEINS] for column, values in train.items()}
    windows, labels = one_hot_windows(some)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(windows)
    model = LogisticRegression(max_iter=300).fit(encoder.transform(windows), labels)
    windows, labels = one_hot_windows(test)
    return float((model.predict(encoder.transform(windows)) == labels).mean())


def one_hot_windows(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Give the residues around each resolved one, ``(residue, window)``, and the labels, ``(residue,)``."""
    windows, labels = [], []
    for text, some in zip(rows["sequence"], rows["target"], strict=True):
        padded = list("-" * AROUND + text + "-" * AROUND)
        windows += [padded[place : place + 2 * AROUND + 1] for place, label in enumerate(some) if label]
        labels += [label for label in some if label]
    return np.array(windows), np.array(labels)


def report(found: Mapping[str, Mapping[str, float]], tasks: Sequence[str], networks: Sequence[str]) -> None:
    """Print all numbers in one table, and what is asked of them."""
    table = Table(title="Secondary structure (Q3) and fitness of GB1 variants (Spearman)")
    for column in ("model", *tasks):
        table.add_column(column)
    for row, numbers in found.items():
        table.add_row(row, *(f"{numbers[name]:.3f}" for name in tasks))
    Console(width=120).print(table)
    if Q3 in tasks and len(networks) == len(NETWORKS):
        best = {
            label: max(numbers[Q3] for row, numbers in found.items() if row.startswith(label))
            for label in (*NETWORKS, "one-hot")
        }
        for rival_of in (RANDOM, "one-hot"):
            reached = "reached" if best[PRETRAINED] > best[rival_of] else "MISSED"
            print(f"asked: pretrained beats {rival_of} on Q3; {reached} ({best[PRETRAINED]:.3f}, {best[rival_of]:.3f})")


if __name__ == "__main__":
    main()
