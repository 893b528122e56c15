"""Settings of the reader of transactions, known without Arrow."""

from datetime import date
from typing import Any, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config


class TransactionsConfig(Config):
    """Columns of raw transactions, and the windows of time in which those of one customer and one terminal are summed up.

    A row gets ``CUSTOMER_count_7d`` and ``CUSTOMER_mean_7d``, ``TERMINAL_count_7d`` and ``TERMINAL_risk_7d`` for each of the
    windows, under the names of those columns.
    """

    time: str = Field(description="column of the moment: a timestamp, an ISO text, or a number of seconds")
    customer: str | None = Field(default=None, description="column of the customer; none: no windows of customers")
    terminal: str | None = Field(default=None, description="column of the terminal; none: no windows of terminals")
    amount: str | None = Field(default=None, description="column of the amount; needed with 'customer'")
    label: str | None = Field(default=None, description="column that says what was fraud; needed with 'terminal'")
    positive: str | int = Field(default=1, description="the label of a fraud")
    delay: int | None = Field(
        default=None, ge=1, le=3650, description="days until a label is known; needed with 'terminal'"
    )
    windows: tuple[int, ...] = Field(default=(1, 7, 30), min_length=1, description="lengths in days, from 1 to 3,650")
    calendar: bool = Field(default=False, description="whether to add 'weekend', and 'night' (from 0:00 to 6:59)")
    since: date = Field(
        default=date(1970, 1, 1), description="the day that begins at second 0, where times are seconds"
    )
    reader: str | dict[str, Any] | None = Field(
        default=None, description="what reads the files themselves; found by their suffix if left out"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.customer is None and self.terminal is None:
            raise ValueError("name the column of the 'customer', that of the 'terminal', or both")
        needed = {"amount": self.customer, "label": self.terminal, "delay": self.terminal}
        for setting, whose in needed.items():
            if whose is not None and getattr(self, setting) is None:
                raise ValueError(f"the windows of '{whose}' need '{setting}'")
        if len(set(self.windows)) < len(self.windows) or not all(1 <= days <= 3650 for days in self.windows):
            raise ValueError("windows are different numbers of days, from 1 to 3,650")
        return self
