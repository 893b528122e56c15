"""``taskgraft fit``: from a recipe to an artifact."""

import shlex
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.cli.console import console, print_json, table
from taskgraft.cli.interrupt import Interrupted
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.recipe import Recipe
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.recipes.files import read_recipe
from taskgraft.recipes.overrides import override_keys
from taskgraft.storage.manifest import MANIFEST, SUMS, TENSORS, is_artifact

if TYPE_CHECKING:
    from taskgraft.model import FitReport, TaskModel


def fit_recipe(
    path: Path,
    overrides: Sequence[str],
    output: Path | None,
    *,
    resume: bool,
    seeds: int,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit a recipe, print its numbers, and save the artifact. All that can be refused is refused before training.

    Args:
        output: the folder of the artifact. Checkpoints and metrics go to a folder beside it, with ``.run`` after the name.
        seeds: how often to fit, with rising seeds; what is saved is the fit with the recipe's own.

    Raises:
        CannotFit: when something is in the way, or the recipe lacks something.
        Interrupted: on Ctrl-C, saying how to go on.
    """
    out = output or _beside(path)
    _check_place(out, overwrite=overwrite)
    kept = out.with_name(f"{out.name}.run")
    recipe = read_recipe(path, overrides)
    _check_recipe(path, recipe, seeds)
    if not (resume or overwrite) and (states := _states(kept)):
        interrupted = f"an interrupted run is in {states[0].parent}"
        raise CannotFit(interrupted, "Go on with --resume, or begin anew with --overwrite")
    first = recipe.training.seed
    again = _command(path, overrides, output, seeds)
    runs: dict[int, FitReport] = {}
    try:
        for seed in reversed(range(first, first + seeds)):  # the recipe's own comes last, and is saved
            folder = kept if seeds == 1 else kept / f"seed-{seed}"
            model, runs[seed] = _fitted(path, overrides, recipe, seed, folder, resume=resume, quiet=quiet)
            if seeds > 1 and not quiet:
                print(f"seed {seed}: {_line(runs[seed].metrics)}", file=sys.stderr)  # noqa: T201
        _save(model, out, kept, again, overwrite=overwrite)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_go_on(kept, again)) from None
    for state in _states(kept):
        state.unlink()
    if as_json:
        print_json(_plain(out, kept, runs, first))
    else:
        _print(out, kept, runs, first)


def _beside(path: Path) -> Path:
    """Name the artifact of a recipe: the same without the suffix. What is fitted anew from an artifact lies beside it."""
    return path.with_name(f"{path.name}-again") if is_artifact(path) else path.with_suffix("")


def _check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a place where the artifact could not be saved in the end."""
    if out.is_symlink() or out.exists():
        empty = out.is_dir() and not any(out.iterdir())
        if not empty and not overwrite:
            raise CannotFit(
                f"something is in {out} already",
                "Name another folder with -o, or replace the artifact with --overwrite",
            )
        if not empty and not is_artifact(out):
            raise CannotFit(f"{out} is no artifact, so it is not overwritten", "Name another folder with -o")
        strangers = sorted({file.name for file in out.iterdir()} - {MANIFEST, TENSORS, SUMS})
        if strangers:
            raise CannotFit(
                f"{out} also holds {join_words(strangers, 3)}, which is no part of an artifact, so it is not overwritten",
                "Name another folder with -o",
            )
    above = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=above)).rmdir()
    except OSError as error:
        raise CannotFit(f"{above} cannot be written to ({error.strerror})", "Name another folder with -o") from None


def _check_recipe(path: Path, recipe: Recipe, seeds: int) -> None:
    if recipe.data.train is None:
        raise CannotFit(f"{path} names no training data", "Say where they are: data.train")
    if seeds > 1 and recipe.data.validation is None and recipe.data.split is None:
        raise CannotFit(
            f"--seeds compares numbers on validation rows, and {path} has none", "Give data.validation or data.split"
        )


def _fitted(
    path: Path, overrides: Sequence[str], recipe: Recipe, seed: int, folder: Path, *, resume: bool, quiet: bool
) -> "tuple[TaskModel, FitReport]":
    from taskgraft.composition.compose import check_recipe_consent
    from taskgraft.discovery.catalog import catalog
    from taskgraft.model import compose

    check_recipe_consent(catalog(), path, recipe, override_keys(overrides))
    data = recipe.data
    model = compose(recipe.backbone, recipe.head, recipe.strategy)
    if not data.target and model.composition.head_description.target != TargetKind.INPUTS:
        raise CannotFit(f"{path} does not say what to predict", "Name the target column: data.target")
    run = model.fit(
        data.train,
        validation=data.validation,
        split=data.split,
        reader=data.reader,
        inputs=data.inputs or None,
        target=data.target,
        on_bad_row=data.on_bad_row,
        training=recipe.training.model_copy(update={"seed": seed}),
        run=folder,
        resume=resume,
        quiet=quiet,
    )
    return model, run


def _save(model: "TaskModel", out: Path, kept: Path, command: Sequence[str], *, overwrite: bool) -> None:
    from taskgraft.artifact.artifact import SaveError

    try:
        model.save(out, overwrite=overwrite)
    except SaveError as error:
        if not _states(kept):
            raise
        raise NotSaved(str(error), str(kept), shlex.join([*command, "--resume"])) from None


def _how_to_go_on(kept: Path, command: Sequence[str]) -> str:
    """Say what an interrupted fit leaves."""
    if not _states(kept):
        return f"Interrupted before anything was learned. Begin anew: {shlex.join(command)}"
    return f"Interrupted. What was learned is in {kept}. Go on: {shlex.join([*command, '--resume'])}"


def _command(path: Path, overrides: Sequence[str], output: Path | None, seeds: int) -> list[str]:
    """Write the command that does the same again."""
    command = ["taskgraft", "fit", str(path)]
    for text in overrides:
        command += ["--set", text]
    if output is not None:
        command += ["--output", str(output)]
    return command if seeds == 1 else [*command, "--seeds", str(seeds)]


def _states(kept: Path) -> list[Path]:
    """Find what interrupted runs left to go on from."""
    from taskgraft.storage.run_directory import STATE

    return sorted(kept.glob(f"**/{STATE}"))


# --- what is printed


def _plain(out: Path, kept: Path, runs: "Mapping[int, FitReport]", first: int) -> dict[str, Any]:
    run = runs[first]
    found: dict[str, Any] = {
        "artifact": str(out),
        "run": str(kept),
        "seed": first,
        "metrics": _metrics(run),
        "seconds": round(run.seconds, 3),
        "stages": [report.name for report in run.stages],
        "notes": dict(run.notes),
    }
    if len(runs) > 1:
        found["seeds"] = {str(seed): dict(runs[seed].metrics) for seed in sorted(runs)}
        found["mean"], found["spread"] = _mean(runs), _spread(runs)
    return found


def _metrics(run: "FitReport") -> Any:
    from taskgraft.evaluation.evaluation import Evaluation

    return run.metrics.to_json() if isinstance(run.metrics, Evaluation) else {}


def _print(out: Path, kept: Path, runs: "Mapping[int, FitReport]", first: int) -> None:
    printer = console()
    run = runs[first]
    if len(runs) > 1:
        means, spreads = _mean(runs), _spread(runs)
        rows = [(name, f"{means[name]:.4f}", f"{spreads[name]:.4f}", f"{run.metrics[name]:.4f}") for name in means]
        printer.print(table(("metric", f"mean of {len(runs)} seeds", "standard deviation", f"seed {first}"), rows))
    elif not run.metrics:
        printer.print("There were no validation rows to judge by.")
    else:
        printer.print(run.metrics)
    for note, count in run.notes.items():
        printer.print(f"{note}: {count:,} training rows", soft_wrap=True)
    printer.print(f"Saved in {out} after {run.seconds:.1f} s. Metrics of each step: {kept}.", soft_wrap=True)


def _line(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _shared(runs: "Mapping[int, FitReport]") -> list[str]:
    """Name the metrics that every seed has; one that cannot be had is left out of a run."""
    first, *others = runs.values()
    return [name for name in first.metrics if all(name in run.metrics for run in others)]


def _mean(runs: "Mapping[int, FitReport]") -> dict[str, float]:
    return {name: statistics.fmean(run.metrics[name] for run in runs.values()) for name in _shared(runs)}


def _spread(runs: "Mapping[int, FitReport]") -> dict[str, float]:
    """Give the sample standard deviation over seeds, of each metric."""
    return {name: statistics.stdev(run.metrics[name] for run in runs.values()) for name in _shared(runs)}


@dataclass(eq=False)
class NotSaved(TaskgraftError):
    """A fit whose artifact could not be written; what it learned is not lost."""

    problem: str
    kept: str
    command: str

    def __str__(self) -> str:
        return f"{self.problem}\nWhat was learned is in {self.kept}. Once that is mended, go on: {self.command}"


@dataclass(eq=False)
class CannotFit(TaskgraftError):
    """A fit that could not end well, refused before it begins."""

    problem: str
    advice: str

    def __str__(self) -> str:
        return f"Nothing was fitted: {self.problem}. {self.advice}."
