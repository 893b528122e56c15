"""One run of a comparison, in a process of its own: ``python -m taskgraft.comparison.worker FOLDER``.

The folder holds what is to be run (``job.json``); the run leaves its numbers there (``record.json``, written whole or not at
all). A process of its own gives peak memory that is true, and takes nothing with it when it is ended for want of memory.
"""

import json
import os
import shutil
import signal
import sys
import threading
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from torch import nn

from taskgraft.adaptation.fitted import FittedTask
from taskgraft.adaptation.trainable import TrainableTensors
from taskgraft.comparison.results import RunResult, Score
from taskgraft.contract.config import parse_config
from taskgraft.contract.recipe import Recipe
from taskgraft.data.splitting import read_train_and_validation
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.memory import NotEnoughMemory, peak_memory
from taskgraft.errors import TaskgraftError
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.model import compose
from taskgraft.storage.atomic_write import atomic_file
from taskgraft.storage.run_directory import STATE
from taskgraft.training.shared_cache import SharedCache

JOB, RECORD, RUN, TRACE, ARTIFACT = "job.json", "record.json", "run", "traceback.txt", "artifact"
"""What lies in the folder of a run."""


@dataclass(frozen=True)
class RunRequest:
    """What is to be run.

    Attributes:
        recipe: with the seed of the run.
        seed: by which rows are held out, the same for all runs.
        test: where the rows are that it is judged on; None judges on the validation rows.
        shelf: the folder of what runs share.
    """

    recipe: Recipe
    seed: int
    test: str | None
    shelf: str
    quiet: bool

    def write(self, folder: Path) -> None:
        """Leave it in the folder of the run."""
        said = {**vars(self), "recipe": self.recipe.model_dump(mode="json")}
        (folder / JOB).write_text(json.dumps(said, indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Find it there."""
        said = json.loads((folder / JOB).read_text("utf-8"))
        return cls(**said | {"recipe": parse_config(Recipe, said["recipe"], JOB)})


@dataclass(frozen=True)
class RunRecord:
    """How a run ended.

    Attributes:
        trial: None when there was a problem.
        rows: how many were judged; 0 when there was a problem.
        lasts: whether it would end so again, so that nothing is gained by trying.
    """

    trial: RunResult | None
    rows: int = 0
    problem: str | None = None
    lasts: bool = True

    def write(self, folder: Path) -> None:
        """Leave it in the folder of the run."""
        with atomic_file(folder / RECORD, "record") as path:
            path.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Find it there; None when the run has not ended."""
        try:
            said = json.loads((folder / RECORD).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return cls(**said | {"trial": None if said["trial"] is None else RunResult.of_json(said["trial"])})


def main(folder: Path) -> None:
    """Carry out a run, and leave a record of how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; it is the parent that answers it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.formatwarning = lambda message, *rest: f"Warning: {message}\n"
    try:
        record = run(folder, RunRequest.read(folder))
    except TaskgraftError as error:
        record = RunRecord(None, problem=str(error), lasts=not isinstance(error, NotEnoughMemory))
    except Exception as error:
        (folder / TRACE).write_text(traceback.format_exc(), "utf-8")
        problem = f"{type(error).__name__}: {error} (a fault of taskgraft or of a plugin; {folder / TRACE} shows where)"
        record = RunRecord(None, problem=problem, lasts=False)
    record.write(folder)
    if record.lasts:
        (folder / RUN / STATE).unlink(missing_ok=True)


def run(folder: Path, job: RunRequest) -> RunRecord:
    """Fit, judge and measure, or go on with a fit that was interrupted.

    Args:
        folder: where the state of the fit is kept.

    Raises:
        TaskgraftError: for whatever keeps it from ending well.
    """
    recipe = job.recipe
    data = recipe.data
    rows, held = read_train_and_validation(data.train, data.validation, data, job.seed, catalog())
    model = compose(recipe.backbone, recipe.head, recipe.strategy)
    model.shelf = SharedCache(Path(job.shelf))
    interrupted = (folder / RUN / STATE).is_file()
    run = model.fit(
        rows,
        validation=held,
        split=data.split,
        reader=data.reader,
        inputs=data.inputs or None,
        target=data.target,
        on_bad_row=data.on_bad_row,
        training=recipe.training,
        run=folder / RUN,
        resume=True,
        quiet=job.quiet,
    )
    assert model.fitted is not None
    places = {"train": data.train, "validation": data.validation}  # as a fit by itself would have written them down
    model.recipe = model.recipe.model_copy(update={"data": model.recipe.data.model_copy(update=places)})
    memory = max(peak_memory(), model.shelf.memory)
    device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    found = run.metrics if job.test is None else model.evaluate(job.test, quiet=job.quiet)
    if not isinstance(found, Evaluation):  # says why the validation rows could not be judged
        found = model.evaluate(held, quiet=job.quiet)
    trial = RunResult(
        metrics={name: Score(value, *found.intervals.get(name, ())) for name, value in found.items()},
        seconds=run.seconds + model.shelf.seconds,
        shared_seconds=model.shelf.seconds,
        peak_memory=memory,
        peak_device_memory=device,
        trained=_trained(model.fitted),
        artifact=_size(model.save(folder / ARTIFACT, overwrite=True)),
        interrupted=interrupted,
    )
    shutil.rmtree(folder / ARTIFACT)
    return RunRecord(trial, found.rows)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, so that nobody works on where it is started again."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _trained(fitted: FittedTask) -> int:
    """Count the numbers that learned in any stage."""
    everything = TrainableTensors(fitted.task.backbone, fitted.task.head, fitted.inserted, ()).tensors()
    learned = [tensor for name, tensor in everything.items() if name in fitted.learned]
    return sum(tensor.numel() for tensor in learned if isinstance(tensor, nn.Parameter))


def _size(artifact: Path) -> int:
    return sum(file.stat().st_size for file in artifact.iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
