"""Peak memory of ``taskgraft predict`` from file to file: 2,000 and 200,000 texts, each in its own process.

    python tests/benchmarks/predicting.py

The model is a linear probe on the real MiniLM, trained on 500 texts of banking77; the texts are those of its test set,
repeated. Goal: a peak memory at most 300 MB above that of 2,000 texts.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import material
from rich.console import Console
from rich.table import Table

import taskgraft as tg


def peak(artifact: Path, rows: int, folder: Path) -> tuple[float, float]:
    """Run the command on some rows; return its peak memory in MB and its seconds."""
    texts = material.table("text/banking77/test.csv.gz")["text"]
    data, output = folder / f"{rows}.csv", folder / f"{rows}.out.csv"
    texts.sample(rows, replace=True, random_state=0).to_csv(data, index=False)
    command = [sys.executable, "-m", "taskgraft", "predict", str(artifact), str(data), "-o", str(output), "--quiet"]
    start = time.perf_counter()
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with output.open() as file:
        assert sum(1 for _ in file) == rows + 1
    return usage.ru_maxrss / 1024, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="texts of the large file")
    options = parser.parse_args()
    train = material.table("text/banking77/train.csv.gz").sample(frac=1, random_state=0)[:500]
    model = tg.compose(f"hf-text:{material.minilm()}", head="classification", strategy="linear-probe")
    model.fit(train, inputs="text", target="label", quiet=True)
    table = Table(title="taskgraft predict, file to file")
    for column in ("texts", "peak memory MB", "seconds"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        artifact = model.save(folder / "artifact")
        for rows in (2_000, options.rows):
            memory, seconds = peak(artifact, rows, folder)
            table.add_row(f"{rows:,}", f"{memory:,.0f}", f"{seconds:.1f}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
