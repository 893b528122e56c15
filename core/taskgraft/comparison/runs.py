"""The runs of a comparison, one after another, each in a process of its own."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from taskgraft.comparison.results import Candidate, RunResult
from taskgraft.comparison.worker import RECORD, RunRecord, RunRequest, remove_checkpoint
from taskgraft.composition.compose import combine
from taskgraft.composition.resolve import ResolvedComponent, resolve
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.specs import BackboneSpec, HeadSpec, StrategySpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError
from taskgraft.import_path import child_environment
from taskgraft.progress import ProgressReporter
from taskgraft.storage.run_directory import RunDirectory

RUNS, SHARED_CACHE = "runs", "shelf"
"""Folders in that of a comparison."""


@dataclass(frozen=True)
class CandidateSetup:
    """A backbone and a strategy to compare, with their labels in the table."""

    backbone: ResolvedComponent[BackboneSpec]
    strategy: ResolvedComponent[StrategySpec]
    backbone_label: str
    strategy_label: str

    @cached_property
    def digest(self) -> str:
        """The SHA-256, in hexadecimal, of both with all settings."""
        entries = [one.to_ref().model_dump(mode="json") for one in (self.backbone, self.strategy)]
        return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        return f"'{self.strategy_label}' on '{self.backbone_label}'"


@dataclass(frozen=True)
class Runs:
    """Executes the runs of a comparison. ``test`` is the path of the rows to evaluate on; None for the validation rows."""

    folder: Path
    recipe: Recipe
    test: str | None
    reporter: ProgressReporter
    directory: RunDirectory
    quiet: bool

    def execute(self, setups: Sequence[CandidateSetup], seeds: int) -> tuple[list[Candidate], int]:
        """Run each candidate with each seed. Return the candidates and the number of evaluated rows."""
        first, candidates, rows = self.recipe.training.seed, [], 0
        for index, setup in enumerate(setups):
            results: dict[int, RunResult] = {}
            problem = _mismatch(self.recipe, setup)
            for seed in range(first, first + seeds) if problem is None else ():
                progress = f"{index * seeds + seed - first + 1} of {len(setups) * seeds}"
                self.reporter.message(f"{progress}: {setup.strategy_label} on {setup.backbone_label}, seed {seed}")
                record = self._run(setup, seed)
                rows = max(rows, record.rows)
                if record.result is not None:
                    results[seed] = record.result
                elif problem is None:
                    problem = record.problem if seeds == 1 else f"seed {seed}: {record.problem}"
            candidates.append(Candidate(setup.backbone_label, setup.strategy_label, results, problem))
        return candidates, rows

    def _run(self, setup: CandidateSetup, seed: int) -> RunRecord:
        """Return the record of a finished run, or run it."""
        backbone = setup.backbone_label.rpartition("/")[2]
        name = re.sub(r"[^a-z0-9]+", "-", f"{setup.strategy_label}-{backbone}".lower())[:60].strip("-")
        folder = self.folder / RUNS / f"{name}-seed-{seed}-{setup.digest[:8]}"
        record = RunRecord.read(folder)
        if record is not None and record.final:
            remove_checkpoint(folder)
            return record
        folder.mkdir(parents=True, exist_ok=True)
        training = self.recipe.training.model_copy(update={"seed": seed})
        components = {"backbone": setup.backbone.to_ref(), "strategy": setup.strategy.to_ref()}
        recipe = self.recipe.model_copy(update=components | {"training": training})
        shared_cache = str(self.folder / SHARED_CACHE)
        RunRequest(recipe, self.recipe.training.seed, self.test, shared_cache, self.quiet).write(folder)
        crash = _run_worker(folder)
        record = RunRecord.read(folder) if crash is None else RunRecord(None, problem=crash, final=False)
        assert record is not None
        facts = {"strategy": setup.strategy_label, "backbone": setup.backbone_label, "seed": seed}
        self.directory.append_metrics(facts | {"problem": record.problem})
        return record


def _mismatch(recipe: Recipe, setup: CandidateSetup) -> str | None:
    """Say why a candidate does not fit the head. That needs no process."""
    try:
        combine(catalog(), setup.backbone, resolve(catalog(), HeadSpec, recipe.head), setup.strategy)
    except TaskgraftError as error:
        return str(error)
    return None


def _run_worker(folder: Path) -> str | None:
    """Run the worker with the import path of this process, which it never outlives. Return how it crashed, if it did."""
    (folder / RECORD).unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", "taskgraft.comparison.worker", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, env=child_environment())
    assert process.stdin is not None
    try:
        code = process.wait()
    finally:
        process.stdin.close()  # ends it
        process.wait()
    if code == 0:
        return None
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (", as happens when memory runs out." if name == "SIGKILL" else ".")
    return f"its process ended with code {code}."
