"""The unit of a time that is given as a number."""

from typing import Literal

TimeUnit = Literal["seconds", "days"]
