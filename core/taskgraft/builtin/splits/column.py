"""The split by a column that assigns each row to training, validation or test."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from taskgraft.contract.config import Config

if TYPE_CHECKING:
    from taskgraft.contract.rows import Rows


class ColumnConfig(Config):
    """Split by the values of a column. Test rows are left out."""

    positional = "column"

    column: str = Field(description="column that assigns each row to training, validation or test")
    train: tuple[str, ...] = Field(default=("train", "training"), description="values of training rows")
    validation: tuple[str, ...] = Field(
        default=("validation", "valid", "val", "dev"), description="values of validation rows"
    )


def by_column(rows: "Rows", targets: Sequence[str], config: ColumnConfig, seed: int) -> Mapping[str, Sequence[int]]:
    """Split rows as :func:`taskgraft.data.splitting.split_by_column` does."""
    from taskgraft.data.splitting import split_by_column

    return split_by_column(rows, config.column, config.train, config.validation)
