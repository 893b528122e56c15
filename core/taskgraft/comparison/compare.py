"""Compare strategies and backbones on the same rows and seeds, each run in a process of its own.

The folder of a comparison holds its identity (``run.json``), a folder with a record for each run, the shared cache while it
runs, and at the end ``comparison.json`` and ``comparison.png``. A finished run is never repeated.
"""

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from taskgraft.comparison.figure import draw
from taskgraft.comparison.results import Candidate, Comparison
from taskgraft.comparison.runs import RUNS, SHARED_CACHE, CandidateSetup, CompareError, Runs
from taskgraft.composition.resolve import ComponentReference, ResolvedComponent, as_list, resolve
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, TargetKind
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import BackboneSpec, HeadSpec, MetricSpec, StrategySpec
from taskgraft.data.column_matching import match_columns
from taskgraft.data.named_files import digest_named_files, file_columns
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftWarning, closest_match, join_words
from taskgraft.files.regular_file import read_small_file
from taskgraft.preparation.identity import VERSIONS_KEY, run_identity
from taskgraft.progress import ProgressReporter
from taskgraft.reading.cell_formats import reader_with_formats, verbatim_columns
from taskgraft.reading.read import read_rows
from taskgraft.reading.splitting import read_train_and_validation, split_columns
from taskgraft.recipe import Recipe
from taskgraft.recipes.files import read_recipe
from taskgraft.storage.atomic_write import atomic_file, remove_leftovers_in
from taskgraft.storage.run_directory import LOCK, MAX_IDENTITY, RUN, RunDirectory
from taskgraft.storage.versions import result_versions

_TABLE, _FIGURE = "comparison.json", "comparison.png"


class NotDrawn(TaskgraftWarning):
    """The figure was not drawn, since matplotlib is not installed."""


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
    """Fit each strategy on each backbone with the same rows and seeds; report scores and costs.

    Runs share cached frozen features, which stay in the folder until the comparison is finished. Validation rows that are
    split off are the same for all seeds. Failed runs are listed with the rest.

    Args:
        recipe: a recipe or its path.
        strategies: names, or names with settings; by default that of the recipe.
        backbones: the same.
        seeds: the number of seeds, counted up from that of the recipe.
        folder: for results, and for resuming an interrupted comparison.
        test: the path of the rows to evaluate on; by default the validation rows.
        metric: the metric to compare by; by default the primary one of the head's metrics.
        resume: resume the comparison in that folder, if there is one. Strategies and backbones may be added.
        overwrite: replace it.
        quiet: show no progress.

    Raises:
        CompareError: if there is nothing to compare or to evaluate on, the folder is in use, or all runs failed.
        ResumeMismatch: if a comparison to resume had other rows or settings.
        TaskgraftError: for any other invalid name, setting or row, before anything runs.
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe)
    setups = _resolve_candidates(recipe, as_list(strategies), as_list(backbones))
    out, reporter = Path(folder), ProgressReporter(quiet=quiet)
    _check_recipe(recipe, seeds, has_test=test is not None)
    _check_folder(out, resume=resume, overwrite=overwrite)
    identity = _comparison_identity(recipe, test, reporter)
    directory = RunDirectory(out, results=(RUNS, SHARED_CACHE, _TABLE, _FIGURE))
    directory.open(identity, resume=resume)
    try:
        directory.load_state()  # there is none, so the metrics begin anew
        runs = Runs(out, recipe, None if test is None else str(test), reporter, directory, quiet)
        candidates, rows = runs.execute(setups, seeds)
        comparison = _summarize(recipe, metric, seeds, candidates, rows, tested=test is not None)
        comparison = _with_figure(comparison, out)
        with atomic_file(out / _TABLE, "comparison") as temporary:
            temporary.write_text(json.dumps(comparison.to_json(), indent=1, ensure_ascii=False), "utf-8")
        shutil.rmtree(out / SHARED_CACHE, ignore_errors=True)
    finally:
        directory.close()
    return comparison


def _resolve_candidates(
    recipe: Recipe, strategies: Sequence[ComponentReference], backbones: Sequence[ComponentReference]
) -> list[CandidateSetup]:
    """Look up every pair of a backbone and a strategy; there must be several, and none twice."""
    resolved_strategies = [(resolve(catalog(), StrategySpec, one), one) for one in strategies or [recipe.strategy]]
    resolved_backbones = [(resolve(catalog(), BackboneSpec, one), one) for one in backbones or [recipe.backbone]]
    setups = [
        CandidateSetup(backbone, strategy, _label(backbone, backbone_reference), _label(strategy, strategy_reference))
        for backbone, backbone_reference in resolved_backbones
        for strategy, strategy_reference in resolved_strategies
    ]
    seen: set[str] = set()
    for setup in setups:
        if setup.digest in seen:
            raise CompareError(f"{setup} is named twice. Name it once.")
        seen.add(setup.digest)
    if len(setups) == 1:
        raise CompareError(f"There is only {setups[0]} to compare. Name more strategies, or more backbones.")
    return setups


def _label(component: ResolvedComponent[Any], reference: ComponentReference) -> str:
    """Name a component as messages do, with the settings given in addition to its argument."""
    if isinstance(reference, str):
        return component.label
    settings = reference.settings if isinstance(reference, ComponentRef) else reference
    skipped = ("name", component.spec.config.positional)
    shown = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if key not in skipped]
    return f"{component.label} ({', '.join(shown)})" if shown else component.label


def _check_recipe(recipe: Recipe, seeds: int, *, has_test: bool) -> None:
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise CompareError(f"The number of seeds is {seeds!r}. Give a whole number from 1 on.")
    if recipe.data.train is None:
        raise CompareError("The recipe names no training data. Give their path: data.train.")
    if not recipe.data.target and _head_description(recipe).target != TargetKind.INPUTS:
        raise CompareError("The recipe does not say what to predict. Name the target column: data.target.")
    if not has_test and recipe.data.validation is None and recipe.data.split is None:
        raise CompareError(
            "The recipe has no validation rows to evaluate on. Give data.validation, data.split, or test data (--test)."
        )


def _head_description(recipe: Recipe) -> HeadDescription:
    head = resolve(catalog(), HeadSpec, recipe.head)
    return head.spec.describe(head.config)


def _backbone_description(recipe: Recipe) -> BackboneDescription:
    backbone = resolve(catalog(), BackboneSpec, recipe.backbone)
    return backbone.spec.describe(backbone.config)


def _check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    if out.is_dir():
        remove_leftovers_in(out)
    if not out.exists() or (out.is_dir() and {path.name for path in out.iterdir()} <= {LOCK}):
        return  # a killed process may have left the lock alone
    if not _is_comparison(out):
        raise CompareError(f"'{out}' is not empty, and it is not a comparison. Name another folder.")
    if not (resume or overwrite):
        raise CompareError(
            f"'{out}' already holds a comparison. Resume it (--resume), or replace it with overwrite (--overwrite)."
        )


def _is_comparison(out: Path) -> bool:
    """Tell whether a folder is that of a comparison, perhaps with a damaged identity."""
    try:
        return b'"test rows"' in read_small_file(out / RUN, MAX_IDENTITY)
    except OSError:
        return False


def _comparison_identity(recipe: Recipe, test: str | Path | None, reporter: ProgressReporter) -> dict[str, Any]:
    """Return what must not change if a comparison is resumed: everything but the candidates. Reads all rows."""
    data = recipe.data
    verbatim = verbatim_columns(data, _backbone_description(recipe), _head_description(recipe).target)
    seed = recipe.training.seed
    rows, validation = read_train_and_validation(data.train, data.validation, data, seed, catalog(), verbatim)
    test_rows = None
    if test is not None:
        reader = reader_with_formats(data, catalog())
        test_rows = read_rows(str(test), catalog(), "the test data", reader=reader, on_bad_row=data.on_bad_row)
    for some in filter(None, (rows, validation, test_rows)):
        for column in data.target:
            some.column(column)  # raises when there is no such column
    identity = run_identity(recipe, rows, validation)
    identity["test rows"] = None if test_rows is None else test_rows.digest()
    datasets = {"training": rows, "validation": validation, "test": test_rows}
    identity |= digest_named_files(datasets, _file_columns(recipe, rows), reporter)
    identity[VERSIONS_KEY] = result_versions([resolve(catalog(), HeadSpec, recipe.head).source.distribution])
    return {key: value for key, value in identity.items() if key not in (BackboneSpec.axis, StrategySpec.axis)}


def _file_columns(recipe: Recipe, rows: Rows) -> list[str]:
    """List the columns whose texts name files, for the backbone of the recipe."""
    backbone, head, data = _backbone_description(recipe), _head_description(recipe), recipe.data
    if not file_columns(backbone, head, {role.name: role.name for role in backbone.inputs}, data.target):
        return []
    exclude = (*data.exclude, *(() if data.inputs else split_columns(data, catalog())))
    columns = match_columns(data.inputs or None, backbone, rows, data.target, exclude)
    return file_columns(backbone, head, columns, data.target)


def _summarize(
    recipe: Recipe, metric: str | None, seeds: int, candidates: Sequence[Candidate], rows: int, *, tested: bool
) -> Comparison:
    results = [result for candidate in candidates for result in candidate.results.values()]
    if not results:
        problems = " ".join(dict.fromkeys(str(candidate.problem) for candidate in candidates))
        raise CompareError(f"No run succeeded. {problems} Fix this, and start again.")
    specs = [resolve(catalog(), MetricSpec, one).spec for one in _head_description(recipe).metrics]
    known = dict.fromkeys(name for result in results for name in result.metrics)
    chosen = metric or next((spec.primary for spec in specs if spec.primary in known), None) or next(iter(known), "")
    if chosen not in known:
        near = closest_match(chosen, known)
        hint = f" Did you mean '{near}'?" if near else ""
        raise CompareError(
            f"No run has the metric '{chosen}'.{hint} Metrics: {join_words(known)}. "
            "The runs are finished: name one of these, and resume."
        )
    lower_is_better = any(chosen in spec.lower_is_better for spec in specs)
    evaluated = "test rows" if tested else "validation rows"
    first = recipe.training.seed
    return Comparison(chosen, lower_is_better, evaluated, rows, range(first, first + seeds), candidates)


def _with_figure(comparison: Comparison, out: Path) -> Comparison:
    if not comparison.best:
        return comparison
    path = out / _FIGURE
    if find_spec("matplotlib") is None:
        advice = "pip install 'taskgraft[figures]'"
        warnings.warn(f"{path} is not drawn, since matplotlib is not installed: {advice}", NotDrawn, stacklevel=3)
        return comparison
    with atomic_file(path, "figure") as temporary:
        draw(comparison, temporary)
    return replace(comparison, figure=str(path))
