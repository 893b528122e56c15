"""Comparing: several strategies on several backbones, by the same rows and seeds, each run in a process of its own.

The folder of a comparison holds which one it is (``run.json``), a folder for each run with its record, what they share
while they run, and in the end ``comparison.json`` and ``comparison.png``. What is finished is never run again.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskgraft.comparison.figure import can_draw, draw
from taskgraft.comparison.results import Candidate, Comparison, RunResult
from taskgraft.comparison.worker import RunRecord, RunRequest
from taskgraft.composition.compose import (
    ComponentReference,
    ResolvedComponent,
    as_list,
    check_recipe_consent,
    combine,
    resolve,
)
from taskgraft.contract.descriptions import HeadDescription, TargetKind
from taskgraft.contract.recipe import ComponentRef, Recipe
from taskgraft.contract.specs import BackboneSpec, HeadSpec, MetricSpec, StrategySpec
from taskgraft.data.reading import read_rows
from taskgraft.data.splitting import read_train_and_validation
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, closest_match, join_words
from taskgraft.progress import ProgressReporter
from taskgraft.recipes.files import read_recipe
from taskgraft.storage.atomic_write import atomic_file
from taskgraft.storage.run_directory import RUN, RunDirectory
from taskgraft.training.fit import run_identity

RUNS, SHELF = "runs", "shelf"
TABLE, FIGURE = "comparison.json", "comparison.png"
"""What lies in the folder of a comparison."""


def compare(
    recipe: str | Path | Recipe,
    strategies: ComponentReference | Sequence[ComponentReference] = (),
    *,
    backbones: ComponentReference | Sequence[ComponentReference] = (),
    seeds: int = 1,
    folder: str | Path,
    test: str | Path | None = None,
    metric: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Fit each strategy on each backbone, by the same rows and seeds, and judge what it reaches and what it costs.

    What stays frozen is computed once, and lies in the folder as long as the comparison runs. Rows that a split holds out are
    the same for all seeds. A run that fails is told among the others.

    Args:
        recipe: a recipe, or where one lies.
        strategies: names, or names with settings; the recipe's own when left out.
        backbones: the same.
        seeds: how many, from the recipe's own on.
        folder: for what is found, and for what a comparison that is interrupted goes on from.
        test: where the rows are that models are judged on; the validation rows when left out.
        metric: the number that they are compared by; when left out, the one that the head's metric names.
        resume: go on with the comparison in that folder, if there is one. More strategies and backbones may be named.
        overwrite: replace it.
        quiet: show no progress.

    Raises:
        CompareError: when there is nothing to compare or to judge by, something is in the way, or no run ended well.
        ResumeMismatch: when a comparison is to go on with other rows or settings.
        TaskgraftError: for whatever else is wrong with names, settings and rows, before anything is run.
    """
    if not isinstance(recipe, Recipe):
        place, recipe = Path(recipe), read_recipe(recipe)
        check_recipe_consent(catalog(), place, recipe, ())
    entries = _entries(recipe, as_list(strategies), as_list(backbones))
    out, reporter = Path(folder), ProgressReporter(quiet=quiet)
    _check(recipe, entries, seeds, test)
    _check_place(out, resume=resume, overwrite=overwrite)
    described = _identity(recipe, test)
    kept = RunDirectory(out)
    kept.open(described, resume=resume)
    try:
        if not resume:
            _clear(out)
        runs = _Runs(out, recipe, None if test is None else str(test), reporter, quiet)
        contenders, rows = runs.carried_out(entries, seeds, kept)
        found = _found(recipe, metric, seeds, contenders, rows, test is not None)
        found = _drawn(found, out)
        with atomic_file(out / TABLE, "comparison") as path:
            path.write_text(json.dumps(found.to_json(), indent=1, ensure_ascii=False), "utf-8")
        shutil.rmtree(out / SHELF, ignore_errors=True)
    finally:
        kept.close()
    return found


@dataclass(frozen=True)
class _Entry:
    """One way to compare, with what the table calls it."""

    backbone: ResolvedComponent[BackboneSpec]
    strategy: ResolvedComponent[StrategySpec]
    names: tuple[str, str]


def _entries(
    recipe: Recipe, strategies: Sequence[ComponentReference], backbones: Sequence[ComponentReference]
) -> list[_Entry]:
    """Look up what is named.

    Raises:
        UnknownComponent, AmbiguousComponent, InvalidName, ConfigError: for what is not there, or does not take its settings.
        CompareError: for less than two ways, or one that is named twice.
    """
    ways = [(resolve(catalog(), StrategySpec, one), one) for one in strategies or [recipe.strategy]]
    bases = [(resolve(catalog(), BackboneSpec, one), one) for one in backbones or [recipe.backbone]]
    found = [_Entry(base, way, (_name(base, one), _name(way, two))) for base, one in bases for way, two in ways]
    seen: dict[str, _Entry] = {}
    for entry in found:
        before = seen.setdefault(_digest(entry), entry)
        if before is not entry:
            raise CompareError(f"'{entry.names[1]}' on '{entry.names[0]}' is named twice", "Name it once")
    if len(found) == 1:
        strategy, backbone = found[0].names[1], found[0].names[0]
        raise CompareError(f"there is only '{strategy}' on '{backbone}'", "Name more strategies, or more backbones")
    return found


def _name(chosen: ResolvedComponent[Any], reference: ComponentReference) -> str:
    """Call it as its messages do, with the settings that were given beside its argument."""
    if isinstance(reference, str):
        return chosen.label
    given = (
        reference.settings
        if isinstance(reference, ComponentRef)
        else {k: v for k, v in reference.items() if k != "name"}
    )
    said = [f"{key} = {json.dumps(value)}" for key, value in given.items() if key != chosen.spec.config.positional]
    return f"{chosen.label} ({', '.join(said)})" if said else chosen.label


def _digest(entry: _Entry) -> str:
    said = [one.choice().model_dump(mode="json") for one in (entry.backbone, entry.strategy)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


# --- what is refused before anything runs


def _check(recipe: Recipe, entries: Sequence[_Entry], seeds: int, test: str | Path | None) -> None:
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise CompareError(f"seeds is {seeds!r}", "Give a whole number from 1 on")
    if recipe.data.train is None:
        raise CompareError("the recipe names no training data", "Say where they are: data.train")
    if not recipe.data.target and _head(recipe).target != TargetKind.INPUTS:
        raise CompareError("the recipe does not say what to predict", "Name the target column: data.target")
    if test is None and recipe.data.validation is None and recipe.data.split is None:
        raise CompareError(
            "the recipe has no validation rows to judge by", "Give data.validation, data.split, or test data (--test)"
        )


def _head(recipe: Recipe) -> HeadDescription:
    head = resolve(catalog(), HeadSpec, recipe.head)
    return head.spec.describe(head.config)


def _check_place(out: Path, *, resume: bool, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / RUN).is_file() or "test rows" not in (out / RUN).read_text("utf-8"):
        raise CompareError(f"something is in {out}, and it is no comparison", "Name another folder")
    if not (resume or overwrite):
        raise CompareError(
            f"a comparison is in {out} already",
            "Go on with resume (--resume), or replace it with overwrite (--overwrite)",
        )


def _clear(out: Path) -> None:
    for name in (RUNS, SHELF):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (TABLE, FIGURE):
        (out / name).unlink(missing_ok=True)


def _identity(recipe: Recipe, test: str | Path | None) -> dict[str, Any]:
    """Say what must be the same for a comparison to go on: everything but what is compared. Reads all rows."""
    data = recipe.data
    rows, held = read_train_and_validation(data.train, data.validation, data, recipe.training.seed, catalog())
    judged = None
    if test is not None:
        judged = read_rows(str(test), catalog(), "the test data", reader=data.reader, on_bad_row=data.on_bad_row)
    for some in filter(None, (rows, held, judged)):
        for column in data.target:
            some.column(column)
    said = run_identity(recipe, rows, held) | {"test rows": None if judged is None else judged.digest()}
    return {key: value for key, value in said.items() if key not in (BackboneSpec.axis, StrategySpec.axis)}


# --- the runs


@dataclass(frozen=True)
class _Runs:
    """Carries out the runs of a comparison, one after another."""

    out: Path
    recipe: Recipe
    test: str | None
    reporter: ProgressReporter
    quiet: bool

    def carried_out(self, entries: Sequence[_Entry], seeds: int, kept: RunDirectory) -> tuple[list[Candidate], int]:
        """Give what each contender did, and how many rows were judged."""
        first, contenders, rows = self.recipe.training.seed, [], 0
        for place, entry in enumerate(entries):
            trials: dict[int, RunResult] = {}
            problem = self._mismatch(entry)
            for seed in range(first, first + seeds) if problem is None else ():
                number = place * seeds + seed - first + 1
                self.reporter.message(
                    f"{number} of {len(entries) * seeds}: {entry.names[1]} on {entry.names[0]}, seed {seed}"
                )
                record = self._record(entry, seed, kept)
                rows = max(rows, record.rows)
                if record.trial is not None:
                    trials[seed] = record.trial
                elif problem is None:
                    problem = record.problem if seeds == 1 else f"seed {seed}: {record.problem}"
            contenders.append(Candidate(*entry.names, trials, problem))
        return contenders, rows

    def _mismatch(self, entry: _Entry) -> str | None:
        """Say why three choices do not fit together, which needs no process."""
        head = resolve(catalog(), HeadSpec, self.recipe.head)
        try:
            combine(catalog(), entry.backbone, head, entry.strategy)
        except TaskgraftError as error:
            return str(error)
        return None

    def _record(self, entry: _Entry, seed: int, kept: RunDirectory) -> RunRecord:
        backbone = entry.names[0].rpartition("/")[2]
        short = re.sub(r"[^a-z0-9]+", "-", f"{entry.names[1]}-{backbone}".lower())[:60].strip("-")
        place = self.out / RUNS / f"{short}-seed-{seed}-{_digest(entry)[:8]}"
        record = RunRecord.read(place)
        if record is not None and record.lasts:
            return record
        place.mkdir(parents=True, exist_ok=True)
        changed = {"backbone": entry.backbone.choice(), "strategy": entry.strategy.choice()}
        training = self.recipe.training.model_copy(update={"seed": seed})
        recipe = self.recipe.model_copy(update=changed | {"training": training})
        RunRequest(recipe, self.recipe.training.seed, self.test, str(self.out / SHELF), self.quiet).write(place)
        ended = _in_own_process(place)
        record = RunRecord.read(place) if ended is None else RunRecord(None, problem=ended, lasts=False)
        assert record is not None
        kept.append_metrics(
            {"strategy": entry.names[1], "backbone": entry.names[0], "seed": seed, "problem": record.problem}
        )
        return record


def _in_own_process(place: Path) -> str | None:
    """Run what a folder says in a process that sees the modules that this one sees, and ends with it.

    Returns:
        how it ended, when it left no record.
    """
    (place / "record.json").unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "taskgraft.comparison.worker", str(place)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, env=environment)
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


# --- what was found


def _found(
    recipe: Recipe, metric: str | None, seeds: int, contenders: Sequence[Candidate], rows: int, tested: bool
) -> Comparison:
    trials = [trial for contender in contenders for trial in contender.trials.values()]
    if not trials:
        problems = dict.fromkeys(contender.problem for contender in contenders)
        raise CompareError(
            f"no run ended well. {' '.join(map(str, problems))}".rstrip("."), "Mend that, and begin anew"
        )
    specs = [resolve(catalog(), MetricSpec, one).spec for one in _head(recipe).metrics]
    known = dict.fromkeys(name for trial in trials for name in trial.metrics)
    chosen = metric or next((spec.primary for spec in specs if spec.primary in known), None) or next(iter(known), "")
    if chosen not in known:
        near = closest_match(chosen, known)
        meant = f" (did you mean '{near}'?)" if near else ""
        raise NoSuchNumber(chosen, meant, tuple(known))
    lower = frozenset[str]().union(*(spec.lower_is_better for spec in specs))
    judged = "test rows" if tested else "validation rows"
    first = recipe.training.seed
    return Comparison(chosen, chosen in lower, judged, rows, range(first, first + seeds), contenders)


def _drawn(found: Comparison, out: Path) -> Comparison:
    if not found.best:
        return found
    if not can_draw():
        warnings.warn(
            f"{out / FIGURE} is not drawn, for matplotlib is not installed: pip install 'taskgraft[figures]'", NotDrawn
        )
        return found
    with atomic_file(out / FIGURE, "figure") as path:
        draw(found, path)
    return replace(found, figure=str(out / FIGURE))


class NotDrawn(UserWarning):
    """A figure that what draws it is missing for."""


@dataclass(eq=False)
class CompareError(TaskgraftError):
    """A comparison that cannot be made."""

    problem: str
    advice: str

    def __str__(self) -> str:
        return f"Nothing was compared: {self.problem}. {self.advice}."


@dataclass(eq=False)
class NoSuchNumber(TaskgraftError):
    """A number to compare by that nobody computed."""

    name: str
    meant: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"There is no number '{self.name}' to compare by{self.meant}; there are {join_words(self.known)}. "
            "The runs are finished: name one of these, and go on with resume."
        )
