"""The worker process of one run of a comparison: ``python -m taskgraft.comparison.worker FOLDER``.

It reads ``job.json`` in the folder and writes ``record.json``, complete or not at all. In a process of its own peak memory is
that of the run, and if the process is killed for lack of memory, the comparison continues. With ``base`` as second argument it
only writes ``base.json``: the fingerprint of the backbone's base as it is now.
"""

import os
import shutil
import signal
import sys
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ConfigDict, Field
from torch import nn

from taskgraft.adaptation.base_weights import build_backbone
from taskgraft.comparison.results import RunResult, Score
from taskgraft.composition.plugin_errors import find_plugin_failure
from taskgraft.composition.resolve import ResolvedComponent
from taskgraft.contract.config import Config
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.memory import peak_memory
from taskgraft.engine.random_state import seed_generators
from taskgraft.engine.shared_cache import SharedCache
from taskgraft.errors import MachineError, TaskgraftError, join_words, message_text
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.labels import to_json_label
from taskgraft.model.compose import compose
from taskgraft.model.fit import read_fit_data
from taskgraft.processes.parent import end_with_parent
from taskgraft.progress import ProgressReporter
from taskgraft.reading.cell_formats import verbatim_columns
from taskgraft.reading.splitting import read_train_and_validation
from taskgraft.recipe import Recipe
from taskgraft.storage.atomic_write import remove_leftovers_in
from taskgraft.storage.documents import read_document, write_document
from taskgraft.storage.finished_run import STATE
from taskgraft.storage.run_directory import DamagedRun, ResumeMismatch
from taskgraft.terminal import prepare_output

RECORD, RUN, BASE = "record.json", "run", "base.json"
_JOB, _TRACEBACK, _ARTIFACT = "job.json", "traceback.txt", "artifact"
"""In the folder of a run."""


class RunRequest(Config):
    """What to run.

    Attributes:
        recipe: with the seed of the run.
        seed: of the validation split, the same for all runs.
        test: the path of the rows to evaluate on; None for the validation rows.
        shared_cache: the folder of the cache that runs share.
    """

    model_config = ConfigDict(validate_by_name=True)

    recipe: Recipe
    seed: int
    test: str | None
    shared_cache: str = Field(validation_alias="shelf", serialization_alias="shelf")
    quiet: bool

    def write(self, folder: Path) -> None:
        """Write it into the folder of the run. Raises OutputError."""
        write_document(folder / _JOB, self, "run of a comparison")


class RunRecord(Config):
    """How a run ended.

    Attributes:
        result: None if it failed.
        rows: the number of evaluated rows; 0 if it failed.
        final: whether it would end the same way again, so that there is no point in another try.
    """

    model_config = ConfigDict(validate_by_name=True)

    result: RunResult | None = Field(default=None, validation_alias="trial", serialization_alias="trial")
    rows: int = 0
    problem: str | None = None
    final: bool = Field(default=True, validation_alias="lasts", serialization_alias="lasts")


class BaseRecord(Config):
    """The fingerprint of a base; None for random weights, or with the ``problem`` why there is none."""

    base: str | None = None
    problem: str | None = None


class _InvalidRequest(MachineError):
    """A request that is damaged."""


def execute(folder: Path, *, only_base: bool) -> None:
    """Execute a run and record how it ended, or only identify the base of its backbone."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # both processes get them; the parent handles them, and ends this one
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent(lambda: os.read(sys.stdin.fileno(), 1))  # so that two processes never work on one run
    prepare_output()
    warnings.formatwarning = lambda message, *rest: f"Warning: {message_text(str(message))}\n"
    try:
        request = _read_request(folder)
        if only_base:
            write_document(folder / BASE, BaseRecord(base=_base(request)), "fingerprint of a base")
            return
        record = run(folder, request)
    except TaskgraftError as error:
        record = RunRecord(problem=str(error), final=not isinstance(error, MachineError))
    except Exception as error:
        path = folder / _TRACEBACK
        path.write_text(traceback.format_exc(), "utf-8")
        failure, reason = find_plugin_failure(error), f"{type(error).__name__}: {error}"
        problem = (
            f"{reason} (a bug in taskgraft; see {path})" if failure is None else f"{failure}: {reason} (see {path})"
        )
        record = RunRecord(problem=problem, final=False)
    if only_base:
        write_document(folder / BASE, BaseRecord(problem=record.problem), "fingerprint of a base")
        return
    write_document(folder / RECORD, record, "record")
    if record.final:
        clear_run(folder)


def clear_run(folder: Path) -> None:
    """Remove the checkpoint of a run whose record is final, and what killed processes left of it."""
    shutil.rmtree(folder / _ARTIFACT, ignore_errors=True)
    for place in (folder, folder / RUN):
        remove_leftovers_in(place)
    (folder / RUN / STATE).unlink(missing_ok=True)


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
    interrupted, place, quiet = (folder / RUN / STATE).is_file(), folder / RUN, request.quiet
    try:
        report = model.fit_recipe(recipe, train=rows, validation=validation, run=place, resume=True, quiet=quiet)
    except (ResumeMismatch, DamagedRun) as error:
        why = join_words(error.changed) if isinstance(error, ResumeMismatch) else error.problem
        ProgressReporter(quiet=quiet).message(f"This run was interrupted, and starts again: {why}.")
        interrupted = False
        report = model.fit_recipe(recipe, train=rows, validation=validation, run=place, quiet=quiet)
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
    return RunRecord(result=result, rows=evaluation.rows)


def _base(request: RunRequest) -> str | None:
    """Build the backbone of a run as a fit would, and return the fingerprint of its base."""
    composition = compose(request.recipe.backbone, request.recipe.head, request.recipe.strategy).composition
    chosen = composition.backbone
    if isinstance(chosen, ResolvedComponent) and chosen.spec.fit_config is not None:
        recipe, rows, _ = read_fit_data(composition, request.recipe, None, None)
        chosen = replace(chosen, config=chosen.spec.fit_config(chosen.config, rows.lazy_columns(recipe.data.columns)))
    seed_generators(request.recipe.training.seed)
    return build_backbone(chosen)[1]


def _read_request(folder: Path) -> RunRequest:
    try:
        request = read_document(folder / _JOB, RunRequest)
    except ValueError as error:
        raise _InvalidRequest(f"{folder / _JOB} cannot be used: {error}. Resume the comparison.") from None
    if request is None:
        raise _InvalidRequest(f"There is no {folder / _JOB}. Resume the comparison.")
    return request


if __name__ == "__main__":
    execute(Path(sys.argv[1]), only_base=sys.argv[2:] == ["base"])
