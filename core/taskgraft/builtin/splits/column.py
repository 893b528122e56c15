"""Parts that a column names."""

from collections.abc import Mapping, Sequence

from taskgraft.builtin.splits.configs import ColumnConfig
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.errors import join_words

TEST = ("test", "testing")
"""Values of rows that are left for a later judgement."""


def by_column(rows: Rows, targets: Sequence[str], config: ColumnConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Divide rows by the values of a column.

    Raises:
        InvalidRows: naming rows whose value is that of no part.
    """
    names = {"train": config.train, "validation": config.validation, "test": TEST}
    part_of = {value: part for part, values in reversed(names.items()) for value in values}
    parts: dict[str, list[int]] = {part: [] for part in names}
    reasons = {}
    for row, value in enumerate(rows.values(config.column)):
        part = part_of.get(str(value))
        if part is None:
            reasons[row] = f"the column '{config.column}' is {value!r:.60}, none of {join_words(sorted(part_of))}"
        else:
            parts[part].append(row)
    if reasons:
        raise InvalidRows(rows, reasons, 'Mend these rows, or name the values with data.split = {name = "column", …}.')
    return parts
