"""Settings of the metric ``fraud``, known without NumPy."""

from pydantic import Field

from taskgraft.plugin import Config
from taskgraft_fraud.day_settings import Unit


class FraudMetricConfig(Config):
    """What a fraud team looks at: how well scores order the rows, and what its alerts catch and cost."""

    positive: str | bool | int | float | None = Field(
        default=None, description="the label of fraud; the second class if left out"
    )
    k: int = Field(
        default=100, ge=1, description="how many of the highest scores are looked at: rows, or cards per day"
    )
    customer: str | None = Field(default=None, description="column that says whose card a row is of")
    time: str | None = Field(default=None, description="column that says when; for cards per day")
    unit: Unit = Field(default="seconds", description="what numbers in the column of times count")
    amount: str | None = Field(default=None, description="column with what a fraud that is missed costs")
    review: float | None = Field(default=None, ge=0, description="price of an alert, in the unit of the amounts")
