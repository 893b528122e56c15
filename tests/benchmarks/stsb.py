"""Similarity of sentence pairs (STS-B) with a real MiniLM: linear probes on separate and joined sentences, and full training.

python tests/benchmarks/stsb.py
"""

import time

import material
import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer
from torchmetrics.functional import spearman_corrcoef

import taskgraft as tg

METHODS = (("linear-probe", "apart"), ("linear-probe", "together"), ("full", "apart"))


def main() -> None:
    train, test = (material.table(f"text/stsb/en_{part}.csv.gz") for part in ("train", "test"))
    table = Table(title=f"STS-B, {len(train):,} training pairs, {len(test):,} test pairs")
    for column in ("strategy", "pairs", "Spearman", "Pearson", "seconds"):
        table.add_column(column)
    encoder = SentenceTransformer(material.minilm(), device="cpu")
    first, second = (
        encoder.encode(test[column].tolist(), convert_to_tensor=True) for column in ("sentence1", "sentence2")
    )
    scores = torch.tensor([float(score) for score in test["score"]])
    untrained = spearman_corrcoef(torch.cosine_similarity(first, second), scores)
    table.add_row("(cosine, no training)", "apart", f"{untrained:.4f}", "", "")
    for strategy, pair in METHODS:
        start = time.perf_counter()
        backbone = {"name": "hf-text", "checkpoint": material.minilm(), "pair": pair}
        model = tg.compose(backbone, head="regression", strategy=strategy)
        model.fit(train, inputs=["sentence1", "sentence2"], target="score", quiet=True)
        seconds = time.perf_counter() - start
        evaluation = model.evaluate(test, quiet=True)
        table.add_row(strategy, pair, f"{evaluation['spearman']:.4f}", f"{evaluation['pearson']:.4f}", f"{seconds:.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
