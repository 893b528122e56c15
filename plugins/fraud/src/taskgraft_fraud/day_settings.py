"""What a number that stands for a time counts."""

from typing import Literal

Unit = Literal["seconds", "days"]
