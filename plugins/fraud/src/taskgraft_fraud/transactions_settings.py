"""Settings of the reader ``transactions``; importing them does not import Arrow."""

from datetime import date
from typing import Any, Self

from pydantic import Field, model_validator

from taskgraft.plugin import CellFormats, Config


class TransactionsConfig(Config):
    """Columns of raw transactions, and the time windows over which those of a customer or a terminal are aggregated.

    For each window a row gets ``CUSTOMER_count_7d`` and ``CUSTOMER_mean_7d``, ``TERMINAL_count_7d`` and ``TERMINAL_risk_7d``,
    with the names of those columns.
    """

    time: str = Field(description="column of the time: a timestamp, an ISO text, or a number of seconds")
    customer: str | None = Field(default=None, description="column of the customer; null: no customer windows")
    terminal: str | None = Field(default=None, description="column of the terminal; null: no terminal windows")
    amount: str | None = Field(default=None, description="column of the amount; required with 'customer'")
    label: str | None = Field(default=None, description="column of the fraud label; required with 'terminal'")
    positive: str | int = Field(default=1, description="the label of fraud")
    delay: int | None = Field(
        default=None, ge=1, le=3650, description="days until a label is known; required with 'terminal'"
    )
    windows: tuple[int, ...] = Field(
        default=(1, 7, 30), min_length=1, description="window lengths in days, from 1 to 3,650"
    )
    calendar: bool = Field(default=False, description="also add 'weekend', and 'night' (0:00 to 6:59)")
    since: date = Field(default=date(1970, 1, 1), description="the day on which second 0 falls, if times are seconds")
    reader: str | dict[str, Any] | None = Field(
        default=None, description="reader of the files themselves; chosen by their suffix by default"
    )

    formats: CellFormats = Field(
        default=CellFormats(), description="what cells that are texts mean; by default as the settings of the data say"
    )

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        if self.customer is None and self.terminal is None:
            raise ValueError("set 'customer', 'terminal', or both to the names of their columns")
        required = {"amount": self.customer, "label": self.terminal, "delay": self.terminal}
        for setting, column in required.items():
            if column is not None and getattr(self, setting) is None:
                raise ValueError(f"the windows of '{column}' require '{setting}'")
        if len(set(self.windows)) < len(self.windows) or not all(1 <= days <= 3650 for days in self.windows):
            raise ValueError("windows must be different numbers of days, from 1 to 3,650")
        return self
