"""Settings of the splits, known without Arrow."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from taskgraft.plugin import Config
from taskgraft_fraud.day_settings import Unit


class TimeSplitConfig(Config):
    """Judge by the last days, and learn from days before them whose labels were there by then."""

    positional: ClassVar[str | None] = "column"

    column: str = Field(description="says when a row happened")
    unit: Unit = Field(default="seconds", description="what numbers in that column count")
    validation: int | None = Field(
        default=None, ge=1, description="days at the end that are judged by; needed without part"
    )
    delay: int = Field(
        default=0, ge=0, description="days until a label is known; the days before the validation are left out"
    )
    known: str | None = Field(
        default=None, description="column of customers; those whose fraud was known by the day are not judged by"
    )
    positive: str = Field(default="1", description="the label of fraud, for known")
    part: str | None = Field(
        default=None, description="column that says train or validation already; it is checked, then kept"
    )
    apart: str | None = Field(default=None, description="column of customers who must not stand on both sides")

    @model_validator(mode="after")
    def _one_division(self) -> Self:
        if (self.part is None) == (self.validation is None):
            raise ValueError(
                "give either 'validation', how many days are held out, or 'part', a column that says it already"
            )
        if self.part is not None and self.known is not None:
            raise ValueError("'known' leaves rows out, but 'part' says already which they are; give one of them")
        return self


class CustomerSplitConfig(Config):
    """Judge by customers from whom nothing was learned."""

    positional: ClassVar[str | None] = "column"

    column: str = Field(description="says whose a row is; a row without customer stands alone")
    fraction: float | None = Field(
        default=None, gt=0, lt=1, description="share of customers held out, drawn by the seed; needed without part"
    )
    part: str | None = Field(
        default=None, description="column that says train or validation already; it is checked, then kept"
    )

    @model_validator(mode="after")
    def _one_division(self) -> Self:
        if (self.part is None) == (self.fraction is None):
            raise ValueError(
                "give either 'fraction', a share of the customers, or 'part', a column that says it already"
            )
        return self
