"""Features of proteins per second: ``extract_features`` beside the same model in a plain loop over unsorted batches of 32.

    python tests/benchmarks/protein_features.py --rows 300 --repeats 1
    python tests/benchmarks/protein_features.py --blocks 4 --feature-size 64 --heads 4

The sequences are the first of the training proteins of protein/flip_secondary_structure of the shared data, up to 1,022
residues. The model is an ESM-2 with random weights; what it is does not hang on them. The loop is what the authors of such
models show: tokens padded to the longest of a batch, the mean over residues. Ours runs in batches by a budget of residues, and
in batches of 32 as well. All run in turn, and medians are compared; asked is 2.5 times the loop's sequences per second, and no
number further than 1e-5 from its own.
"""

import argparse
import statistics
import time

import material
import numpy as np
import torch

import taskgraft as tg
from taskgraft_protein.alphabet import ESM
from taskgraft_protein.backbone import ProteinBackbone
from taskgraft_protein.settings import NewEsmConfig

RATIO, DIFFERENCE = 2.5, 1e-5
LOOP = "loop over batches of 32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-elements", type=int, default=4_096, help="residues of a batch of ours")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--feature-size", type=int, default=320)
    parser.add_argument("--heads", type=int, default=20)
    options = parser.parse_args()
    rows = (
        material.parquet("protein/flip_secondary_structure/sampled.parquet").select(["sequence", "split"]).to_pylist()
    )
    training = (row["sequence"] for row in rows if row["split"] == "train")
    sequences = [text for text in training if len(text) <= 1_022][: options.rows]
    torch.manual_seed(0)
    size = {"blocks": options.blocks, "feature_size": options.feature_size, "heads": options.heads}
    backbone = ProteinBackbone(NewEsmConfig(**size)).eval()
    ways = {
        "taskgraft, batches by residues": lambda: ours(backbone, sequences, 256, options.batch_elements),
        "taskgraft, batches of 32": lambda: ours(backbone, sequences, 32, None),
        LOOP: lambda: loop(backbone.model, sequences, ESM.table),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(options.repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - began)
    took = {name: statistics.median(some) for name, some in seconds.items()}
    print(f"{len(sequences):,} sequences, {sum(map(len, sequences)):,} residues; asked: {RATIO} times the loop's speed")
    for name, one in took.items():
        difference = float(np.abs(found[name] - found[LOOP]).max())
        print(
            f"{name:32} {one:6.1f} s {len(sequences) / one:6.1f} per second, {took[LOOP] / one:.2f} times the loop's; "
            f"largest difference {difference:.1e} (asked: {DIFFERENCE})"
        )


def ours(backbone: ProteinBackbone, sequences: list[str], size: int, residues: int | None) -> np.ndarray:
    return tg.extract_features(
        backbone, {"sequence": sequences}, batch_size=size, batch_elements=residues, quiet=True
    ).values


@torch.no_grad()
def loop(model: torch.nn.Module, sequences: list[str], table: np.ndarray) -> np.ndarray:
    """Give the mean over residues, batch by batch in the order given."""
    found = []
    for start in range(0, len(sequences), 32):
        some = sequences[start : start + 32]
        longest = max(map(len, some)) + 2
        ids = torch.full((len(some), longest), ESM.padding)
        for row, text in enumerate(some):
            residues = table[np.frombuffer(text.encode(), np.uint8)]
            ids[row, : len(text) + 2] = torch.tensor([*ESM.before, *residues.tolist(), *ESM.after])
        mask = (ids != ESM.padding).long()
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        found += [hidden[row, 1 : len(text) + 1].mean(0) for row, text in enumerate(some)]
    return torch.stack(found).numpy()


if __name__ == "__main__":
    main()
