"""Raw values by name, as a table holds them."""

from collections.abc import Mapping, Sequence
from typing import Any

Columns = Mapping[str, Sequence[Any]]
"""Raw values by name (an input role, a column), each with one entry per row."""

ElementCounts = Sequence[int] | None
"""How many elements each row has, where the target has a label per element, or per pair of them; else None."""
