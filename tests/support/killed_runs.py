"""Trains a model many times, kills it after a random step, resumes it, and writes the weights of each run.

Started as a process of its own, it trains once, to load all libraries, and forks a process for each run.
"""

import os
import random
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import torch
from safetensors.torch import save_file
from small_tasks import Planned, classification, images, pictures, sentences, training_stage, weights, words
from torch import nn

import taskgraft as tg
from taskgraft.builtin.strategies.average import MakeAverage
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import HeadSolver, Insertion, Stage

EPOCHS, STEPS = 3, 9  # of each stage of descent: 24 rows in batches of 8
SETTINGS = ({"checkpoint_every": 1}, {"checkpoint_every": 2, "micro_batch": 3}, {}, {"checkpoint_every": 4})


class Bottleneck(nn.Module):
    """A layer with a parallel low-rank path, whose second matrix starts at zero."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.wrapped = layer
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, value):
        return self.wrapped(value) + self.up(self.down(value))


def run(folder: Path, setting: int, kill_after: int | None) -> None:
    """Fit two stages with dropout and early stopping; kill this process after a step, counted over both."""
    done = 0

    def on_step_end(backbone: nn.Module, step: int) -> None:
        nonlocal done
        done += 1
        if kill_after is not None and done == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    insertion = Insertion("low-rank", ("block-0",), frozenset({LayerRole.QUERY}), Bottleneck, 1e-2)
    stages = (
        Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True),
        training_stage(
            "block-1",
            rate=1e-3,
            epochs=EPOCHS,
            name="last",
            cache_features=True,
            on_step_end=on_step_end,
            callbacks=(MakeAverage("ema", decay=0.9, start=0.0, every=None),),
        ),
        training_stage(
            "block-0",
            rate=1e-3,
            epochs=EPOCHS,
            patience=2,
            insertions=(insertion,),
            on_step_end=on_step_end,
            name="first",
            callbacks=(MakeAverage("swa", decay=0.0, start=0.2, every=None),),
        ),
    )
    model = tg.compose(words(dropout=0.2), classification(), Planned(*stages))
    training = {"batch_size": 8, "warmup": 0.3} | SETTINGS[setting]
    report = model.fit(
        sentences(24),
        validation=sentences(10, seed=1),
        target="label",
        training=training,
        run=folder / "run",
        resume=True,
        quiet=True,
    )
    found = weights(model) | {"losses": torch.tensor([loss for stage in report.stages for loss in stage.losses])}
    save_file(found, folder / "weights.safetensors")


def norms(folder: Path, setting: int, kill_after: int | None) -> None:
    """Fit a network whose BatchNorm statistics are updated."""
    done = 0

    def on_step_end(backbone: nn.Module, step: int) -> None:
        nonlocal done
        done += 1
        if kill_after is not None and done == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    backbone = pictures()
    every = tuple(part.name for part in backbone.description.parts)
    model = tg.compose(
        backbone, classification(), Planned(training_stage(*every, rate=1e-3, epochs=6, on_step_end=on_step_end))
    )
    training = {"batch_size": 8, "checkpoint_every": 2}
    model.fit(images(24), target="label", training=training, run=folder / "run", resume=True, quiet=True)
    save_file(weights(model), folder / "weights.safetensors")


def forked(work, *arguments) -> int:
    """Run a function in a process of its own; return the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(place: Path, trials: int) -> None:
    torch.set_num_threads(1)  # threads would not survive a fork
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), 0, None)
    chance = random.Random(0)
    for number, work in enumerate((run, norms)):
        for setting in range(len(SETTINGS) if work is run else 1):
            folder = place / f"{work.__name__}-{setting}-whole"
            folder.mkdir()
            assert forked(work, folder, setting, None) == 0
        for trial in range(trials - 5 if number == 0 else 5):
            setting = trial % len(SETTINGS) if work is run else 0
            folder = place / f"{work.__name__}-{setting}-{trial}"
            folder.mkdir()
            steps = 2 * STEPS - 3 if work is run else 18  # patience may end the last stage an epoch early
            assert forked(work, folder, setting, chance.randint(1, steps)) == -signal.SIGKILL
            assert not (folder / "weights.safetensors").exists()
            assert forked(work, folder, setting, None) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
