"""Labelled rows as a recipe names them, made into examples; where it says so, without those that cannot be used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import PER_ELEMENT, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.recipe import Recipe
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.contract.targets import InvalidTargets, TargetDescription
from taskgraft.data.examples import AugmentedRows, EncodedDataset
from taskgraft.data.masking import ElementMasking, MaskedInputs, MaskedTargets
from taskgraft.data.preprocessing import ProcessedInputs, check_elements, preprocess
from taskgraft.errors import TaskgraftError
from taskgraft.progress import ProgressReporter

Found = TypeVar("Found")


def eval_dataset(
    head: Head[Any], target: TargetDescription, backbone: Backbone, rows: Rows, recipe: Recipe, folder: Path
) -> tuple[EncodedDataset, dict[str, int]]:
    """Prepare labelled rows, always the same. Where the head recovers what the backbone reads, they need no label.

    Returns:
        the examples, and what happened to how many rows.

    Raises:
        EmptyData, InvalidRows: as :func:`processed_inputs` and :func:`encode_targets` do.
    """
    examples, notes = train_dataset(head, target, backbone, rows, recipe, folder)
    return replace(examples, drawn=None), notes


def train_dataset(
    head: Head[Any], target: TargetDescription, backbone: Backbone, rows: Rows, recipe: Recipe, folder: Path
) -> tuple[EncodedDataset, dict[str, int]]:
    """Prepare labelled rows to learn from: they vary where the backbone's processor says so.

    Returns, raises: as :func:`eval_dataset`.
    """
    made, processor = processed_inputs(backbone, rows, recipe, folder), backbone.processor
    fresh = made.fresh if processor.augments else None
    if head.description.target == TargetKind.INPUTS:
        still = ElementMasking(made.source, processor, head.choose_masked, ask=head.choose_masked)
        drawn = replace(still, fresh=fresh, ask=head.choose_scored)
        return EncodedDataset(MaskedInputs(still), MaskedTargets(still), drawn), dict(made.notes)
    examples = EncodedDataset(made.source, encode_targets(head, target, rows, recipe, made))
    if fresh is not None:
        examples = replace(
            examples, drawn=AugmentedRows(fresh, examples.targets, partial(head.mix_targets, target=target))
        )
    return examples, dict(made.notes)


def processed_inputs(backbone: Backbone, rows: Rows, recipe: Recipe, folder: Path) -> ProcessedInputs:
    """Prepare the inputs that a recipe names.

    Raises:
        EmptyData, InvalidRows: when there is nothing to prepare, or something that cannot be.
    """
    if not len(rows):
        raise EmptyData(rows.source)
    settings = recipe.training
    return preprocess(rows, recipe.data.columns, backbone, folder, settings.memory, settings.workers)


def encode_targets(
    head: Head[Any], target: TargetDescription, rows: Rows, recipe: Recipe, made: ProcessedInputs
) -> Batch:
    """Encode the targets that a recipe names.

    Raises:
        InvalidRows: naming the rows whose target cannot be read, or has another number of entries than elements.
    """
    columns = target_columns(head, rows, recipe)
    try:
        found = head.encode(columns, target)
    except InvalidTargets as error:
        raise InvalidRows(rows, error.reasons) from None
    if head.description.target in PER_ELEMENT:
        check_elements(rows, made.elements, columns)
    return found


def target_columns(head: Head[Any], rows: Rows, recipe: Recipe) -> dict[str, list[Any]]:
    """Give the raw targets that a recipe names, by column. Of files, a relative path starts at the folder of the data."""
    columns = {column: rows.values(column) for column in recipe.data.target}
    if not head.description.files:
        return columns
    return {column: [*map(rows.resolve_path, values)] for column, values in columns.items()}


def dropping_invalid_rows(rows: Rows, recipe: Recipe, work: Callable[[Rows], Found]) -> tuple[Rows, Found]:
    """Do some work with rows; where the recipe says so, again without those that it refuses.

    Returns:
        the rows that were used, and what the work gave.

    Raises:
        InvalidRows: naming the rows that are refused, unless they are to be skipped.
    """
    while True:
        try:
            return rows, work(rows)
        except InvalidRows as error:
            if recipe.data.on_bad_row == "error" or len(error.reasons) == len(rows):
                raise
            rows = rows.drop(error.reasons)


def report_notes(reporter: ProgressReporter, notes: Mapping[str, int], rows: Rows, what: str) -> None:
    """Say what happened to how many rows.

    Args:
        rows: those that are left.
        what: what to call them ("training rows").
    """
    count = len(rows) + sum(rows.skipped.values())
    for note, some in notes.items():
        reporter.message(f"{note}: {some:,} of {count:,} {what}")


@dataclass(eq=False)
class EmptyData(TaskgraftError):
    """Data without a row."""

    source: str

    def __str__(self) -> str:
        return f"{self.source} has columns but no rows."
