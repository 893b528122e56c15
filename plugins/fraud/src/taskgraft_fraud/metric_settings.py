"""Settings of the metric ``fraud``; importing them does not import NumPy."""

from pydantic import Field

from taskgraft.plugin import Config
from taskgraft_fraud.time_unit import TimeUnit


class FraudMetricConfig(Config):
    """Metrics of a fraud team: how well scores rank the rows, what the alerts catch, and what they cost."""

    positive: str | bool | int | float | None = Field(
        default=None, description="the label of fraud; by default the one that the head detects, or 1 of 0 and 1"
    )
    k: int = Field(default=100, ge=1, description="number of highest scores that are reviewed: rows, or cards per day")
    customer: str | None = Field(default=None, description="column of the customer whose card a row is")
    time: str | None = Field(default=None, description="column of times, for cards per day")
    unit: TimeUnit = Field(default="seconds", description="unit of times that are numbers")
    amount: str | None = Field(default=None, description="column with the cost of a missed fraud")
    review: float | None = Field(default=None, ge=0, description="cost of an alert, in the unit of the amounts")
