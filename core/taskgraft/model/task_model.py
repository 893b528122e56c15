"""The task model of the Python API: fit, evaluate, predict, merge, save and export."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.artifact.save import save
from taskgraft.composition.compose import Composition
from taskgraft.composition.resolve import ComponentReference
from taskgraft.contract.callback import MakeCallback
from taskgraft.data.augmentation import Augmentation
from taskgraft.engine.entry_point import entry_point
from taskgraft.engine.random_state import Use
from taskgraft.engine.shared_cache import SharedCache
from taskgraft.evaluation.bootstrap import RESAMPLES
from taskgraft.evaluation.evaluation import Evaluation
from taskgraft.inference.predict import PredictionOptions, predict_probabilities, predict_rows, predict_to_file
from taskgraft.inference.row_results import RowResults
from taskgraft.model.evaluate import EvaluationRequest, evaluate_rows
from taskgraft.model.fit import FitReport, ModelError, fit_and_evaluate, recipe_of_arguments, run_options
from taskgraft.model.merge import export_merged, merge_inserted
from taskgraft.preparation.fit_functions import NO_FUNCTIONS, FitFunctions
from taskgraft.progress import ProgressReporter
from taskgraft.recipe import Recipe, TrainingConfig

_PREDICTING = "predict. Lower batch_size (--batch-size), or predict into a file: predict_to."


@dataclass
class TaskModel:
    """A backbone, a head and a strategy, composed by :func:`taskgraft.compose` or loaded by :func:`taskgraft.load`.

    Attributes:
        composition: the three components, resolved and checked.
        recipe: the components, and once fitted also the data and the training.
        fitted: the trained module and what belongs to it; None before :meth:`fit`. A fit that fails leaves it as it was.
        shared_cache: frozen features that the fits of one comparison share; None computes them in each fit.
    """

    composition: Composition
    recipe: Recipe
    fitted: FittedTask | None = field(default=None, repr=False)
    shared_cache: SharedCache | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._composed = self.composition  # settings that a fit adds to the backbone do not apply to the next fit

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
        data: Mapping[str, Any] | None = None,
        training: TrainingConfig | Mapping[str, Any] | None = None,
        callbacks: Sequence[MakeCallback] = (),
        augmentation: Augmentation | None = None,
        run: str | Path | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> FitReport:
        """Train on labelled rows. A backbone that was given as an object is trained in place.

        If a later fit fails, the model that was fitted before stays, also on a backbone object; until then both are in memory.

        Args:
            train: a path, ``hub:NAME``, a DataFrame, an Arrow table, a dataset, a list of dicts or a dict of columns.
            validation: the same, for early stopping, tuning and evaluation; or the share of the training rows to hold out.
            split: another way to hold out training rows: ``"fraction:0.1"``, ``"column:part"``, or a plugin's split.
            reader: the reader of the files; chosen by suffix by default.
            inputs: a column, columns in the order of the backbone's inputs, or input → column; matched by name by default.
            target: the target column or columns; none for a head that predicts masked elements.
            on_bad_row: ``"error"`` lists all invalid rows and stops; ``"skip"`` drops and counts them.
            data: further settings about the data, as a recipe has them: ``{"missing": ["NA"], "labels": {"Spam": "spam"}}``.
            training: settings such as ``{"epochs": 5}``; defaults apply to the rest.
            callbacks: classes of :class:`taskgraft.plugin.Callback`; each stage of descent makes its own. Part of a run.
            augmentation: a function of a copy of an example (input → value as in the data) and a numpy generator seeded by row
                and epoch → the changed example, also with objects in memory. It is off in stages that cache frozen layers.
                Loader processes call it: define it at the top level of a module where they are not forked.
            run, resume: a folder for checkpoints and metrics; whether to continue the interrupted run there, if there is one.
            quiet: show no progress.

        Returns:
            metrics on the validation rows, and what was done.

        Raises:
            TaskgraftError: for invalid data or settings, before training wherever that is possible.
        """
        if isinstance(validation, float):
            split, validation = f"fraction:{validation}", None
        named = {"split": split, "reader": reader, "inputs": inputs, "target": target, "on_bad_row": on_bad_row}
        recipe = recipe_of_arguments(self._composed, train, validation, named, training, data or {})
        functions = FitFunctions(callbacks, augmentation)
        report = self.fit_recipe(
            recipe, train=train, validation=validation, functions=functions, run=run, resume=resume, quiet=quiet
        )
        if report.selection_note:
            ProgressReporter(quiet=quiet).message(report.selection_note)
        return report

    @entry_point("fit the model. Lower training.batch_size or training.memory.", Use.FIT)
    def fit_recipe(
        self,
        recipe: Recipe,
        *,
        train: Any = None,
        validation: Any = None,
        functions: FitFunctions = NO_FUNCTIONS,
        run: str | Path | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> FitReport:
        """Train with the data and the training settings of a recipe.

        Args:
            recipe: its components are not used, but those of this model.
            train, validation: rows in place of the recipe's, such as rows that were read already.
            functions: callbacks and augmentation, as for :meth:`fit`; and so is all the rest.
        """
        began, reporter = time.monotonic(), ProgressReporter(quiet=quiet)
        data, options = (train, validation), run_options(run, resume=resume)
        cache, before = self.shared_cache, self.fitted
        result, metrics = fit_and_evaluate(self._composed, recipe, data, options, cache, reporter, functions, before)
        self.composition, self.recipe, self.fitted = result.composition, result.recipe, result.fitted
        return FitReport.of(result, metrics, time.monotonic() - began)

    @entry_point("evaluate the model. Lower batch_size (--batch-size), or evaluate fewer rows.")
    def evaluate(
        self,
        data: Any,
        *,
        metrics: ComponentReference | Sequence[ComponentReference] = (),
        baselines: ComponentReference | Sequence[ComponentReference] = (),
        groups: str | None = None,
        resamples: int = RESAMPLES,
        figures: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        quiet: bool = False,
    ) -> Evaluation:
        """Evaluate the model on labelled rows.

        Args:
            data: as for :meth:`fit`.
            metrics: names of metrics, or dicts with ``name`` and settings; the head's own by default.
            baselines: the same of baselines that are fitted now, on the training rows of the recipe, besides the head's own.
            groups: a column of groups (customers, patients) to resample as a whole, where rows of a group are alike.
            resamples: number of resamples, where intervals need them; 0 computes no intervals.
            figures: a folder for figures of the metrics. It is created; files of the same names are replaced.
            settings, batch_size, quiet: as for :meth:`predict`.

        Returns:
            metric → value, with intervals, the values of the baselines, and the files of the figures.
        """
        fitted, label = self._require_fitted("evaluate"), self.composition.head.label
        request = EvaluationRequest(metrics, baselines, groups, resamples, figures, settings, batch_size)
        return evaluate_rows(fitted, self.recipe, label, data, request, ProgressReporter(quiet=quiet))

    @entry_point(_PREDICTING)
    def predict(
        self,
        data: Any,
        *,
        on_bad_row: str = "error",
        settings: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        quiet: bool = False,
    ) -> RowResults:
        """Predict for each row, in the labels and units of the target column.

        Args:
            data: as for :meth:`fit`; or for a backbone with one input a text, the path of an image or a pattern of paths, an
                object in memory, or several in a list, an array, a Series or an iterator; or a dict of one row.
            on_bad_row: ``"error"`` lists all invalid rows and stops, ``"skip"`` leaves them out, ``"null"`` predicts None.
            settings: about these data, as a recipe has them: ``{"reader": "lines", "inputs": "message", "missing": ["NA"]}``.
            batch_size: rows per forward pass; that of training by default.
            quiet: show no progress.

        Returns:
            a list: per row a label, a number, or a list of them; its attributes ``rows`` and ``reasons`` say which row each is
            for, and which rows are invalid.
        """
        options = PredictionOptions(on_bad_row, settings, batch_size, quiet)
        return predict_rows(self._require_fitted("predict"), self.recipe, data, options)

    @entry_point(_PREDICTING)
    def predict_proba(
        self,
        data: Any,
        *,
        on_bad_row: str = "error",
        settings: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        quiet: bool = False,
    ) -> RowResults:
        """Predict probabilities. Arguments as for :meth:`predict`.

        Returns:
            label → probability, or a list of such dicts for a label per element or pair of elements, per row.

        Raises:
            NoProbabilities: for a head that predicts none.
        """
        fitted, options = self._require_fitted("predict"), PredictionOptions(on_bad_row, settings, batch_size, quiet)
        return predict_probabilities(fitted, self.recipe, data, options, self.composition.head.label)

    @entry_point("predict. Lower batch_size (--batch-size).")
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
        escape_formulas: bool = False,
        on_bad_row: str = "error",
        settings: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        quiet: bool = False,
    ) -> int:
        """Predict for any number of rows into a file, in bounded memory and in the order of the rows.

        Input files of a folder or a pattern are named in a column ``file``. With ``on_bad_row="skip"`` a column has the line or
        number of each row; with ``"null"`` the column ``reason`` says why a row has no prediction.

        Args:
            output: a .csv, .jsonl or .parquet file, or an open text stream.
            form: the format of a text stream.
            probabilities: whether to add the probability of every class.
            top: number of most likely classes to add, with their probabilities.
            keep: columns of the data to copy, placed before the predictions.
            overwrite: whether to replace an existing file.
            escape_formulas: whether texts in a CSV that a spreadsheet would run (``=1+1``) get an apostrophe in front.
            data, on_bad_row, settings, batch_size, quiet: as for :meth:`predict`.

        Returns:
            the number of predictions.
        """
        fitted, options = self._require_fitted("predict"), PredictionOptions(on_bad_row, settings, batch_size, quiet)
        columns = probabilities, top, (keep,) if isinstance(keep, str) else tuple(keep)
        return predict_to_file(fitted, self.recipe, data, output, form, columns, (overwrite, escape_formulas), options)

    @entry_point("merge the inserted modules. Close other programs, or give fewer rows to compare.")
    def merge(self, *, check: Any = None) -> None:
        """Merge inserted modules, such as LoRA, into the weights of the layers they wrap. Without any it does nothing.

        Each merged layer is compared with the original on random input: within 1e-5 of the largest value. Artifacts saved
        afterwards contain the changed layers in place of the inserted modules.

        Args:
            check: rows whose features are compared too, within the same tolerance; data as for :meth:`predict`.

        Raises:
            MergeError: when a module cannot be merged, or does not compute the same. The model is then unchanged.
        """
        merge_inserted(self._require_fitted("be merged"), self.recipe, check)

    @entry_point("save the model. Close other programs.")
    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write an artifact, a folder with the trained weights, the recipe and checksums; return its absolute path.

        Args:
            path: the folder, which is created.
            overwrite: whether to replace an artifact that is there.

        Raises:
            SaveError: when something else is there, or the folder cannot be written.
        """
        return save(self._require_fitted("be saved"), self.composition, self.recipe, Path(path), overwrite=overwrite)

    @entry_point("export the backbone. Close other programs.")
    def export(self, folder: str | Path, *, check: Any = None, overwrite: bool = False) -> Path:
        """Write the trained backbone, with inserted modules merged, as a checkpoint of its library; return its absolute path.

        Args:
            folder: is created.
            check: rows on which features are compared, as for :meth:`merge`.
            overwrite: whether to replace an earlier export.

        Raises:
            ExportNotSupported: when the library has no checkpoint format for this backbone.
            MergeError: when an inserted module cannot be merged.
        """
        fitted = self._require_fitted("be exported")
        return export_merged(fitted, self.composition, self.recipe, Path(folder), check, overwrite=overwrite)

    def _require_fitted(self, action: str) -> FittedTask:
        if self.fitted is None:
            raise ModelError(f"This model is not fitted, so it cannot {action}. Call fit first, or load an artifact.")
        return self.fitted
