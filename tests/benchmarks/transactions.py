"""1,754,155 raw transactions of 183 days: read with their history, processed and predicted, from file to file.

    python tests/benchmarks/transactions.py

A small mlp-plr is trained on the first month; then ``taskgraft predict`` reads all days with the reader ``transactions``, in
its own process, and writes a Parquet file. Goal: a peak memory under 3 GB.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import material
import pyarrow.parquet as pq

import taskgraft as tg

RAW = "tabular/fraud_handbook_simulated/transactions_all_183days.parquet"
GOAL = 3_000
READER = {
    "name": "transactions",
    "time": "TX_TIME_SECONDS",
    "since": "2018-04-01",
    "customer": "CUSTOMER_ID",
    "amount": "TX_AMOUNT",
    "terminal": "TERMINAL_ID",
    "label": "TX_FRAUD",
    "delay": 7,
    "calendar": True,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    data = material.file(RAW)
    rows = pq.read_table(data)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pq.write_table(rows.slice(0, 290_000), folder / "month.parquet")
        model = tg.compose({"name": "mlp-plr", "feature_size": 64}, "classification", "full")
        windows = [f"CUSTOMER_ID_{what}_{days}d" for what in ("count", "mean") for days in (1, 7, 30)]
        windows += [f"TERMINAL_ID_{what}_{days}d" for what in ("count", "risk") for days in (1, 7, 30)]
        inputs = ["TX_AMOUNT", "weekend", "night", *windows]
        training = {"steps": 50, "batch_size": 1_024}
        model.fit(
            folder / "month.parquet", reader=READER, inputs=inputs, target="TX_FRAUD", training=training, quiet=True
        )
        artifact = model.save(folder / "artifact")
        output = folder / "predictions.parquet"
        command = [sys.executable, "-m", "taskgraft", "predict", str(artifact), str(data), "-o", str(output), "--quiet"]
        command += ["--probabilities"]
        start = time.perf_counter()
        child = os.posix_spawn(sys.executable, command, os.environ)
        _, status, usage = os.wait4(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        memory = usage.ru_maxrss / 1024
        seconds = time.perf_counter() - start
        assert pq.read_metadata(output).num_rows == len(rows)
        print(f"{len(rows):,} rows, peak memory {memory:,.0f} MB, {seconds:.1f} s")
        print(f"goal: under {GOAL:,} MB; {'reached' if memory < GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
