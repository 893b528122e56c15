"""The task model: compose, fit, evaluate, predict. The words of the Python API."""

import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from taskgraft.adaptation.dry_run import dry_run_composition
from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import remove_modules
from taskgraft.adaptation.merging import AdapterMerge
from taskgraft.artifact.export import export
from taskgraft.artifact.load import load_fitted
from taskgraft.artifact.save import save
from taskgraft.composition.compose import Composition, compose_components
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.predictions import Predictions, probabilities_by_label
from taskgraft.contract.recipe import DataConfig, Recipe, TrainingConfig
from taskgraft.contract.rows import Rows
from taskgraft.contract.strategy import Strategy
from taskgraft.data.dataset import eval_dataset, report_notes
from taskgraft.data.examples import all_targets
from taskgraft.data.preprocessing import match_columns
from taskgraft.data.reading import read_rows
from taskgraft.data.splitting import read_train_and_validation, split_columns
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import predict_batches, show_progress
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.evaluation.baselines import fit_requested_baselines
from taskgraft.evaluation.bootstrap import RESAMPLES
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.evaluation.evaluator import LabelledPredictions, evaluate_predictions, prepare_evaluation
from taskgraft.inference.errors import NoProbabilities
from taskgraft.inference.predict import inference_budget, predict_rows, read_inputs, reference_features
from taskgraft.progress import ProgressReporter
from taskgraft.training.checkpoint import StageReport
from taskgraft.training.distillation import check_teachers
from taskgraft.training.fit import RunOptions, fit
from taskgraft.training.shared_cache import SharedCache


@dataclass(frozen=True)
class FitReport:
    """What one fit did.

    Attributes:
        metrics: an :class:`Evaluation` on the validation data; empty when there were none, or they could not be judged.
        stages: one report per stage.
        seconds: wall-clock, from reading the data to the last metric; with resume, also what was kept of the time before.
        notes: what happened to how many training rows ("cut to 256 pieces" → 12).
    """

    metrics: Mapping[str, float]
    stages: tuple[StageReport, ...]
    seconds: float
    notes: Mapping[str, int]


@dataclass(eq=False)
class NotFitted(TaskgraftError):
    """A task model that has no head yet."""

    wish: str

    def __str__(self) -> str:
        return f"This task model has no head yet, so it cannot {self.wish}. Call fit first, or load an artifact."


@dataclass
class TaskModel:
    """A backbone, a head and a strategy, grafted together.

    Attributes:
        recipe: everything that was decided; complete once fitted.
        fitted: None until :meth:`fit`, and after a fit that failed.
        shelf: where fits of one comparison find what stays frozen; None computes it anew.
    """

    composition: Composition
    recipe: Recipe
    fitted: FittedTask | None = field(default=None, repr=False)
    shelf: SharedCache | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._composed = self.composition  # what a backbone learns from the inputs of one fit does not bind the next

    def fit(
        self,
        train: Any,
        *,
        validation: Any = None,
        split: ComponentReference | None = None,
        reader: ComponentReference | None = None,
        inputs: str | Sequence[str] | Mapping[str, str] | None = None,
        target: str | Sequence[str] = (),
        on_bad_row: str = "error",
        training: TrainingConfig | Mapping[str, Any] | None = None,
        run: str | Path | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> FitReport:
        """Learn from labelled rows. A backbone passed as an object is trained in place.

        Args:
            train: a path, ``hub:NAME``, a DataFrame, an Arrow table, a dataset, a list of dicts or a dict of columns.
            validation: the same, for choosing and judging, never learned from; or the share of the training rows that is
                held out for that.
            split: how training rows are held out instead: ``"fraction:0.1"``, ``"column:part"``, or a plugin's split.
            reader: what reads the files; found by their suffix if left out.
            inputs: a column, columns in the order of the backbone's inputs, or input → column. Found by name if left out.
            target: the target column, or several; none where the head recovers what the backbone reads.
            on_bad_row: ``"error"`` lists rows that cannot be used and stops; ``"skip"`` leaves them out and counts them.
            training: settings of the training; the defaults for what is left out.
            run: a folder for checkpoints and metrics of this run.
            resume: go on with the run in that folder, if there is one that was interrupted.
            quiet: show no progress.

        Raises:
            TaskgraftError: for whatever a person can mend, before training where it can be known before.
        """
        began = time.monotonic()
        if not isinstance(training, TrainingConfig):
            training = parse_config(TrainingConfig, training or {}, "training")
        if isinstance(validation, float):
            split, validation = f"fraction:{validation}", None
        data = parse_config(DataConfig, _data(train, validation, split, reader, target, on_bad_row), "data")
        self._check_target(data.target)
        rows, held = read_train_and_validation(train, validation, data, training.seed, catalog())
        spare = () if inputs else split_columns(data, catalog())
        names = match_columns(inputs, self._composed.backbone_description, rows, (*data.target, *spare))
        for column in data.target:
            rows.values(column, 0, 0)  # raises when there is no such column
        data = data.model_copy(update={"inputs": names})
        recipe = recipe_of(self._composed).model_copy(update={"data": data, "training": training})
        if run is None and resume:
            raise NothingToResume()
        if self.fitted is not None:
            remove_modules(self.fitted.task.backbone, self.fitted.inserted)
            self.fitted = None
        reporter = ProgressReporter(quiet=quiet)
        with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
            keeping = None if run is None else RunOptions(Path(run), resume)
            outcome = fit(self._composed, recipe, rows, held, reporter, Path(folder), keeping, self.shelf)
        self.composition, self.recipe, self.fitted = outcome.composition, outcome.recipe, outcome.fitted
        metrics = {} if outcome.validation is None else self._judged(self.fitted, outcome.validation, reporter)
        self.fitted.metrics = dict(metrics)
        return FitReport(metrics, outcome.stages, time.monotonic() - began + outcome.seconds_before, outcome.notes)

    def evaluate(
        self,
        data: Any,
        *,
        metrics: ComponentReference | Sequence[ComponentReference] = (),
        baselines: ComponentReference | Sequence[ComponentReference] = (),
        groups: str | None = None,
        resamples: int = RESAMPLES,
        figures: str | Path | None = None,
        batch_size: int | None = None,
        quiet: bool = False,
    ) -> Evaluation:
        """Judge predictions for labelled rows.

        Args:
            metrics: names of metrics, or dicts with ``name`` and settings; the head's own when left out.
            baselines: the same of baselines that learn now, from the training rows that the recipe names, and are judged beside
                the head's own.
            groups: a column whose equal values belong together (a customer, a patient), so that intervals come from drawing
                whole groups. Where rows of a group are alike, intervals would be too narrow without.
            resamples: how many the intervals are taken from; 0 gives none.
            figures: a folder for what the metrics draw. It is made; files of the same names are replaced.

        Returns:
            number by name, with intervals, the numbers of the baselines that learned from the same rows as the model, and the
            files of the figures.
        """
        fitted, reporter, told = self._ready("evaluate"), ProgressReporter(quiet=quiet), self.recipe.data
        rows = read_rows(data, catalog(), "the data", reader=told.reader, on_bad_row=told.on_bad_row)
        with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
            rows, examples = eval_dataset(
                fitted.head, fitted.target, fitted.task.backbone, rows, self.recipe, Path(folder) / "inputs"
            )
            report_notes(reporter, rows.notes, rows, "rows")
            label = self.composition.head.label
            how = prepare_evaluation(fitted, self.recipe, label, rows, metrics, groups, resamples, figures)
            challengers = fit_requested_baselines(baselines, fitted, self.recipe, label, Path(folder) / "train")
            found = predict_batches(
                fitted.task, 0, examples.inputs, inference_budget(self.recipe, batch_size), show_progress(reporter)
            )
        return evaluate_predictions(
            fitted,
            self.recipe,
            LabelledPredictions(found, all_targets(examples.targets), rows),
            how,
            reporter,
            challengers,
        )

    def predict(self, data: Any, *, batch_size: int | None = None, quiet: bool = False) -> list[Any]:
        """Predict in the user's own words: a label, a number, or a list of them, per row.

        Args:
            data: as for :meth:`fit`, or a plain list of inputs when the backbone reads one.
        """
        return predict_rows(self._ready("predict"), self.recipe, data, batch_size, ProgressReporter(quiet=quiet)).values

    def predict_proba(self, data: Any, *, batch_size: int | None = None, quiet: bool = False) -> list[Any]:
        """Predict probabilities: label → probability per row, or lists of such for a label per element or per pair.

        Raises:
            NoProbabilities: for a head that has none.
        """
        found = predict_rows(self._ready("predict"), self.recipe, data, batch_size, ProgressReporter(quiet=quiet))
        if not found.values:
            return []
        if found.probabilities is None:
            raise NoProbabilities(self.composition.head.label)
        return [probabilities_by_label(row.tolist(), found.classes) for row in found.probabilities]

    def predict_to(
        self,
        data: Any,
        output: str | Path | TextIO,
        *,
        form: Literal["csv", "jsonl"] = "csv",
        probabilities: bool = False,
        top: int | None = None,
        keep: Sequence[str] = (),
        overwrite: bool = False,
        batch_size: int | None = None,
        quiet: bool = False,
    ) -> int:
        """Predict for rows of any number, in their order, into a file. See :mod:`taskgraft.inference.prediction_table`.

        Args:
            data: as for :meth:`fit`.
            output: a .csv, .jsonl or .parquet file, or an open text stream.
            form: how to write to a stream; of a file the suffix says it.
            probabilities: whether to add the probability of every class.
            top: how many of the likeliest classes to add, with their probabilities.
            keep: columns of the data to put before the predictions.
            overwrite: whether to replace a file that is there.

        Returns:
            the number of rows.
        """
        from taskgraft.inference.prediction_table import PredictionColumns, write_predictions
        from taskgraft.inference.writers import check_output

        fitted = self._ready("predict")
        if isinstance(output, str | Path):
            output = Path(output)
            check_output(output, "predictions", overwrite=overwrite, data=data)
        rows, reporter = read_inputs(self.recipe, data), ProgressReporter(quiet=quiet)
        report_notes(reporter, rows.notes, rows, "rows")
        kind = fitted.head.description.target
        names = self.recipe.data.target
        if kind == TargetKind.INPUTS and (contents := fitted.task.backbone.processor.element_schema).by_position:
            names = tuple(kind.name for kind in contents.kinds)
        columns = PredictionColumns(kind, names, probabilities, top, tuple(keep))
        notes = Counter[str]()

        def predict(some: Rows) -> Predictions:
            return predict_rows(fitted, self.recipe, some, batch_size, ProgressReporter(quiet=True), notes)

        count = write_predictions(rows, predict, columns, output, form=form, overwrite=overwrite, reporter=reporter)
        report_notes(reporter, notes, rows, "rows")
        return count

    def merge(self, *, check: Any = None) -> None:
        """Put what was inserted into the weights of the layers it stands around; the base then is another one.

        Each layer is compared with what stood around it, on random input, within 1e-5 of the largest value. What is saved
        from then on holds the layers that changed. Does nothing where nothing is inserted.

        Args:
            check: rows whose features must stay the same as well, in the same bounds; data as for :meth:`predict`.

        Raises:
            MergeError: when an insertion has no such form, or does not compute the same. The model is as it was.
        """
        merging = self._merging("be merged", check)
        merging.merge()
        fitted = self._ready("be merged")
        if fitted.inserted:
            fitted.mark_merged()

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write an artifact: a folder with what was learned. See :mod:`taskgraft.artifact.save`."""
        return save(self._ready("be saved"), self.composition, self.recipe, Path(path), overwrite=overwrite)

    def export(self, folder: str | Path, *, check: Any = None, overwrite: bool = False) -> Path:
        """Write the backbone as its own library loads it, without taskgraft: what was trained in it, insertions merged.

        The head is no part of it. The model stays as it is.

        Args:
            folder: is made. What is there already is only overwritten when it was exported before.
            check: rows to compare features on, as for :meth:`merge`.

        Raises:
            ExportNotSupported: when the library has no form for this backbone.
            MergeError: when an insertion cannot be merged.
        """
        fitted, merging = self._ready("be exported"), self._merging("be exported", check)
        merging.merge()
        try:
            return export(fitted.task.backbone, self.recipe, self.composition, Path(folder), overwrite=overwrite)
        finally:
            merging.undo()

    def _merging(self, wish: str, check: Any) -> AdapterMerge:
        fitted = self._ready(wish)
        features = None if check is None else reference_features(fitted, self.recipe, check)
        return AdapterMerge(fitted.task.backbone, fitted.inserted, features)

    def _check_target(self, named: tuple[str, ...]) -> None:
        """Refuse a fit without a target column; of a head that recovers what the backbone reads, one with a column."""
        recovers = self._composed.head_description.target == TargetKind.INPUTS
        if recovers and named:
            raise NeedsNoTarget(self._composed.head.label, named)
        if not recovers and not named:
            raise NoTarget()

    def _judged(
        self, fitted: FittedTask, judged: LabelledPredictions, reporter: ProgressReporter
    ) -> Mapping[str, float]:
        """Judge the validation rows. Whatever a metric cannot judge is told, and does not take the fitted model away."""
        try:
            how = prepare_evaluation(fitted, self.recipe, self.composition.head.label, judged.rows)
            return evaluate_predictions(fitted, self.recipe, judged, how, reporter)
        except TaskgraftError as error:
            reporter.message(f"The model is fitted, but its validation rows could not be judged. {error}")
            return {}

    def _ready(self, wish: str) -> FittedTask:
        if self.fitted is None:
            raise NotFitted(wish)
        return self.fitted


def compose(
    backbone: ComponentReference | Backbone,
    head: ComponentReference | Head[Any],
    strategy: ComponentReference | Strategy,
) -> TaskModel:
    """Graft a head onto a backbone, to be trained by a strategy. Reads no weights; what the strategy inserts is tried.

    Args:
        backbone: a name (``"hf-text:some/checkpoint"``), a dict with the name and settings, or an object.
        head: the same.
        strategy: the same.

    Raises:
        TaskgraftError: when a name is unknown, a setting is refused, or the three do not fit together.
    """
    composition = compose_components(catalog(), backbone, head, strategy)
    check_teachers(composition)
    return model_of(dry_run_composition(composition))


def load(
    path: str | Path,
    *,
    backbone: ComponentReference | Backbone | None = None,
    head: Head[Any] | None = None,
    strategy: Strategy | None = None,
    device: str = "cpu",
) -> TaskModel:
    """Load an artifact after verifying all of it. Arguments and errors as for :func:`taskgraft.artifact.load.load_fitted`."""
    composition, recipe, fitted = load_fitted(path, backbone=backbone, head=head, strategy=strategy, device=device)
    return TaskModel(composition, recipe, fitted)


def model_of(composition: Composition) -> TaskModel:
    """Make a task model, without head module, of a composition."""
    return TaskModel(composition, recipe_of(composition))


def recipe_of(composition: Composition) -> Recipe:
    """Write down what was composed."""
    chosen = (composition.backbone, composition.head, composition.strategy)
    backbone, head, strategy = (one.to_ref() for one in chosen)
    return Recipe(backbone=backbone, head=head, strategy=strategy)


def _data(train: Any, validation: Any, split: Any, reader: Any, target: Any, on_bad_row: Any) -> dict[str, Any]:
    """Write down what was said about the data; what has no name stays out."""
    if not isinstance(target, str) and not (
        isinstance(target, list | tuple) and all(isinstance(name, str) for name in target)
    ):
        raise NoTarget(target)
    named = {"train": train, "validation": validation}
    said = {key: str(value) for key, value in named.items() if isinstance(value, str | Path)}
    targets = (target,) if isinstance(target, str) else tuple(dict.fromkeys(target))
    return said | {"split": split, "reader": reader, "target": targets, "on_bad_row": on_bad_row}


@dataclass(eq=False)
class NoTarget(TaskgraftError):
    """A fit that does not say what to predict."""

    value: object = None

    def __str__(self) -> str:
        said = (
            "No target column was named."
            if self.value is None
            else f"The target is {self.value!r:.60}, which names no column."
        )
        return f"{said} Say which column to predict with target=…."


@dataclass(eq=False)
class NeedsNoTarget(TaskgraftError):
    """A target column for a head that recovers what the backbone reads."""

    head: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"'{self.head}' recovers what the backbone reads, so there is no target column, but the target is named as "
            f"{join_words(map(repr, self.columns))}. Leave the target out; to keep a column from being read, name the inputs."
        )


@dataclass(eq=False)
class NothingToResume(TaskgraftError):
    """A run to go on with, but no folder where it would be."""

    def __str__(self) -> str:
        return "A run can only go on where it was kept: name its folder with run=…."
