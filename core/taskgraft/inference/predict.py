"""Predicting with a fitted model: rows read, prepared and answered, each of them."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taskgraft.adaptation.fitted import FittedTask
from taskgraft.contract.config import parse_config
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.features import Features
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.recipe import Recipe, TrainingConfig
from taskgraft.contract.rows import FIX_ADVICE, InvalidRows, Rows
from taskgraft.data.batching import BatchBudget
from taskgraft.data.dataset import processed_inputs, report_notes
from taskgraft.data.reading import read_rows
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.forward import predict_batches
from taskgraft.errors import TaskgraftError
from taskgraft.progress import ProgressReporter
from taskgraft.training.fit import show_progress


def predict_rows(
    fitted: FittedTask,
    recipe: Recipe,
    data: Any,
    batch_size: int | None,
    reporter: ProgressReporter,
    notes: Counter[str] | None = None,
) -> Predictions:
    """Predict for all rows, in their order, and tell what happened to how many of them ("cut to 256 pieces").

    Args:
        data: as :func:`taskgraft.data.reading.read_rows` takes it, or a plain list of inputs when the backbone reads one.
        batch_size: rows computed at once; as in training if None.
        notes: counts what happened, for whoever predicts for many pieces of some data and tells it once.

    Raises:
        InvalidRows: naming rows that cannot be used; none is left out.
    """
    rows = read_inputs(recipe, data)
    report_notes(reporter, rows.notes, rows, "rows")
    if not len(rows):
        return Predictions([])
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        try:
            made = processed_inputs(fitted.task.backbone, rows, recipe, Path(folder))
        except InvalidRows as error:
            raise InvalidRows(error.rows, error.reasons, FIX_ADVICE) from None
        found = predict_batches(
            fitted.task,
            0,
            made.source,
            inference_budget(recipe, batch_size),
            show_progress(reporter),
            recipe.training.workers,
        )
    if notes is None:
        report_notes(reporter, made.notes, rows, "rows")
    else:
        notes.update(made.notes)
    if fitted.head.description.target == TargetKind.ELEMENT_CATEGORIES and made.elements is not None:
        return _completed(found, made.elements)
    return found


def reference_features(fitted: FittedTask, recipe: Recipe, data: Any) -> Callable[[], Features]:
    """Prepare the first rows of some data, as many as are computed at once in training.

    Returns:
        what computes their features with the weights of that moment.

    Raises:
        InvalidRows: naming rows that cannot be used.
        EmptyData: when there is none.
    """
    rows = read_inputs(recipe, data)
    rows = rows.take(range(min(len(rows), recipe.training.batch_size)))
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        source = processed_inputs(fitted.task.backbone, rows, recipe, Path(folder)).source
        batch = source.gather(range(len(rows))).to(fitted.task.device)

    def features() -> Features:
        with torch.no_grad():
            return fitted.task.features(0, batch)

    return features


def read_inputs(recipe: Recipe, data: Any) -> Rows:
    """Read rows, with the reader that the recipe names.

    Raises:
        OneInput, ListOfWhat: for what is no data.
        InvalidRows: naming rows that the reader refuses.
    """
    names = recipe.data.columns
    if isinstance(data, str) and len(names) == 1 and not _names_data(data):
        raise OneInput(data)
    if isinstance(data, Sequence) and not isinstance(data, str) and data and not isinstance(data[0], Mapping):
        if len(names) != 1:
            raise ListOfWhat(tuple(names))
        data = {next(iter(names.values())): list(data)}
    try:
        return read_rows(data, catalog(), "the data", reader=recipe.data.reader)
    except InvalidRows as error:
        raise InvalidRows(error.rows, error.reasons, FIX_ADVICE) from None


def inference_budget(recipe: Recipe, batch_size: int | None) -> BatchBudget:
    """Decide how much is computed at once.

    Raises:
        ConfigError: for a number of rows that is none.
    """
    wanted = recipe.training.batch_size if batch_size is None else batch_size
    checked = parse_config(TrainingConfig, {"batch_size": wanted}, "predicting")
    return BatchBudget(checked.batch_size, recipe.training.batch_elements)


def _completed(found: Predictions, elements: Sequence[int]) -> Predictions:
    """Give elements that were cut off the prediction None."""
    values = [[*value, *[None] * (count - len(value))] for value, count in zip(found.values, elements, strict=True)]
    return Predictions(values, found.probabilities, found.classes)


def _names_data(text: str) -> bool:
    """Say whether a text looks like the place of data, and not like an input itself."""
    return bool(Path(text).suffix) or os.path.exists(text) or catalog().has_scheme(text)


@dataclass(eq=False)
class OneInput(TaskgraftError):
    """A text to predict for where a path or a list is read."""

    text: str

    def __str__(self) -> str:
        return (
            f"{self.text!r:.60} is no file that can be read. To predict for one input, put it in a list: predict([…])."
        )


@dataclass(eq=False)
class ListOfWhat(TaskgraftError):
    """A plain list for a backbone that reads several inputs."""

    inputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"A plain list was given, but the model reads {', '.join(self.inputs)}. Give a list of dicts."
