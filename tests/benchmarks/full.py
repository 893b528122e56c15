"""Training a whole encoder on banking77: our ``full`` and transformers.Trainer, all with the same learning rates.

    python tests/benchmarks/full.py

2,000 training rows, 3 epochs, AdamW, a learning rate of 5e-5 for the encoder and that of our head for the head. The Trainer
runs with default settings, with group_by_length, and with that and our batch size of 32. Seconds are of the whole fit,
including reading the weights; all run in turn, and medians are compared.
"""

import argparse
import statistics
from collections.abc import Callable

from banking77 import Bench
from rich.console import Console
from rich.table import Table

ROWS, HEAD_RATE = 2_000, 3e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is reported")
    options = parser.parse_args()
    bench = Bench(ROWS, HEAD_RATE)
    methods: dict[str, Callable[[], tuple[float, float, int, float]]] = {
        "full": lambda: bench.ours("full"),
        "Trainer, default settings": lambda: bench.trainer("random", frozen=False),
        "Trainer, group_by_length": lambda: bench.trainer("group_by_length", frozen=False),
        "Trainer, group_by_length, batches of 32": lambda: bench.trainer("group_by_length", frozen=False, batch=32),
    }
    bench.ours("linear-probe")  # the first run includes lazy imports
    results = {name: [] for name in methods}
    for _ in range(options.repeats):
        for name, method in methods.items():
            results[name].append(method())
    ours = statistics.median(run[0] for run in results["full"])
    table = Table(title=f"banking77, {len(bench.train):,} training rows, {len(bench.test):,} test rows, 3 epochs")
    for column in ("", "accuracy", "seconds", "full's seconds / these"):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in results.items():
        seconds = statistics.median(run[0] for run in runs)
        table.add_row(name, f"{runs[0][1]:.4f}", f"{seconds:.1f}", f"{ours / seconds:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
