"""Features of proteins per second: ``extract_features`` and the same model in a plain loop over unsorted batches of 32.

    python tests/benchmarks/protein_features.py --rows 300 --repeats 1
    python tests/benchmarks/protein_features.py --blocks 4 --feature-size 64 --heads 4

The sequences are the first training proteins of protein/flip_secondary_structure with up to 1,022 residues. The model is an
ESM-2 with random weights, which do not affect the speed. The loop is that of the documentation of such models: tokens padded
to the longest of a batch, the mean over residues. Ours runs in batches by a budget of residues, and also in batches of 32.
All run in turn, and medians are compared. Goals: 2.5 times the loop's sequences per second, and a largest difference of at
most 1e-5.
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
    parser.add_argument("--batch-elements", type=int, default=4_096, help="residues per batch of ours")
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
    methods = {
        "taskgraft, batches by residues": lambda: ours(backbone, sequences, 256, options.batch_elements),
        "taskgraft, batches of 32": lambda: ours(backbone, sequences, 32, None),
        LOOP: lambda: loop(backbone.model, sequences, ESM.table),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    features = {}
    for _ in range(options.repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            features[name] = method()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{len(sequences):,} sequences, {sum(map(len, sequences)):,} residues; goal: {RATIO} times the loop's speed")
    for name, median in medians.items():
        difference = float(np.abs(features[name] - features[LOOP]).max())
        print(
            f"{name:32} {median:6.1f} s {len(sequences) / median:6.1f} per second, "
            f"{medians[LOOP] / median:.2f} times the loop's; largest difference {difference:.1e} (goal: {DIFFERENCE})"
        )


def ours(backbone: ProteinBackbone, sequences: list[str], size: int, residues: int | None) -> np.ndarray:
    return tg.extract_features(
        backbone, {"sequence": sequences}, batch_size=size, batch_elements=residues, quiet=True
    ).values


@torch.no_grad()
def loop(model: torch.nn.Module, sequences: list[str], table: np.ndarray) -> np.ndarray:
    """Compute the mean over residues, batch by batch in the given order."""
    features = []
    for start in range(0, len(sequences), 32):
        batch = sequences[start : start + 32]
        longest = max(map(len, batch)) + 2
        ids = torch.full((len(batch), longest), ESM.padding)
        for row, text in enumerate(batch):
            residues = table[np.frombuffer(text.encode(), np.uint8)]
            ids[row, : len(text) + 2] = torch.tensor([*ESM.before, *residues.tolist(), *ESM.after])
        mask = (ids != ESM.padding).long()
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        features += [hidden[row, 1 : len(text) + 1].mean(0) for row, text in enumerate(batch)]
    return torch.stack(features).numpy()


if __name__ == "__main__":
    main()
