"""Settings of the built-in metrics. Imports no numpy."""

from pydantic import Field

from taskgraft.contract.config import Config


class ClassificationMetricConfig(Config):
    """One label per row."""

    positive: str | bool | int | float | None = Field(
        default=None,
        description="of two classes, the one that auroc and average_precision are about; by default the one that the head "
        "detects, else the second",
    )
