"""Embeddings of banking77 with a real MiniLM: ``extract_features`` beside sentence-transformers' ``encode``, in fp32.

    python tests/benchmarks/features.py              # all 10,003 training texts
    python tests/benchmarks/features.py --rows 2000  # the first of them
    python tests/benchmarks/features.py --bf16       # and ours in bf16, where the processor multiplies in it

Weights are loaded before. Both get the texts in memory and give one array; both sort by length on their own. ``encode`` runs
with its default arguments (batches of 32) and with batches of 128, and its better time counts. All run in turn, and medians
are compared. Asked are a ratio (its seconds / ours) of at least 0.95, and no number further than 1e-5 from its own.
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
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is given")
    parser.add_argument("--threads", type=int, help="of torch; its own number when left out")
    parser.add_argument("--bf16", action="store_true", help="add ours in bf16")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = material.minilm()
    texts = material.table("text/banking77/train.csv.gz")["text"].tolist()[: options.rows]
    backbone = TextBackbone(TextConfig(checkpoint=folder))
    encoder = SentenceTransformer(folder, device="cpu")

    def ours(precision: str = "fp32") -> np.ndarray:
        return tg.extract_features(backbone, {"text": texts}, precision=precision, quiet=True).values

    ways: dict[str, Callable[[], np.ndarray]] = {
        OURS: ours,
        THEIRS: lambda: encoder.encode(texts, show_progress_bar=False),
        THEIRS_LARGER: lambda: encoder.encode(texts, batch_size=LARGER, show_progress_bar=False),
    }
    if options.bf16 and (units := bf16_units()):
        print(f"The processor multiplies in bf16 ({', '.join(units)}).")
        ways[OURS_BF16] = lambda: ours("bf16")
    elif options.bf16:
        print("The processor does not multiply in bf16 (it has neither avx512_bf16 nor amx_bf16), so bf16 is left out.")
    report(timed(ways, options.repeats), len(texts))


def timed(ways: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, tuple[float, np.ndarray]]:
    """Run everything in turn, and give the median of the seconds, and the numbers."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - began)
    return {name: (statistics.median(seconds[name]), found[name]) for name in ways}


def report(found: dict[str, tuple[float, np.ndarray]], rows: int) -> None:
    """Print seconds, ratios and differences."""
    rival = min(found[THEIRS][0], found[THEIRS_LARGER][0])
    truth = found[THEIRS][1]
    print(f"{rows:,} texts, {torch.get_num_threads()} threads")
    for name, (seconds, numbers) in found.items():
        print(f"{name:24} {seconds:7.2f} s   largest difference {np.abs(numbers - truth).max():.1e}")
    seconds, numbers = found[OURS]
    difference = float(np.abs(numbers - truth).max())
    print(f"ratio {rival / seconds:.2f} (asked: {RATIO}); difference {difference:.1e} (asked: {DIFFERENCE})")
    if OURS_BF16 in found:
        alike = (found[OURS_BF16][1] * truth).sum(1).min()
        print(f"ratio in bf16 {rival / found[OURS_BF16][0]:.2f}; the lowest cosine with fp32 is {alike:.5f}")


def bf16_units() -> list[str]:
    """Name what the processor has to multiply in bf16."""
    about = Path("/proc/cpuinfo")
    flags = set(about.read_text().split()) if about.exists() else set()
    return [unit for unit in UNITS if unit in flags]


if __name__ == "__main__":
    main()
