"""Warnings about well-formed data that may mean something else: reported once, before training, with the setting to write."""

from typing import Any

from taskgraft.contract.head import Head
from taskgraft.contract.recipe import DataConfig
from taskgraft.contract.rows import Rows
from taskgraft.contract.targets import TargetDescription
from taskgraft.data.dataset import target_columns
from taskgraft.preparation.column_checks import column_warnings
from taskgraft.preparation.label_checks import label_warnings


def data_warnings(
    head: Head[Any], target: TargetDescription, data: DataConfig, training: Rows, validation: Rows | None
) -> tuple[str, ...]:
    """Check the input columns and the labels of the rows that are trained and validated on.

    Args:
        data: with the input columns that the fit reads.
        training, validation: without invalid rows; None without validation.
    """
    kind = head.description.target
    targets = target_columns(head, training, data)
    return (
        *column_warnings(training, list(data.columns.values()), targets, kind),
        *label_warnings(head, target, data, training, validation),
    )
