"""Settings of the splits; importing them does not import Arrow."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config
from taskgraft_fraud.time_unit import TimeUnit


class TimeSplitConfig(Config):
    """Validate on the last days; train on earlier days whose labels were known by then."""

    positional: ClassVar[str | None] = "column"

    column: str = Field(description="column of the time of a row")
    unit: TimeUnit = Field(default="seconds", description="unit of times that are numbers")
    validation: int | None = Field(
        default=None, ge=1, description="days at the end that are held out for validation; required without 'part'"
    )
    delay: int = Field(
        default=0, ge=0, description="days until a label is known; that many days before the validation are left out"
    )
    known: str | None = Field(
        default=None, description="column of customers; those with a known fraud by that day are left out of validation"
    )
    positive: str = Field(default="1", description="the label of fraud, for 'known'; the default must be rare")
    part: str | None = Field(
        default=None, description="column that already says train or validation; it is checked, then used"
    )
    apart: str | None = Field(default=None, description="column of customers who must not be in both parts")

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.part is None) == (self.validation is None):
            raise ValueError(
                "set either 'validation', the number of days to hold out, or 'part', a column that names the part"
            )
        if self.part is not None and self.known is not None:
            raise ValueError(
                "'known' leaves out rows, but 'part' already names the part of each row; set only one of them"
            )
        return self


class CustomerSplitConfig(Config):
    """Validate on customers that are not in the training rows."""

    positional: ClassVar[str | None] = "column"

    column: str = Field(description="column of customers; a row without customer counts as one of its own")
    fraction: float | None = Field(
        default=None, gt=0, lt=1, description="share of customers held out, chosen by the seed; required without 'part'"
    )
    part: str | None = Field(
        default=None, description="column that already says train or validation; it is checked, then used"
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.part is None) == (self.fraction is None):
            raise ValueError("set either 'fraction', a share of the customers, or 'part', a column that names the part")
        return self
