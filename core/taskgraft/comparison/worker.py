"""The worker process of one run of a comparison: ``python -m taskgraft.comparison.worker FOLDER``.

It reads ``job.json`` in the folder and writes ``record.json``, complete or not at all. In a process of its own peak memory is
that of the run, and if the process is killed for lack of memory, the comparison continues.
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

from taskgraft.comparison.results import RunResult, Score
from taskgraft.composition.plugin_errors import find_plugin_failure
from taskgraft.contract.config import parse_config
from taskgraft.contract.labels import to_json_label
from taskgraft.contract.recipe import Recipe
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.memory import NotEnoughMemory, peak_memory
from taskgraft.errors import TaskgraftError
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.model.compose import compose
from taskgraft.reading.cell_formats import verbatim_columns
from taskgraft.reading.splitting import read_train_and_validation
from taskgraft.storage.atomic_write import atomic_file
from taskgraft.storage.run_directory import STATE
from taskgraft.training.shared_cache import SharedCache

RECORD = "record.json"
_JOB, _RUN, _TRACEBACK, _ARTIFACT = "job.json", "run", "traceback.txt", "artifact"
"""In the folder of a run."""


@dataclass(frozen=True)
class RunRequest:
    """What to run.

    Attributes:
        recipe: with the seed of the run.
        seed: of the validation split, the same for all runs.
        test: the path of the rows to evaluate on; None for the validation rows.
        shared_cache: the folder of the cache that runs share.
    """

    recipe: Recipe
    seed: int
    test: str | None
    shared_cache: str
    quiet: bool

    def write(self, folder: Path) -> None:
        document = {**vars(self), "recipe": self.recipe.model_dump(mode="json")}
        document["shelf"] = document.pop("shared_cache")
        (folder / _JOB).write_text(json.dumps(document, indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        document = json.loads((folder / _JOB).read_text("utf-8"))
        recipe = parse_config(Recipe, document.pop("recipe"), _JOB)
        return cls(recipe, shared_cache=document.pop("shelf"), **document)


@dataclass(frozen=True)
class RunRecord:
    """How a run ended.

    Attributes:
        result: None if it failed.
        rows: the number of evaluated rows; 0 if it failed.
        final: whether it would end the same way again, so that there is no point in another try.
    """

    result: RunResult | None
    rows: int = 0
    problem: str | None = None
    final: bool = True

    def write(self, folder: Path) -> None:
        result = None if self.result is None else asdict(self.result)
        document = {"trial": result, "rows": self.rows, "problem": self.problem, "lasts": self.final}
        with atomic_file(folder / RECORD, "record") as path:
            path.write_text(json.dumps(document, indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read it from the folder of the run; None if the run has not ended."""
        try:
            document = json.loads((folder / RECORD).read_text("utf-8"))
        except FileNotFoundError:
            return None
        result = None if document["trial"] is None else RunResult.from_json(document["trial"])
        return cls(result, document["rows"], document["problem"], document["lasts"])


def execute(folder: Path) -> None:
    """Execute a run and record how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the parent handles it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.formatwarning = lambda message, *rest: f"Warning: {message}\n"
    try:
        record = run(folder, RunRequest.read(folder))
    except TaskgraftError as error:
        record = RunRecord(None, problem=str(error), final=not isinstance(error, NotEnoughMemory))
    except Exception as error:
        path = folder / _TRACEBACK
        path.write_text(traceback.format_exc(), "utf-8")
        failure, reason = find_plugin_failure(error), f"{type(error).__name__}: {error}"
        problem = (
            f"{reason} (a bug in taskgraft; see {path})" if failure is None else f"{failure}: {reason} (see {path})"
        )
        record = RunRecord(None, problem=problem, final=False)
    record.write(folder)
    if record.final:
        remove_checkpoint(folder)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a run whose record is final."""
    (folder / _RUN / STATE).unlink(missing_ok=True)


def run(folder: Path, request: RunRequest) -> RunRecord:
    """Fit, or resume an interrupted fit; evaluate, and measure the costs. Checkpoints are in the folder.

    Raises:
        TaskgraftError: if the run fails.
    """
    recipe, data = request.recipe, request.recipe.data
    model = compose(recipe.backbone, recipe.head, recipe.strategy)
    backbone, kind = model.composition.backbone_description, model.composition.head_description.target
    verbatim = verbatim_columns(data, backbone, kind)
    rows, validation = read_train_and_validation(data.train, data.validation, data, request.seed, catalog(), verbatim)
    model.shared_cache = shared_cache = SharedCache(Path(request.shared_cache))
    interrupted = (folder / _RUN / STATE).is_file()
    report = model.fit_recipe(
        recipe, train=rows, validation=validation, run=folder / _RUN, resume=True, quiet=request.quiet
    )
    memory = max(peak_memory(), shared_cache.memory)
    device_memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    evaluation = report.metrics if request.test is None else model.evaluate(request.test, quiet=request.quiet)
    if not isinstance(evaluation, Evaluation):  # raises the reason why the validation rows were not evaluated
        evaluation = model.evaluate(validation, quiet=request.quiet)
    assert model.fitted is not None
    trained = [tensor for name, tensor in model.fitted.tensors().items() if name in model.fitted.trained]
    artifact = model.save(folder / _ARTIFACT, overwrite=True)
    result = RunResult(
        metrics={name: Score(value, *evaluation.intervals.get(name, ())) for name, value in evaluation.items()},
        seconds=report.seconds + shared_cache.seconds,
        shared_seconds=shared_cache.seconds,
        peak_memory=memory,
        peak_device_memory=device_memory,
        trained=sum(tensor.numel() for tensor in trained if isinstance(tensor, nn.Parameter)),
        artifact=sum(file.stat().st_size for file in artifact.iterdir()),
        interrupted=interrupted,
        positive={name: to_json_label(label) for name, label in evaluation.positive.items()},
        chosen=dict(report.chosen),
    )
    shutil.rmtree(artifact)
    return RunRecord(result, evaluation.rows)


def _end_with_parent() -> None:
    """End this process when its parent is gone, so that two processes never work on one run."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    execute(Path(sys.argv[1]))
