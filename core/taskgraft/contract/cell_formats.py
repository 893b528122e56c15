"""What cells of tables that are texts mean."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from taskgraft.contract.config import Config


def one_or_more(value: Any) -> Any:
    """Accept a single name for a list of one."""
    return (value,) if isinstance(value, str) else value


class CellFormats(Config):
    """What cells that are texts mean: numbers, dates, and marks of empty cells."""

    missing: tuple[str, ...] = Field(default=(), description='texts that stand for an empty cell: ["NA", "?"]')
    decimal: Literal[".", ","] = Field(default=".", description="decimal mark of numbers that are texts")
    thousands: Literal[".", ",", " ", "'"] | None = Field(default=None, description="mark between thousands")
    units: tuple[str, ...] = Field(default=(), description='signs beside numbers, which are dropped: ["€", "%"]')
    dates: Literal["iso", "day-first", "month-first"] = Field(
        default="iso",
        description="order of day and month in dates that are texts: 2026-11-30, 30.11.2026 or 11/30/2026",
    )

    _one_text = field_validator("missing", "units", mode="before")(one_or_more)

    @model_validator(mode="after")
    def _check_formats(self) -> Self:
        if self.decimal == self.thousands:
            other = "," if self.decimal == "." else "."
            raise ValueError(
                f"decimal and thousands are both '{self.decimal}'; with this thousands, decimal = \"{other}\""
            )
        if wrong := [unit for unit in self.units if not unit.strip() or set(unit) & set("0123456789+-.,")]:
            raise ValueError(f"units has {wrong[0]!r}; a unit is a sign or letters, such as '€' or 'EUR'")
        return self
