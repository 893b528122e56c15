"""Flips single bits of run states and cached features, and looks whether that is detected before it changes weights."""

import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from attacks import Tally
from small_tasks import Planned, classification, sentences, training_stage, words
from torch import nn

import taskgraft as tg
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import HeadSolver, Insertion, Stage
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.shared_cache import COST_FILE, SharedCache
from taskgraft.errors import TaskgraftError
from taskgraft.storage.run_directory import RunDirectory, read_identity
from taskgraft.training.checkpoint import TrainingCheckpoint

STAGES = 3
RUN_FILES = ("state.safetensors", "run.json", "metrics.jsonl")


class Stop(Exception):
    """Interrupts a fit."""


class Wrapped(nn.Module):
    """A layer with a second one beside it."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.wrapped, self.beside = layer, nn.Linear(layer.in_features, layer.out_features)
        nn.init.zeros_(self.beside.weight)

    def forward(self, value):
        return self.wrapped(value) + self.beside(value)


def stages(stop: tuple[str, int] | None = None) -> tuple[Stage, ...]:
    """A solved stage, one with early stopping, and one with inserted modules; a fit stops after a step of one of them."""

    def interrupt(name: str) -> Callable[[nn.Module, int], None]:
        def on_step_end(backbone: nn.Module, step: int) -> None:
            if stop == (name, step):
                raise Stop

        return on_step_end

    insertion = Insertion("beside", ("block-0",), frozenset({LayerRole.QUERY}), Wrapped, 1e-2)
    early = {"epochs": 3, "patience": 2, "cache_features": True}
    return (
        Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True),
        training_stage("block-1", rate=1e-3, name="last", on_step_end=interrupt("last"), **early),
        training_stage(
            "block-0", rate=1e-3, name="first", insertions=(insertion,), on_step_end=interrupt("first"), epochs=2
        ),
    )


def fit(run: Path | None, stop: tuple[str, int] | None = None, shared: SharedCache | None = None) -> tg.TaskModel:
    """Fit a small model with checkpoints after every second step; resume the run that is there."""
    model = tg.compose(words(dropout=0.1), classification(), Planned(*stages(stop)))
    model.shared_cache = shared
    training = {"batch_size": 8, "checkpoint_every": 2}
    data = {"validation": sentences(8, seed=1), "target": "label"}
    model.fit(sentences(), **data, training=training, run=run, resume=run is not None, quiet=True)
    return model


def interrupted(run: Path, stop: tuple[str, int]) -> None:
    """Leave a run that was interrupted after a step of a stage."""
    try:
        fit(run, stop)
    except Stop:
        return
    raise AssertionError("the fit was not interrupted")


def flipped(chance: random.Random, files: dict[Path, bytes]) -> tuple[str, Path, bytes]:
    """Flip one bit of a file; half the flips are in the first 3,000 bytes, where the headers are."""
    path = chance.choice(sorted(path for path, content in files.items() if content))
    content = bytearray(files[path])
    place = chance.randrange(len(content) if chance.random() < 0.5 else min(len(content), 3_000))
    bit = chance.randrange(8)
    content[place] ^= 1 << bit
    return f"{path.name}, bit {bit} of byte {place}", path, bytes(content)


@contextmanager
def measured(tally: Tally) -> Iterator[None]:
    """Measure one attack in this process: its seconds, and how far the peak of its memory rises."""
    start, before = time.monotonic(), _peak()
    try:
        yield
    finally:
        tally.seconds = max(tally.seconds, time.monotonic() - start)
        tally.memory = max(tally.memory, _peak() - before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def flip_states(tally: Tally, run: Path, count: int, seed: int) -> None:
    """Load a state with one bit flipped, as resuming does: refused with one of our errors, or nothing is different."""
    chance, identity = random.Random(seed), read_identity(run)
    files = {run / name: (run / name).read_bytes() for name in RUN_FILES}
    expected = _loaded(run, identity)
    for _ in range(count):
        name, path, content = flipped(chance, files)
        path.write_bytes(content)
        try:
            with measured(tally):
                held, why = _same(_loaded(run, identity), expected), "other values were loaded"
        except TaskgraftError:
            held, why = True, ""
        except Exception as error:  # the attack is held by our errors alone
            held, why = False, f"{type(error).__name__}: {error}"
        tally.count(f"{name} (seed {seed})", held, why=why)
        for place, whole in files.items():
            place.write_bytes(whole)


def _loaded(run: Path, identity: dict) -> TrainingCheckpoint:
    directory = RunDirectory(run)
    directory.open(identity, resume=True)
    try:
        checkpoint = TrainingCheckpoint.load(directory, STAGES)
    finally:
        directory.close()
    assert checkpoint is not None
    return checkpoint


def _same(one: TrainingCheckpoint, other: TrainingCheckpoint) -> bool:
    for mine, theirs in ((one.tensors, other.tensors), (one.weights, other.weights)):
        if mine.keys() != theirs.keys() or not all(_equal(mine[name], theirs[name]) for name in mine):
            return False
    values = ("finished", "steps", "seconds", "epoch_loop", "base")
    return all(getattr(one, name) == getattr(other, name) for name in values)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())


def flip_entries(tally: Tally, folder: Path, count: int, seed: int) -> None:
    """Read cached features with one bit flipped: they are computed again, with a sentence, or nothing is different."""
    chance = random.Random(seed)
    _read_entry(folder, print)
    (cost,) = folder.glob(f"*/{COST_FILE}")
    entry = cost.parent
    files = {path: path.read_bytes() for path in entry.iterdir()}
    expected = _read_entry(folder, print)
    for _ in range(count):
        name, path, content = flipped(chance, files)
        path.write_bytes(content)
        said: list[str] = []
        try:
            with measured(tally):
                found = _read_entry(folder, said.append)
            held = (found == expected) if not said else found[1:] == expected[1:] and "are damaged" in said[0]
            why = "other features were read"
        except Exception as error:  # nothing is raised: the entry can be computed again
            held, why = False, f"{type(error).__name__}: {error}"
        tally.count(f"{name} (seed {seed})", held, why=why)
        shutil.rmtree(entry)
        entry.mkdir()
        for place, whole in files.items():
            place.write_bytes(whole)


def _read_entry(folder: Path, say: Callable[[str], None]) -> tuple[bytes, ...]:
    """Read all rows of the entry, computed if need be: its cost and size, then lengths and tensors."""
    shared = SharedCache(folder)
    cache = shared.get_or_compute({"features": "random"}, _random_features, say, resumed=False)
    batch = cache.gather(range(len(cache)))
    lengths = [length.numpy().tobytes() for length in batch.lengths.values()]
    return (str((shared.seconds, shared.memory)).encode(), *lengths, *_contents(batch.tensors))


def _random_features(cache: TensorCache) -> TensorCache:
    """Fill a cache with sequences, pairs and vectors of several types, in an order of their own."""
    generator = torch.Generator().manual_seed(0)
    for rows in ([3, 0, 5], [1, 4], [2]):
        lengths = torch.randint(1, 9, (len(rows),), generator=generator)
        longest, count = int(lengths.max()), len(rows)
        tensors = {
            "hidden": torch.randn(count, longest, 6, generator=generator),
            "pairs": torch.randn(count, longest, longest, generator=generator).bfloat16(),
            "vector": torch.randint(0, 99, (count, 5), generator=generator),
        }
        axes = {"hidden": ("element",), "pairs": ("element", "element")}
        cache.append(rows, Batch(tensors, axes, {"element": lengths}))
    return cache.finish()


def _contents(tensors) -> Iterator[bytes]:
    for name, tensor in tensors.items():
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
