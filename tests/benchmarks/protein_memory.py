"""Peak memory of a linear probe on the residues of ten thousand proteins, with cached features of every residue.

    python tests/benchmarks/protein_memory.py
    python tests/benchmarks/protein_memory.py --blocks 1 --penalty 1e-3     # features of the same size, computed faster

The proteins are the first of protein/flip_secondary_structure, nine tenths of them for training. The model is an ESM-2 with
random weights, which do not affect the memory. Measured is the peak memory of the process (in GB of 10^9 bytes): in total,
and without pages of files, which the system reclaims when memory is needed. Goal: less than 3 GB.
"""

import argparse
import resource
import threading
import time

import material
import psutil

import taskgraft as tg

GOAL = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--feature-size", type=int, default=320)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument(
        "--memory", type=int, default=1 << 29, help="training.memory: bytes of features cached in memory"
    )
    parser.add_argument("--penalty", type=float, help="L2 penalty of the probe; by default chosen on held-out proteins")
    options = parser.parse_args()
    table = material.parquet("protein/flip_secondary_structure/sampled.parquet").slice(0, options.rows)
    rows = table.select(["sequence", "labels", "resolved_mask"]).to_pylist()
    residues = sum(len(row["sequence"]) for row in rows)
    data = {
        "sequence": [row["sequence"] for row in rows],
        "target": [
            [label if known == "1" else None for label, known in zip(row["labels"], row["resolved_mask"], strict=True)]
            for row in rows
        ],
    }
    del table, rows
    backbone = {
        "name": "new-esm",
        "blocks": options.blocks,
        "feature_size": options.feature_size,
        "heads": options.heads,
        "long": "windows",
    }
    model = tg.compose(
        backbone, head="element-classification", strategy={"name": "linear-probe", "penalty": options.penalty}
    )
    training = {"memory": options.memory, "batch_elements": 32_768}
    start, peak = time.perf_counter(), PeakMemory()
    with peak:
        model.fit(data, validation=0.1, inputs="sequence", target="target", training=training, quiet=True)
    total = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{len(data['sequence']):,} proteins, {residues:,} residues, {time.perf_counter() - start:,.0f} s")
    print(f"features: {residues * options.feature_size * 4 / 1e9:.2f} GB")
    print(f"peak memory: {total:.2f} GB, without pages of files {peak.own / 1e9:.2f} GB (goal: below {GOAL} GB)")


class PeakMemory:
    """Records the peak memory of this process without pages of files."""

    def __init__(self) -> None:
        self.own = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.1):
            memory = process.memory_info()
            self.own = max(self.own, memory.rss - memory.shared)


if __name__ == "__main__":
    main()
