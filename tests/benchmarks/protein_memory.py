"""Peak memory of probing the residues of ten thousand proteins: features of every residue, computed once and solved on.

    python tests/benchmarks/protein_memory.py
    python tests/benchmarks/protein_memory.py --blocks 1 --penalty 1e-3     # as many numbers to keep, computed sooner

The proteins are the first of protein/flip_secondary_structure of the shared data, nine tenths to learn from. The model is an
ESM-2 with random weights; memory does not hang on what they are. Measured is what the process holds at most (in GB of 10^9
bytes): all of it, and what of it is no page of a file, which the system takes back when others need room. Asked is less than
3 GB.
"""

import argparse
import resource
import threading
import time

import material
import psutil

import taskgraft as tg

ASKED = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--feature-size", type=int, default=320)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--memory", type=int, default=1 << 29, help="training.memory: bytes of features kept in memory")
    parser.add_argument("--penalty", type=float, help="of the probe; chosen on held-out proteins when left out")
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
    began, most = time.perf_counter(), Most()
    with most:
        model.fit(data, validation=0.1, inputs="sequence", target="target", training=training, quiet=True)
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{len(data['sequence']):,} proteins, {residues:,} residues, {time.perf_counter() - began:,.0f} s")
    print(f"features: {residues * options.feature_size * 4 / 1e9:.2f} GB")
    print(f"peak memory: {whole:.2f} GB, of which no page of a file {most.own / 1e9:.2f} GB (asked: below {ASKED} GB)")


class Most:
    """Watches how much of the memory of this process is its own: no page of a file."""

    def __init__(self) -> None:
        self.own = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._ends.wait(0.1):
            told = process.memory_info()
            self.own = max(self.own, told.rss - told.shared)


if __name__ == "__main__":
    main()
