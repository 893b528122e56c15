"""Pretraining on transactions without labels, then training on few labels: ft-transformer with and without pretraining.

    python tests/benchmarks/pretraining.py               # ten minutes of pretraining on one core
    python tests/benchmarks/pretraining.py --rows 20000  # a quick look

Features are computed from the raw 183 days, without labels: the amount, weekend and night, counts and means of the customer,
counts of the terminal. ``masked-elements`` is trained on the last rows before the test week (2018-08-08 to 14). Then a
classifier is trained on 5 % of the training week (2018-07-25 to 31), from the artifact and from random weights, with the same
settings; test rows are those of the Handbook. Each seed samples its own 5 %.
"""

import argparse
import tempfile
import time
from pathlib import Path

import material
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from handbook import CUSTOMER, METRICS, TARGET
from transactions import RAW, READER

import taskgraft as tg
from taskgraft_fraud.transactions_reader import read_transactions
from taskgraft_fraud.transactions_settings import TransactionsConfig

DAY = 86_400
TRAIN, DELAYED, TEST, END = 115, 122, 129, 136
"""Days since 2018-04-01: start of the training week, of the delay, of the test week, and the day after it."""

WINDOWS = [f"{CUSTOMER}_{what}_{days}d" for what in ("count", "mean") for days in (1, 7, 30)]
COLUMNS = ["TX_AMOUNT", "weekend", "night", *WINDOWS, *[f"TERMINAL_ID_count_{days}d" for days in (1, 7, 30)]]
BACKBONE = {"name": "ft-transformer", "feature_size": 64, "hides": True}
LABELLED, EPOCHS, RATE = 0.05, 20, 1e-3  # the learning rate was chosen on other rows of the training week


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_300_000, help="maximum rows without labels; there are 1,236,698")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    settings = {key: value for key, value in READER.items() if key != "name"}
    table = read_transactions(material.file(RAW), TransactionsConfig(**settings)).table
    day = table["TX_TIME_SECONDS"].to_numpy() // DAY
    with tempfile.TemporaryDirectory() as temporary:
        artifact = pretrain(table.filter(pa.array(day < TEST)).select(COLUMNS), options.rows, Path(temporary))
        week, test = table.filter(pa.array((day >= TRAIN) & (day < DELAYED))), test_week(table, day)
        for name, backbone in (("pretrained", f"ft-transformer:{artifact}"), ("random", BACKBONE)):
            runs = [fine_tune(backbone, week, test, seed) for seed in range(options.seeds)]
            means, spreads = np.mean(runs, axis=0), np.std(runs, axis=0)
            metrics = zip(METRICS, means, spreads, strict=True)
            print(
                f"{name:12}",
                "  ".join(f"{metric} {mean:.4f} ± {spread:.4f}" for metric, mean, spread in metrics),
                flush=True,
            )


def pretrain(table: pa.Table, rows: int, folder: Path) -> Path:
    """Train on the last rows without labels; return the artifact."""
    rows_used = table.slice(max(len(table) - rows, 0))
    pq.write_table(rows_used, folder / "unlabelled.parquet")
    strategy = {"name": "full", "learning_rate": 1e-3, "head_learning_rate": 1e-3}
    model = tg.compose(BACKBONE, {"name": "masked-elements", "share": 0.3, "shown": 0.0}, strategy)
    start = time.perf_counter()
    training = {"epochs": 1, "batch_size": 512, "weight_decay": 1e-4}
    run = model.fit(folder / "unlabelled.parquet", split="fraction:0.01", training=training, quiet=True)
    minutes = (time.perf_counter() - start) / 60
    metrics = "  ".join(f"{name} {value:.3f}" for name, value in run.metrics.items())
    print(f"{len(rows_used):,} rows without labels in {minutes:.1f} minutes: {metrics}", flush=True)
    return model.save(folder / "artifact")


def test_week(table: pa.Table, day: np.ndarray) -> pa.Table:
    """Select the rows of the test week, without customers that are known frauds."""
    fraud, customers = table[TARGET].to_numpy() == 1, table[CUSTOMER]
    chosen = np.zeros(len(table), dtype=bool)
    for today in range(TEST, END):
        known = customers.filter(pa.array(fraud & (day >= TRAIN) & (day <= today - 8)))
        chosen |= (day == today) & ~pc.is_in(customers, known.combine_chunks()).to_numpy()
    return table.filter(pa.array(chosen))


def fine_tune(backbone, week: pa.Table, test: pa.Table, seed: int) -> list[float]:
    """Train on a few labelled rows and evaluate."""
    sample = np.random.default_rng(seed).permutation(len(week))[: round(LABELLED * len(week))]
    strategy = {"name": "full", "learning_rate": RATE, "head_learning_rate": RATE}
    model = tg.compose(backbone, "classification", strategy)
    training = {"epochs": EPOCHS, "batch_size": 64, "seed": seed, "weight_decay": 1e-4}
    model.fit(week.take(pa.array(sample)), inputs=COLUMNS, target=TARGET, training=training, quiet=True)
    metric = {"name": "fraud", "customer": CUSTOMER, "time": "TX_TIME_SECONDS", "positive": "1"}
    evaluation = model.evaluate(test, metrics=[metric], resamples=0, batch_size=4_096, quiet=True)
    return [evaluation[metric] for metric in METRICS]


if __name__ == "__main__":
    main()
