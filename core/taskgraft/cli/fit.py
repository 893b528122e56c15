"""``taskgraft fit``: from a recipe to an artifact."""

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskgraft.cli import options
from taskgraft.cli.console import console, print_json
from taskgraft.cli.errors import CliError, Interrupted
from taskgraft.contract.descriptions import TargetKind
from taskgraft.errors import join_words
from taskgraft.recipe import Recipe
from taskgraft.recipes.result_settings import result_settings
from taskgraft.storage.atomic_write import OutputError, remove_leftovers, remove_leftovers_in
from taskgraft.storage.finished_run import FINISHED, STATE, FinishedRun, read_finished
from taskgraft.storage.manifest import MANIFEST, SUMS, TENSORS, is_artifact
from taskgraft.terminal import write_line
from taskgraft.text_table import TextTable

if TYPE_CHECKING:
    from taskgraft.model.fit import FitReport
    from taskgraft.model.task_model import TaskModel


def fit_command(
    context: typer.Context,
    recipe: options.RecipeArgument,
    overrides: options.SetOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The artifact's folder; the recipe's name without suffix by default."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="In place of the recipe's; for an artifact also the path of its base."),
    ] = None,
    resume: options.ResumeOption = False,
    seeds: options.SeedsOption = 1,
    overwrite: options.OverwriteOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    debug: options.DebugOption = False,
) -> None:
    """Fit a recipe, print its metrics, and save the artifact. Everything that can be checked is checked before training.

    Checkpoints and metrics go to a folder next to the artifact, with ``.run`` after its name. With several seeds, the saved
    artifact is that of the recipe's own seed.

    Raises:
        CliError: when the output folder or the recipe cannot be used.
        Interrupted: on Ctrl-C, with the command that continues.
    """
    document = options.read_fit_recipe(recipe, overrides or [], backbone)
    artifact = output or _default_output(recipe)
    if artifact.name in ("", ".."):  # a folder named by its place, such as '.'
        artifact = artifact.resolve()
    run_folder = artifact.with_name(f"{artifact.name}.run")
    settings = result_settings(document)
    if resume and (done := read_finished(run_folder, artifact, settings, seeds)):
        _end_finished(artifact, run_folder, done, as_json=as_json)
        return
    _check_output(artifact, overwrite=overwrite)
    _check_recipe(recipe, document, seeds)
    from taskgraft.cli.column_checks import check_recipe_columns

    check_recipe_columns(document)
    if not (resume or overwrite) and (checkpoints := _checkpoints(run_folder)):
        raise _nothing_fitted(
            f"an interrupted run is in {checkpoints[0].parent}",
            "Continue it with --resume, or start over with --overwrite",
        )
    first = document.training.seed
    reports: dict[int, FitReport] = {}
    (run_folder / FINISHED).unlink(missing_ok=True)  # of an earlier run, which is not this one
    try:
        for seed in reversed(range(first, first + seeds)):  # the recipe's own seed comes last, and is saved
            folder = run_folder if seeds == 1 else run_folder / f"seed-{seed}"
            model = _compose(recipe, document)
            seeded = document.training.model_copy(update={"seed": seed})
            with_seed = document.model_copy(update={"training": seeded})
            reports[seed] = model.fit_recipe(with_seed, run=folder, resume=resume, quiet=quiet)
            if seeds > 1 and not quiet:
                metrics = ", ".join(
                    f"{_label(reports[seed], name)} {value:.4f}" for name, value in reports[seed].metrics.items()
                )
                write_line(f"seed {seed}: {metrics}")
        report = _as_json(artifact, run_folder, reports, first)
        finished = FinishedRun(settings=settings, seeds=seeds, tensors=_digests(model), report=report)
        _save(context, model, artifact, run_folder, finished, overwrite=overwrite)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_continue(context, run_folder)) from None
    for checkpoint in _checkpoints(run_folder):
        checkpoint.unlink()
    if as_json:
        print_json(report)
    else:
        _print(artifact, run_folder, reports, first)


def _default_output(path: Path) -> Path:
    """Name the artifact of a recipe: the same without the suffix; for an artifact that is fitted again, ``-again``."""
    return path.with_name(f"{path.name}-again") if is_artifact(path) else path.with_suffix("")


def _check_output(artifact: Path, *, overwrite: bool) -> None:
    """Reject a folder where the artifact could not be saved in the end."""
    elsewhere = "Choose another folder with -o"
    remove_leftovers(artifact)
    if artifact.is_symlink() or artifact.exists():
        empty = artifact.is_dir() and not any(artifact.iterdir())
        if not empty and not overwrite:
            raise _nothing_fitted(
                f"{artifact} already exists", f"{elsewhere}, or replace the artifact with --overwrite"
            )
        if not empty and not is_artifact(artifact):
            raise _nothing_fitted(f"{artifact} is not an artifact, so it is not overwritten", elsewhere)
        if others := sorted({file.name for file in artifact.iterdir()} - {MANIFEST, TENSORS, SUMS}):
            raise _nothing_fitted(
                f"{artifact} also holds {join_words(others, 3)}, which is not part of an artifact, so it is not overwritten",
                elsewhere,
            )
    parent = next(folder for folder in artifact.absolute().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise _nothing_fitted(f"{parent} cannot be written to ({error.strerror})", elsewhere) from None


def _check_recipe(path: Path, recipe: Recipe, seeds: int) -> None:
    if recipe.data.train is None:
        raise _nothing_fitted(f"{path} names no training data", "Set data.train")
    if seeds > 1 and recipe.data.validation is None and recipe.data.split is None:
        raise _nothing_fitted(
            f"--seeds compares metrics on validation rows, and {path} has none", "Set data.validation or data.split"
        )


def _compose(path: Path, recipe: Recipe) -> "TaskModel":
    from taskgraft.model.compose import compose

    model = compose(recipe.backbone, recipe.head, recipe.strategy)
    if not recipe.data.target and model.composition.head_description.target != TargetKind.INPUTS:
        raise _nothing_fitted(f"{path} names no target column", "Set data.target")
    return model


def _digests(model: "TaskModel") -> dict[str, str]:
    from taskgraft.artifact.save import tensors_to_save
    from taskgraft.storage.fingerprints import tensor_digest

    assert model.fitted is not None
    return {name: tensor_digest(tensor) for name, tensor in tensors_to_save(model.fitted).items()}


def _save(
    context: typer.Context, model: "TaskModel", artifact: Path, run_folder: Path, note: FinishedRun, *, overwrite: bool
) -> None:
    """Note that the run is finished, and save the artifact."""
    try:
        note.write(run_folder)
        model.save(artifact, overwrite=overwrite)
    except OutputError as error:
        if not _checkpoints(run_folder):
            raise
        again = options.command_line(context, "--resume")
        raise CliError(
            f"{error}\nThe checkpoint is in {run_folder}. Once that is fixed, continue with: {again}"
        ) from None


def _end_finished(artifact: Path, run_folder: Path, finished: FinishedRun, *, as_json: bool) -> None:
    """Clear what a run left that was killed after it had saved its artifact, and say that it is finished."""
    for checkpoint in _checkpoints(run_folder):
        checkpoint.unlink()
    remove_leftovers(artifact)
    for folder in (run_folder, *run_folder.glob("seed-*")):
        remove_leftovers_in(folder)
    if as_json:
        print_json(finished.report)
    else:
        text = f"This run is finished: its artifact is {artifact}. To fit again, use --overwrite instead of --resume."
        console().print(text, soft_wrap=True)


def _how_to_continue(context: typer.Context, run_folder: Path) -> str:
    if not _checkpoints(run_folder):
        return f"Interrupted before the first checkpoint. Start over with: {options.command_line(context)}"
    return f"Interrupted. The checkpoint is in {run_folder}. Continue with: {options.command_line(context, '--resume')}"


def _checkpoints(run_folder: Path) -> list[Path]:
    """Find the checkpoints of interrupted runs."""
    return sorted(run_folder.glob(f"**/{STATE}"))


def _nothing_fitted(problem: str, advice: str) -> CliError:
    return CliError(f"Nothing was fitted: {problem}. {advice}.")


# --- output


def _as_json(artifact: Path, run_folder: Path, reports: "Mapping[int, FitReport]", first: int) -> dict[str, Any]:
    from taskgraft.evaluation.evaluation import Evaluation

    report = reports[first]
    document: dict[str, Any] = {
        "artifact": str(artifact),
        "run": str(run_folder),
        "seed": first,
        "metrics": report.metrics.to_json() if isinstance(report.metrics, Evaluation) else {},
        "seconds": round(report.seconds, 3),
        "stages": [stage.name for stage in report.stages],
        "notes": dict(report.notes),
        "warnings": list(report.warnings),
        "metrics_of": "validation rows" if report.metrics else None,
        "chosen": dict(report.chosen),
    }
    if len(reports) > 1:
        document["seeds"] = {str(seed): dict(reports[seed].metrics) for seed in sorted(reports)}
        document["mean"], document["spread"] = _means(reports), _standard_deviations(reports)
    return document


def _print(artifact: Path, run_folder: Path, reports: "Mapping[int, FitReport]", first: int) -> None:
    printer = console()
    report = reports[first]
    if len(reports) > 1:
        means, deviations = _means(reports), _standard_deviations(reports)
        rows = [
            (_label(report, name), f"{means[name]:.4f}", f"{deviations[name]:.4f}", f"{report.metrics[name]:.4f}")
            for name in means
        ]
        columns = ("metric", f"mean of {len(reports)} seeds", "standard deviation", f"seed {first}")
        printer.print(TextTable(columns, rows))
    elif not report.metrics:
        printer.print("There were no validation rows to evaluate on.")
    else:
        printer.print(report.metrics)
    if report.selection_note:
        printer.print(report.selection_note, soft_wrap=True)
    validation_notes = getattr(report.metrics, "notes", {})
    for notes, what in ((report.notes, "training rows"), (validation_notes, "validation rows")):
        for note, count in notes.items():
            printer.print(f"{note}: {count:,} {what}", soft_wrap=True)
    printer.print(
        f"Saved in {artifact} after {report.seconds:.1f} s. Metrics of each step: {run_folder}.", soft_wrap=True
    )


def _label(report: "FitReport", name: str) -> str:
    """Name a metric with the class that it is about."""
    from taskgraft.evaluation.evaluation import Evaluation
    from taskgraft.evaluation.tables import metric_label

    return metric_label(name, report.metrics.positive) if isinstance(report.metrics, Evaluation) else name


def _shared_metrics(reports: "Mapping[int, FitReport]") -> list[str]:
    """Name the metrics that every seed has; an undefined one is missing from a report."""
    first, *others = reports.values()
    return [name for name in first.metrics if all(name in report.metrics for report in others)]


def _means(reports: "Mapping[int, FitReport]") -> dict[str, float]:
    names = _shared_metrics(reports)
    return {name: statistics.fmean(report.metrics[name] for report in reports.values()) for name in names}


def _standard_deviations(reports: "Mapping[int, FitReport]") -> dict[str, float]:
    """Return the sample standard deviation over seeds, of each metric."""
    names = _shared_metrics(reports)
    return {name: statistics.stdev(report.metrics[name] for report in reports.values()) for name in names}
