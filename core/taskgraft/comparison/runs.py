"""The runs of a comparison, one after another, each in a process of its own."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from taskgraft.comparison.results import Candidate, RunResult
from taskgraft.comparison.worker import BASE, RECORD, RUN, BaseRecord, RunRecord, RunRequest, clear_run
from taskgraft.composition.compose import combine
from taskgraft.composition.resolve import ResolvedComponent, resolve
from taskgraft.contract.specs import BackboneSpec, HeadSpec, StrategySpec
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, error_reason, join_words
from taskgraft.import_path import child_environment
from taskgraft.preparation.identity import BASE_KEY, VERSIONS_KEY, composition_versions
from taskgraft.processes.parent import signal_name
from taskgraft.progress import ProgressReporter
from taskgraft.recipe import Recipe
from taskgraft.storage.atomic_write import make_folder
from taskgraft.storage.documents import read_document
from taskgraft.storage.run_directory import RUN as IDENTITY
from taskgraft.storage.run_directory import RunDirectory, identity_changes, read_identity

RUNS, SHARED_CACHE = "runs", "shelf"
"""Folders in that of a comparison."""


class CompareError(TaskgraftError):
    """A comparison that cannot be made."""


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
        problems = {setup.digest: _mismatch(self.recipe, setup) for setup in setups}
        every = [(one, seed) for one in setups for seed in range(first, first + seeds) if not problems[one.digest]]
        finished = [(setup, seed) for setup, seed in every if self._finished(setup, seed) is not None]
        if every and len(finished) == len(every):
            self.reporter.message("All runs of this comparison are finished.")
        else:
            self._drop_changed(finished)
        for index, setup in enumerate(setups):
            results: dict[int, RunResult] = {}
            problem = problems[setup.digest]
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
        folder = self._place(setup, seed)
        if (record := self._finished(setup, seed)) is not None:
            self._note(setup, seed, record)
            clear_run(folder)
            return record
        make_folder(folder)
        self._request(setup, seed).write(folder)
        crash = _run_worker(folder, RECORD)
        record = read_document(folder / RECORD, RunRecord) if crash is None else RunRecord(problem=crash, final=False)
        assert record is not None
        self._note(setup, seed, record)
        return record

    def _note(self, setup: CandidateSetup, seed: int, record: RunRecord) -> None:
        facts = {"strategy": setup.strategy_label, "backbone": setup.backbone_label, "seed": seed}
        self.directory.append_metrics(facts | {"problem": record.problem})

    def _place(self, setup: CandidateSetup, seed: int) -> Path:
        backbone = setup.backbone_label.rpartition("/")[2]
        name = re.sub(r"[^a-z0-9]+", "-", f"{setup.strategy_label}-{backbone}".lower())[:60].strip("-")
        return self.folder / RUNS / f"{name}-seed-{seed}-{setup.digest[:8]}"

    def _request(self, setup: CandidateSetup, seed: int) -> RunRequest:
        training = self.recipe.training.model_copy(update={"seed": seed})
        components = {"backbone": setup.backbone.to_ref(), "strategy": setup.strategy.to_ref()}
        recipe = self.recipe.model_copy(update=components | {"training": training})
        shared_cache = str(self.folder / SHARED_CACHE)
        first, test, quiet = self.recipe.training.seed, self.test, self.quiet
        return RunRequest(recipe=recipe, seed=first, test=test, shared_cache=shared_cache, quiet=quiet)

    def _finished(self, setup: CandidateSetup, seed: int) -> RunRecord | None:
        """Return the record of a run that need not be repeated, if there is one.

        One that failed before it was trained, perhaps for its base, is repeated: that takes little time.
        """
        folder = self._place(setup, seed)
        try:
            record = read_document(folder / RECORD, RunRecord)
        except ValueError as error:
            self.reporter.message(f"{folder / RECORD} is damaged ({error}), so this run is repeated.")
            shutil.rmtree(folder)
            return None
        trained = (folder / RUN / IDENTITY).is_file()
        return record if record is not None and record.final and trained else None

    def _drop_changed(self, finished: Sequence[tuple[CandidateSetup, int]]) -> None:
        """Delete finished runs whose base, or whose versions of packages, changed since: no figures of both in one table.

        Raises:
            CompareError: when a base cannot be read any more.
        """
        bases: dict[str, str | None] = {}
        for setup, seed in finished:
            name, folder = setup.backbone.to_ref().model_dump_json(), self._place(setup, seed)
            if name not in bases:
                bases[name] = self._base(setup)
            head = resolve(catalog(), HeadSpec, self.recipe.head)
            versions = composition_versions(combine(catalog(), setup.backbone, head, setup.strategy))
            now = {BASE_KEY: bases[name], VERSIONS_KEY: versions}
            try:
                before = read_identity(folder / RUN)
                changes = identity_changes({key: before.get(key) for key in now}, now)
            except (OSError, ValueError) as error:
                changes = [f"{folder / RUN} cannot be read ({error_reason(error)})"]
            if changes:
                self.reporter.message(f"The run of {setup}, seed {seed}, is repeated: {join_words(changes)}.")
                shutil.rmtree(folder)

    def _base(self, setup: CandidateSetup) -> str | None:
        """Return the fingerprint of a base as it is now. Its weights are read in a process of its own."""
        folder = self.folder / RUNS / "base"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._request(setup, self.recipe.training.seed).write(folder)
            crash = _run_worker(folder, BASE, "base")
            record = BaseRecord(problem=crash) if crash is not None else read_document(folder / BASE, BaseRecord)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        assert record is not None
        if record.problem is not None:
            raise CompareError(
                f"Cannot compare with the finished runs on '{setup.backbone_label}': its base cannot be read. {record.problem}"
            )
        return record.base


def _mismatch(recipe: Recipe, setup: CandidateSetup) -> str | None:
    """Say why a candidate does not fit the head. That needs no process."""
    try:
        combine(catalog(), setup.backbone, resolve(catalog(), HeadSpec, recipe.head), setup.strategy)
    except TaskgraftError as error:
        return str(error)
    return None


def _run_worker(folder: Path, output: str, *arguments: str) -> str | None:
    """Run the worker with the import path of this process, which it never outlives. Return how it crashed, if it did.

    Args:
        output: the file that it writes in the folder; an earlier one is deleted.
    """
    (folder / output).unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", "taskgraft.comparison.worker", str(folder), *arguments]
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
        name = signal_name(code)
        why = ", as happens when memory runs out" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{why}."
    return f"its process ended with code {code}."
