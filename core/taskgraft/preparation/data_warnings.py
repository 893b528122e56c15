"""Warnings about well-formed data that may mean something else: reported once, before training, with the setting to write."""

from typing import Any

from taskgraft.contract.descriptions import BackboneDescription, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.rows import Rows
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.column_matching import index_note
from taskgraft.data.dataset import target_columns
from taskgraft.discovery.catalog import catalog
from taskgraft.preparation.column_checks import column_warnings, constant_inputs
from taskgraft.preparation.label_checks import label_warnings
from taskgraft.reading.format_advice import unclear_points
from taskgraft.reading.splitting import split_columns
from taskgraft.recipe import DataConfig


def data_warnings(
    backbone: BackboneDescription,
    head: Head[Any],
    target: TargetDescription,
    data: DataConfig,
    training: Rows,
    validation: Rows | None,
) -> tuple[str, ...]:
    """Check the input columns and the labels of the rows that are trained and validated on.

    Args:
        backbone: what it reads decides which checks apply to the columns.
        data: with the input columns that the fit reads.
        training, validation: without invalid rows; None without validation.
    """
    numbers = data.target if head.description.target == TargetKind.NUMBERS else ()
    inputs = () if backbone.inputs else data.columns.values()
    return (
        *unclear_points(training, (*inputs, *numbers), data),
        *_column_warnings(backbone, head, data, training),
        *label_warnings(head, target, data, training, validation),
    )


def _column_warnings(
    backbone: BackboneDescription, head: Head[Any], data: DataConfig, training: Rows
) -> tuple[str, ...]:
    columns = list(data.columns.values())
    if backbone.inputs:
        return constant_inputs(training, columns)
    note = index_note(training, columns, (*data.target, *data.exclude, *split_columns(data, catalog())))
    targets = target_columns(head, training, data)
    return (*([note] if note else []), *column_warnings(training, columns, targets, head.description.target))
