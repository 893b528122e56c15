"""Results of the rows of some data, where invalid rows may have none."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from taskgraft.contract.predictions import Predictions
from taskgraft.errors import join_words
from taskgraft.inference.errors import InferenceError

OnInvalidRow = Literal["error", "skip", "null"]
"""What a prediction does with invalid rows: list all of them and stop, leave them out, or give them no result and a reason."""

PREDICTION_ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)
"""Ends the message on invalid rows of a prediction."""

_CHOICES = ("error", "skip", "null")

_REASONS = 5  # reasons that are reported separately


class RowResults(list[Any]):
    """One result per row, a list.

    Attributes:
        rows: the row in the data that each result is for, from 0.
        reasons: row → why it is invalid. Its result is None (``on_bad_row="null"``), or it has none (``"skip"``).
    """

    def __init__(self, results: Iterable[Any], rows: Sequence[int], reasons: Mapping[int, str]):
        super().__init__(results)
        self.rows, self.reasons = rows, reasons

    @classmethod
    def arrange(
        cls, results: Sequence[Any], count: int, reasons: Mapping[int, str], on_bad_row: OnInvalidRow
    ) -> "RowResults":
        """Arrange the results of the valid rows, among ``count`` rows."""
        valid = [row for row in range(count) if row not in reasons]
        if on_bad_row != "null":
            return cls(results, valid, reasons)
        by_row = dict(zip(valid, results, strict=True))
        return cls([by_row.get(row) for row in range(count)], range(count), reasons)


def check_choice(on_bad_row: str) -> OnInvalidRow:
    """Return what to do with invalid rows. Raises InferenceError for anything else than the three choices."""
    if on_bad_row not in _CHOICES:
        raise InferenceError(f"on_bad_row is {on_bad_row!r:.40}. Choose {join_words(map(repr, _CHOICES))}.")
    return cast(OnInvalidRow, on_bad_row)


def invalid_row_notes(reasons: Mapping[int, str], on_bad_row: OnInvalidRow) -> dict[str, int]:
    """Count the rows without a result by reason, for messages; rare reasons are counted together."""
    action = "skipped" if on_bad_row == "skip" else "without a prediction"
    counted = Counter(reason for _, reason in sorted(reasons.items())).most_common()
    notes = {f"{action}, since {reason}": count for reason, count in counted[:_REASONS]}
    if others := sum(count for _, count in counted[_REASONS:]):
        notes[f"{action} for other reasons"] = others
    return notes


def pad_truncated(predictions: Predictions, elements: Sequence[int]) -> Predictions:
    """Predict None for elements that preprocessing cut off."""
    rows = zip(predictions.values, elements, strict=True)
    values = [[*value, *[None] * (count - len(value))] for value, count in rows]
    return replace(predictions, values=values)
