"""Rows of a table per second: training by taskgraft and by a hand-written loop, and data loading only.

    python tests/benchmarks/tables.py

80,000 rows of 15 random numbers. The loop is that of PyTorch's tutorials: a DataLoader over a TensorDataset, AdamW,
cross-entropy, with the same libraries' models, batch sizes and learning rates as ours. It runs unchanged, and also with a
fused optimizer and 2 loader workers, its fastest documented settings. Ours includes the weight guard and logging. Seconds are
of one epoch (those of two minus those of one), the methods take turns, and medians are compared. Goals: 1.0 times the loop's
rows per second for ft-transformer and 0.95 for mlp-plr with batches of 256, 1.1 for a multilayer perceptron with batches of
1,024; for data loading only, 5 times with batches of 256 and 20 times with 1,024.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import material  # noqa: F401, disables network access
import numpy as np
import torch
from rtdl_num_embeddings import PeriodicEmbeddings
from rtdl_revisiting_models import MLP, FTTransformer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import taskgraft as tg
from taskgraft.data.batching import BatchBudget, training_batches
from taskgraft.data.examples import EncodedDataset, EpochSeed, iter_training_batches
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.plugin import BackboneDescription, Part, vector
from taskgraft_fraud.backbone import TableBackbone, TableModel
from taskgraft_fraud.columns import fit_config
from taskgraft_fraud.settings import TableConfig

COLUMNS, RATE, DECAY = 15, 1e-3, 1e-2
GOALS = {"ft-transformer, 256": 1.0, "mlp-plr, 256": 0.95, "MLP, 1,024": 1.1}
LOADING_GOALS = {256: 5.0, 1_024: 20.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=80_000)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(options.rows, COLUMNS)).astype(np.float32)
    labels = (numbers[:, 0] + generator.normal(size=options.rows) > 2).astype(np.int64)
    measure_loading(numbers, labels, options.repeats)
    tenth = slice(0, options.rows // 10)  # a Transformer is slower
    measure_training(
        "ft-transformer, 256", numbers[tenth], labels[tenth], 256, "ft-transformer", transformer, options.repeats
    )
    measure_training("mlp-plr, 256", numbers, labels, 256, "mlp-plr", periodic, options.repeats)
    measure_training("MLP, 1,024", numbers, labels, 1_024, plain_backbone, perceptron, options.repeats)


def measure_training(name, numbers, labels, batch, backbone, model: Callable[[], nn.Module], repeats: int) -> None:
    """Print the rows per second of ours and of the loops."""
    table = {f"x{column}": numbers[:, column] for column in range(COLUMNS)} | {"label": labels}
    methods = {
        "taskgraft": lambda: ours(table, batch, backbone),
        "loop": lambda: loop(model(), numbers, labels, batch, fast=False),
        "loop, fused, 2 workers": lambda: loop(model(), numbers, labels, batch, fast=True),
    }
    seconds = medians(methods, repeats)
    for method, median in seconds.items():
        print(
            f"{name:20} {method:24} {len(labels) / median:12,.0f} rows per second   {median / seconds['taskgraft']:.2f}"
        )
    ratio = seconds["loop"] / seconds["taskgraft"]
    print(f"goal: {GOALS[name]}; {'reached' if ratio >= GOALS[name] else 'MISSED'} ({ratio:.2f})", flush=True)


def ours(table, batch: int, backbone) -> float:
    """Measure the seconds of one epoch: those of two minus those of one."""
    seconds = []
    for epochs in (1, 2):
        base = backbone if isinstance(backbone, str) else backbone(table)
        model = tg.compose(base, "classification", {"name": "full", "learning_rate": RATE, "head_learning_rate": RATE})
        run = model.fit(table, target="label", training={"epochs": epochs, "batch_size": batch}, quiet=True)
        seconds.append(run.stages[0].seconds)
    return seconds[1] - seconds[0]


def loop(model: nn.Module, numbers, labels, batch: int, *, fast: bool) -> float:
    """Measure the seconds of the second epoch of a plain loop."""
    data = TensorDataset(torch.from_numpy(numbers), torch.from_numpy(labels))
    loader = DataLoader(data, batch_size=batch, shuffle=True, num_workers=2 if fast else 0, persistent_workers=fast)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=fast)
    model.train()
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        for rows, targets in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(rows), targets).backward()
            optimizer.step()
        seconds = time.perf_counter() - start
    return seconds


def measure_loading(numbers, labels, repeats: int) -> None:
    """Print the rows per second of data loading only."""
    with tempfile.TemporaryDirectory() as folder:
        cache = TensorCache(Path(folder))
        for start in range(0, len(numbers), 1_024):
            chunk = slice(start, start + 1_024)
            cache.append(range(len(numbers))[chunk], tg.Batch({"numbers": torch.from_numpy(numbers[chunk])}))
        examples = EncodedDataset(cache.finish(), tg.Batch({"label": torch.from_numpy(labels)}))
        data = TensorDataset(torch.from_numpy(numbers), torch.from_numpy(labels))
        for batch, goal in LOADING_GOALS.items():
            loader = partial(DataLoader, data, batch_size=batch, shuffle=True)
            seconds = medians(
                {
                    "taskgraft": partial(iterate, partial(shuffled_batches, examples, batch)),
                    "DataLoader": partial(iterate, loader),
                    "DataLoader, 2 workers": partial(iterate, partial(loader, num_workers=2)),
                },
                repeats,
            )
            for method, median in seconds.items():
                rate, ratio = len(labels) / median, median / seconds["taskgraft"]
                print(f"loading, {batch:<11,} {method:24} {rate:12,.0f} rows per second   {ratio:.2f}")
            ratio = seconds["DataLoader"] / seconds["taskgraft"]
            print(f"goal: {goal}; {'reached' if ratio >= goal else 'MISSED'} ({ratio:.1f})", flush=True)


def shuffled_batches(examples: EncodedDataset, batch: int) -> Iterable[object]:
    """Yield our shuffled batches of one epoch."""
    yield from iter_training_batches(
        examples, training_batches(examples.inputs.sizes(), BatchBudget(batch), 0, 0), EpochSeed(0, 0)
    )


def iterate(make_batches: Callable[[], Iterable[object]]) -> float:
    """Measure the seconds of making batches and iterating over them."""
    start = time.perf_counter()
    for _ in make_batches():
        pass
    return time.perf_counter() - start


def medians(methods: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Let methods take turns; the first round includes lazy imports and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(repeats + 1):
        for name, method in methods.items():
            measured = method()
            if turn:
                seconds[name].append(measured)
    return {name: statistics.median(values) for name, values in seconds.items()}


# --- models with the defaults of our backbones


def transformer() -> nn.Module:
    class Numbers(nn.Module):
        def __init__(self):
            super().__init__()
            defaults = FTTransformer.get_default_kwargs(n_blocks=3)
            self.model = FTTransformer(n_cont_features=COLUMNS, cat_cardinalities=[], d_out=2, **defaults)

        def forward(self, rows: Tensor) -> Tensor:
            return self.model(rows, None)

    return Numbers()


def periodic() -> nn.Module:
    embeddings = PeriodicEmbeddings(COLUMNS, 24, n_frequencies=48, frequency_init_scale=0.1, lite=False)
    return nn.Sequential(
        embeddings, nn.Flatten(), MLP(d_in=COLUMNS * 24, d_out=2, n_blocks=3, d_block=256, dropout=0.1)
    )


def perceptron() -> nn.Module:
    return MLP(d_in=COLUMNS, d_out=2, n_blocks=3, d_block=256, dropout=0.1)


class Plain(TableModel):
    """A multilayer perceptron on scaled numbers."""

    def __init__(self):
        super().__init__()
        self.mlp = MLP(d_in=COLUMNS, d_out=None, n_blocks=3, d_block=256, dropout=0.1)

    def embed(self, numbers: Tensor, categories: None) -> Tensor:
        return numbers

    def run_block(self, block: int, hidden: Tensor, layout) -> Tensor:
        return self.mlp.blocks[block](hidden)

    def to_features(self, hidden: Tensor, layout) -> Tensor:
        return hidden


def plain_backbone(table) -> TableBackbone:
    config = fit_config(TableConfig(scaling="none"), {name: table[name] for name in table if name != "label"})
    parts = tuple(Part(f"blocks.{block}", (f"model.mlp.blocks.{block}",), vector(256)) for block in range(3))
    return TableBackbone(Plain(), BackboneDescription((), (vector(256),), parts), config)


if __name__ == "__main__":
    main()
