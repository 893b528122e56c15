"""Embeddings of banking77 with a real MiniLM: ``extract_features`` compared to sentence-transformers' ``encode``, in fp32.

    python tests/benchmarks/features.py              # all 10,003 training texts
    python tests/benchmarks/features.py --rows 2000  # the first of them
    python tests/benchmarks/features.py --bf16       # also ours in bf16, if the processor supports it

Weights are loaded before. Both get the texts in memory and return one array; both sort by length. ``encode`` runs with its
default settings (batches of 32) and with batches of 128, and its better time counts. All run in turn, and medians are
compared. Goals: a ratio (its seconds / ours) of at least 0.95, and a largest difference of at most 1e-5.
"""

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import material
import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer

import taskgraft as tg
from taskgraft_text.backbone import TextBackbone
from taskgraft_text.settings import TextConfig

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

LARGER = 128
RATIO, DIFFERENCE = 0.95, 1e-5
OURS, THEIRS, THEIRS_LARGER, OURS_BF16 = "ours", "encode", f"encode, batches of {LARGER}", "ours, bf16"
UNITS = ("avx512_bf16", "amx_bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_003, help="texts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is reported")
    parser.add_argument("--threads", type=int, help="torch threads; by default torch's own number")
    parser.add_argument("--bf16", action="store_true", help="also measure ours in bf16")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = material.minilm()
    texts = material.table("text/banking77/train.csv.gz")["text"].tolist()[: options.rows]
    backbone = TextBackbone(TextConfig(checkpoint=folder))
    encoder = SentenceTransformer(folder, device="cpu")

    def ours(precision: str = "fp32") -> np.ndarray:
        return tg.extract_features(backbone, {"text": texts}, precision=precision, quiet=True).values

    methods: dict[str, Callable[[], np.ndarray]] = {
        OURS: ours,
        THEIRS: lambda: encoder.encode(texts, show_progress_bar=False),
        THEIRS_LARGER: lambda: encoder.encode(texts, batch_size=LARGER, show_progress_bar=False),
    }
    if options.bf16 and (units := bf16_units()):
        print(f"The processor supports bf16 ({', '.join(units)}).")
        methods[OURS_BF16] = lambda: ours("bf16")
    elif options.bf16:
        print("The processor does not support bf16 (neither avx512_bf16 nor amx_bf16), so bf16 is skipped.")
    report(run_in_turn(methods, options.repeats), len(texts))


def run_in_turn(methods: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, tuple[float, np.ndarray]]:
    """Run all methods in turn; return the median seconds and the features of each."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    features = {}
    for _ in range(repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            features[name] = method()
            seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(seconds[name]), features[name]) for name in methods}


def report(results: dict[str, tuple[float, np.ndarray]], rows: int) -> None:
    """Print seconds, ratios and differences."""
    theirs = min(results[THEIRS][0], results[THEIRS_LARGER][0])
    reference = results[THEIRS][1]
    print(f"{rows:,} texts, {torch.get_num_threads()} threads")
    for name, (seconds, features) in results.items():
        print(f"{name:24} {seconds:7.2f} s   largest difference {np.abs(features - reference).max():.1e}")
    seconds, features = results[OURS]
    difference = float(np.abs(features - reference).max())
    print(f"ratio {theirs / seconds:.2f} (goal: {RATIO}); difference {difference:.1e} (goal: {DIFFERENCE})")
    if OURS_BF16 in results:
        cosine = (results[OURS_BF16][1] * reference).sum(1).min()
        print(f"ratio in bf16 {theirs / results[OURS_BF16][0]:.2f}; the lowest cosine with fp32 is {cosine:.5f}")


def bf16_units() -> list[str]:
    """Name the processor's bf16 instructions."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return [unit for unit in UNITS if unit in flags]


if __name__ == "__main__":
    main()
