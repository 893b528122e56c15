"""Invalid rows: readers, splits, heads and processors report them; this drops them, or raises."""

from collections.abc import Mapping
from typing import Literal

from taskgraft.contract.rows import FIX_OR_SKIP_ADVICE, InvalidRows, Rows

OnBadRow = Literal["error", "skip"]
"""The setting ``data.on_bad_row``."""


def drop_invalid(
    rows: Rows, reasons: Mapping[int, str], on_bad_row: OnBadRow, advice: str = FIX_OR_SKIP_ADVICE
) -> Rows:
    """Leave out invalid rows and count them in ``Rows.skipped``, or raise.

    Args:
        reasons: row → why it is invalid; empty when all are valid.
        on_bad_row: whether invalid rows are an error.
        advice: ends the message.

    Raises:
        InvalidRows: when invalid rows are an error, or no row would be left.
    """
    if not reasons:
        return rows
    if on_bad_row == "error" or len(reasons) == len(rows):
        raise InvalidRows(rows, reasons, advice)
    return rows.drop(reasons)
