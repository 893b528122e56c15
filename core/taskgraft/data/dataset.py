"""Data sets for training and evaluation, from the rows and columns that a recipe names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.rows import Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.augmentation import Augmentation, UserAugmentation
from taskgraft.data.examples import AugmentedRows, EncodedDataset
from taskgraft.data.label_reading import LabelReader
from taskgraft.data.masking import ElementMasking, FixedMaskRows
from taskgraft.data.preprocessing import ProcessedInputs, label_count_mismatches, preprocess
from taskgraft.progress import ProgressReporter
from taskgraft.reading.errors import DataError
from taskgraft.recipe import DataConfig, Recipe


@dataclass(frozen=True)
class LabelledDataset:
    """Rows without invalid ones, their data set, and what happened to how many rows ("cut to 256 pieces" → 12)."""

    rows: Rows
    dataset: EncodedDataset
    notes: Mapping[str, int]


def process_inputs(backbone: Backbone, rows: Rows, recipe: Recipe, folder: Path) -> ProcessedInputs:
    """Process the inputs that a recipe names. Invalid rows are reported in the result; no rows at all are a DataError."""
    check_not_empty(rows)
    settings = recipe.training
    return preprocess(rows, recipe.data.columns, backbone, folder, settings.memory, settings.workers)


def train_dataset(
    head: Head[Any],
    target: TargetDescription,
    inputs: ProcessedInputs,
    data: DataConfig,
    augmentation: Augmentation | None = None,
) -> tuple[ProcessedInputs, EncodedDataset]:
    """Make the training data set: that of :func:`encoded_dataset`, augmented by a function and where the processor augments.

    Returns, raises: as that.
    """
    inputs, dataset = encode_dataset(head, target, inputs, data)
    elements = inputs.elements if head.description.target in PER_ELEMENT else None
    own = None if augmentation is None else UserAugmentation(augmentation, elements)
    augmented = inputs.on_the_fly.augmented_by(own)
    if head.description.target == TargetKind.INPUTS:
        masking = replace(_fixed_masking(head, inputs), choose_scored=head.choose_scored, augmented=augmented)
        return inputs, replace(dataset, augmenter=masking)
    if augmented is not None:
        mix_targets = partial(head.mix_targets, target=target)
        dataset = replace(dataset, augmenter=AugmentedRows(augmented, dataset.targets, mix_targets))
    return inputs, dataset


def encode_dataset(
    head: Head[Any], target: TargetDescription, inputs: ProcessedInputs, data: DataConfig
) -> tuple[ProcessedInputs, EncodedDataset]:
    """Encode the targets of processed rows; a head that recovers its inputs has no target column.

    Args:
        inputs: without rows that the processor found invalid.

    Returns:
        the inputs without rows whose target is invalid, and the data set of the rest.

    Raises:
        InvalidRows: naming the rows whose target cannot be read, or whose labels do not match their elements in number,
            unless the recipe says to skip them.
    """
    if head.description.target == TargetKind.INPUTS:
        masked = FixedMaskRows(_fixed_masking(head, inputs))
        return inputs, EncodedDataset(inputs=masked, targets=masked)
    while True:
        targets, invalid = _encode(head, target, inputs, data)
        if targets is not None:
            return inputs, EncodedDataset(inputs.source, targets)
        inputs = inputs.drop(invalid, data.on_bad_row)


def eval_dataset(
    head: Head[Any], target: TargetDescription, backbone: Backbone, rows: Rows, recipe: Recipe, folder: Path
) -> LabelledDataset:
    """Make a data set for evaluation: process the inputs of some rows, and encode their targets.

    Raises:
        DataError, InvalidRows: as :func:`process_inputs` and :func:`encode_dataset` do.
    """
    inputs = process_inputs(backbone, rows, recipe, folder)
    inputs, dataset = encode_dataset(head, target, inputs.drop(inputs.invalid, recipe.data.on_bad_row), recipe.data)
    return LabelledDataset(inputs.rows, dataset, inputs.all_notes)


def target_columns(head: Head[Any], rows: Rows, data: DataConfig) -> dict[str, list[Any]]:
    """Return the raw targets by column, the labels among them as :class:`LabelReader` reads them.

    If they are paths of files, a relative path starts at the folder of the data.

    Raises:
        InvalidTargets: naming rows with a text that looks like a list of labels, but cannot be read as one.
        DataError: for an ambiguous mapping of labels.
    """
    reader = LabelReader.of(head.description, data)
    columns = {column: rows.values(column) for column in data.target}
    if head.description.files:
        return {column: [*map(rows.resolve_path, values)] for column, values in columns.items()}
    return columns if reader is None else {column: reader.read(column, values) for column, values in columns.items()}


def check_not_empty(rows: Rows) -> None:
    """Raise DataError for data without a row."""
    if not len(rows):
        raise DataError(f"{rows.source} has columns but no rows.")


def report_notes(reporter: ProgressReporter, notes: Mapping[str, int], rows: Rows, what: str) -> None:
    """Print what happened to how many rows; ``what`` is what to call them ("training rows")."""
    count = len(rows) + sum(rows.skipped.values())
    for note, some in notes.items():
        reporter.message(f"{note}: {some:,} of {count:,} {what}")


def _encode(
    head: Head[Any], target: TargetDescription, inputs: ProcessedInputs, data: DataConfig
) -> tuple[Batch | None, Mapping[int, str]]:
    """Encode targets; return them, or why rows are invalid."""
    try:
        columns = target_columns(head, inputs.rows, data)
        targets = head.encode(columns, target)
    except InvalidTargets as error:
        return None, error.reasons
    invalid = label_count_mismatches(inputs.elements, columns) if head.description.target in PER_ELEMENT else {}
    return (None if invalid else targets), invalid


def _fixed_masking(head: Head[Any], inputs: ProcessedInputs) -> ElementMasking:
    return ElementMasking(inputs.source, inputs.on_the_fly.processor, head.choose_masked, head.choose_masked)
