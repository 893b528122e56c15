"""The split that a column names."""

from collections.abc import Mapping, Sequence

from taskgraft.builtin.splits.configs import ColumnConfig
from taskgraft.contract.rows import Rows
from taskgraft.data.splitting import split_by_column


def by_column(rows: Rows, targets: Sequence[str], config: ColumnConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Divide rows by the values of a column; see :func:`taskgraft.data.splitting.split_by_column`."""
    return split_by_column(rows, config.column, config.train, config.validation)
