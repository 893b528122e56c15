"""Raw values by column, as in a table."""

from collections.abc import Mapping, Sequence
from typing import Any

Columns = Mapping[str, Sequence[Any]]
"""Input role or column → raw values, one per row."""

ElementCounts = Sequence[int] | None
"""The number of elements of each row, where the target has a label per element or per pair of elements; else None."""
