"""Income over 50,000 (Adult, UCI): four backbones beside gradient boosting, on categories, numbers and missing values.

    python tests/benchmarks/adult.py
    python tests/benchmarks/adult.py --scalings  # by AUROC on rows held out of the training file

The official split; columns are inferred. One row in ten of the training file is held out to stop early; the settings of each
backbone were chosen on those. Asked of the best is an accuracy and an AUROC within 0.01 of gradient boosting's, or above.
"""

import argparse
import statistics

import material
import numpy as np
from rich.console import Console
from rich.table import Table

import taskgraft as tg

NUMBERS = ("accuracy", "auroc")
BACKBONES = {
    "mlp-plr": ({"name": "mlp-plr", "dropout": 0.4, "frequency_scale": 0.5}, 1e-3, {"epochs": 20}),
    "tabular-resnet": ({"name": "tabular-resnet"}, 1e-3, {}),
    "tabm": ({"name": "tabm", "members": 8}, 1e-3, {}),
    "ft-transformer": ({"name": "ft-transformer", "feature_size": 64}, 1e-3, {"epochs": 8}),
}
TRAINING = {"epochs": 12, "batch_size": 256, "patience": 3, "weight_decay": 1e-4}
SPLIT, CLOSE = "fraction:0.1", 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--backbones", nargs="*", default=list(BACKBONES))
    parser.add_argument("--scalings", action="store_true", help="compare ways of scaling numbers")
    options = parser.parse_args()
    if options.scalings:
        for scaling in ("standard", "quantile"):
            backbone = BACKBONES["mlp-plr"][0] | {"scaling": scaling}
            found = [fitted(backbone, "mlp-plr", seed)[1].metrics["auroc"] for seed in range(options.seeds)]
            print(f"{scaling:10} {np.mean(found):.4f} ± {np.std(found):.4f} on rows held out", flush=True)
        return
    table = Table(title="Adult, 16,281 test rows")
    for column in ("", *NUMBERS, "seconds"):
        table.add_column(column, justify="right" if column else "left")
    best, boosting = (0.0, 0.0), (0.0, 0.0)
    for name in options.backbones:
        runs, seconds = [], []
        for seed in range(options.seeds):
            model, run = fitted(BACKBONES[name][0], name, seed)
            asked = () if boosting[0] else ("gradient-boosting", "logistic-regression")
            found = model.evaluate(material.file("tabular/adult/test.csv.gz"), baselines=asked, resamples=0, quiet=True)
            for rival in asked:
                numbers = [found.baselines[rival][one] for one in NUMBERS]
                table.add_row(rival, *(f"{number:.4f}" for number in numbers), "")
                boosting = max(boosting, (numbers[0], numbers[1]))
            runs.append([found[one] for one in NUMBERS])
            seconds.append(run.seconds)
        means = np.mean(runs, axis=0)
        table.add_row(name, *(f"{mean:.4f}" for mean in means), f"{statistics.median(seconds):.0f}")
        best = max(best, (float(means[0]), float(means[1])))
    Console(width=100).print(table)
    reached = all(have >= asked - CLOSE for have, asked in zip(best, boosting, strict=True))
    print(f"asked: the best within {CLOSE} of gradient boosting; {'reached' if reached else 'MISSED'}")


def fitted(backbone: dict, name: str, seed: int) -> tuple[tg.TaskModel, tg.FitReport]:
    """Fit with one row in ten held out."""
    _, rate, training = BACKBONES[name]
    strategy = {"name": "full", "learning_rate": rate, "head_learning_rate": rate}
    model = tg.compose(backbone, "classification", strategy)
    run = model.fit(
        material.file("tabular/adult/train.csv.gz"),
        split=SPLIT,
        target="target",
        training=TRAINING | training | {"seed": seed},
        quiet=True,
    )
    return model, run


if __name__ == "__main__":
    main()
