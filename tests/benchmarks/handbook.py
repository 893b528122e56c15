"""Card fraud as the Fraud Detection Handbook splits it: four backbones beside the rivals that people use.

    python tests/benchmarks/handbook.py               # three seeds of each backbone
    python tests/benchmarks/handbook.py --scalings    # how numbers are scaled, by average precision on validation days

Train 2018-07-25 to 31, the last two days held out to stop early and to choose the threshold; a delay of 7 days; test
2018-08-08 to 14, without customers who were known to be compromised; 15 features. The settings of each backbone were chosen by
average precision on the two validation days. Rivals learn from all seven days. Asked are 0.870 / 0.605 / 0.291 of logistic
regression within 0.005, and of the best backbone an average precision of 0.66 and a card precision of 0.29, as means of seeds.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import material
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import taskgraft as tg

FEATURES = "tabular/fraud_handbook_simulated/features_20180725_20180814.parquet"
CUSTOMER, TIME, AMOUNT, TARGET = "CUSTOMER_ID", "TX_DATETIME", "TX_AMOUNT", "TX_FRAUD"
FRAUD = {"name": "fraud", "customer": CUSTOMER, "time": TIME, "positive": "1"}
NUMBERS = ("auroc", "average_precision", "card_precision_at_100")
RIVALS = ("logistic-regression", "gradient-boosting", "random-forest")
LINEAR, TOLERANCE = (0.870, 0.605, 0.291), 0.005
BEST = (0.66, 0.29)

BACKBONES = {
    "mlp-plr": ({"name": "mlp-plr"}, 3e-4, {}),
    "tabular-resnet": ({"name": "tabular-resnet"}, 3e-4, {}),
    "tabm": ({"name": "tabm", "members": 8}, 1e-3, {}),
    "ft-transformer": ({"name": "ft-transformer", "feature_size": 64}, 1e-3, {"batch_size": 512}),
}
"""Settings, learning rate and training of each, as chosen on the validation days."""

TRAINING = {"epochs": 15, "batch_size": 256, "patience": 4, "weight_decay": 1e-4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbones", nargs="*", default=list(BACKBONES))
    parser.add_argument(
        "--scalings", action="store_true", help="compare ways of scaling numbers on the validation days"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        columns = written(folder)
        if options.scalings:
            scalings(folder, columns, options.seeds)
            return
        table = Table(title="fraud, 58,264 test rows")
        for column in ("", *NUMBERS, "seconds"):
            table.add_column(column, justify="right" if column else "left")
        rivals(folder, columns, table)
        best = max(judged(folder, columns, name, options.seeds, table) for name in options.backbones)
        Console(width=120).print(table)
        reached = best >= BEST
        print(f"asked of the best backbone: {BEST}; {'reached' if reached else 'MISSED'} {best}")


def written(folder: Path) -> list[str]:
    """Write the training week and the test week; give the columns that are read."""
    rows = pd.read_parquet(material.file(FEATURES))
    day = rows.TX_TIME_DAYS - rows.TX_TIME_DAYS.min()
    rows[day < 7].to_parquet(folder / "train.parquet")
    week = []
    for today in range(14, 21):
        known = rows[(rows[TARGET] == 1) & (day <= today - 8)][CUSTOMER]
        week.append(rows[(day == today) & ~rows[CUSTOMER].isin(known)])
    pd.concat(week).to_parquet(folder / "test.parquet")
    return [AMOUNT, "TX_DURING_WEEKEND", "TX_DURING_NIGHT", *[name for name in rows if name.endswith("_WINDOW")]]


def rivals(folder: Path, columns: list[str], table: Table) -> None:
    """Print what the rivals reach that learned from the whole week; a small model only asks for them."""
    model = tg.compose({"name": "tabular-resnet", "blocks": 1, "feature_size": 8}, "classification", "full")
    training = {"steps": 1, "batch_size": 256}
    model.fit(folder / "train.parquet", inputs=columns, target=TARGET, training=training, quiet=True)
    found = model.evaluate(folder / "test.parquet", metrics=[FRAUD], baselines=RIVALS, resamples=0, quiet=True)
    for name, numbers in found.baselines.items():
        if name in RIVALS:
            table.add_row(name, *(f"{numbers[one]:.4f}" for one in NUMBERS), "")
    linear = [found.baselines["logistic-regression"][one] for one in NUMBERS]
    close = all(abs(have - asked) <= TOLERANCE for have, asked in zip(linear, LINEAR, strict=True))
    print(f"asked of logistic regression: {LINEAR} within {TOLERANCE}; {'reached' if close else 'MISSED'}")


def judged(folder: Path, columns: list[str], name: str, seeds: int, table: Table) -> tuple[float, float]:
    """Train a backbone by several seeds; give its mean average precision and card precision."""
    runs, seconds = [], []
    for seed in range(seeds):
        model, run = fitted(folder, columns, BACKBONES[name][0], name, seed)
        found = model.evaluate(folder / "test.parquet", resamples=0, quiet=True)
        runs.append([found[one] for one in NUMBERS])
        seconds.append(run.seconds)
    means, spreads = np.mean(runs, axis=0), np.std(runs, axis=0)
    cells = [f"{mean:.4f} ± {spread:.4f}" for mean, spread in zip(means, spreads, strict=True)]
    table.add_row(name, *cells, f"{statistics.median(seconds):.0f}")
    return float(means[1]), float(means[2])


def fitted(folder: Path, columns: list[str], backbone: dict, name: str, seed: int) -> tuple[tg.TaskModel, tg.FitReport]:
    """Fit with the last two days held out."""
    _, rate, training = BACKBONES[name]
    head = FRAUD | {"review": 10.0, "amount": AMOUNT}
    strategy = {"name": "full", "learning_rate": rate, "head_learning_rate": rate}
    model = tg.compose(backbone, head, strategy)
    run = model.fit(
        folder / "train.parquet",
        split={"name": "time", "column": TIME, "validation": 2},
        inputs=columns,
        target=TARGET,
        training=TRAINING | training | {"seed": seed},
        quiet=True,
    )
    return model, run


def scalings(folder: Path, columns: list[str], seeds: int) -> None:
    """Print the average precision on the validation days for each way of scaling numbers."""
    for scaling in ("standard", "quantile"):
        backbone = BACKBONES["mlp-plr"][0] | {"scaling": scaling}
        found = [
            fitted(folder, columns, backbone, "mlp-plr", seed)[1].metrics["average_precision"] for seed in range(seeds)
        ]
        print(f"{scaling:10} {np.mean(found):.4f} ± {np.std(found):.4f} on the validation days", flush=True)


if __name__ == "__main__":
    main()
