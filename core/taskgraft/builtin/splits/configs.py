"""Settings of the built-in splits, known without Arrow."""

from pydantic import Field

from taskgraft.contract.config import Config


class FractionConfig(Config):
    """Hold out a share of the rows, drawn by the seed of the training."""

    positional = "validation"

    validation: float = Field(gt=0, lt=1, description="share of the rows that is held out")


class ColumnConfig(Config):
    """Take the parts from a column. Rows of other parts, such as a test part, are left out."""

    positional = "column"

    column: str = Field(description="says of each row to which part it belongs")
    train: tuple[str, ...] = Field(default=("train", "training"), description="values of rows to learn from")
    validation: tuple[str, ...] = Field(
        default=("validation", "valid", "val", "dev"), description="values of rows to choose and judge by"
    )
