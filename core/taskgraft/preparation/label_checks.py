"""Checks of the labels: classes with a single row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.labels import label_key, to_json_label
from taskgraft.errors import join_words


def label_warnings(
    kind: TargetKind, training: Mapping[str, Sequence[Any]], validation: Mapping[str, Sequence[Any]] | None
) -> tuple[str, ...]:
    """Check the labels of the training and the validation rows.

    Args:
        training, validation: target column → raw values, one per row; None without validation rows.
    """
    if kind != TargetKind.CATEGORY:
        return ()
    warnings = []
    for column, values in training.items():
        counts = Counter(label_key(to_json_label(value)) for value in values)
        if single := sorted(label for label, count in counts.items() if count == 1):
            warnings.append(
                f"The target column '{column}' has {len(single):,} of {len(counts):,} labels in a single training row: "
                f"{join_words(map(repr, single), 5)}. A class with one row is hardly learned, and its score says little."
            )
    return tuple(warnings)
