r"""The grammar of component names: ``[distribution/]name[:argument]``.

``hf-text:sentence-transformers/all-MiniLM-L6-v2`` is the name ``hf-text`` with an argument;
``taskgraft-text/hf-text:some/checkpoint`` also names the distribution. Only the text before the first colon is parsed as a
name, so an argument may contain slashes and colons (``hf-text:C:\models\bert``).
"""

import re
from dataclasses import dataclass

from taskgraft.errors import TaskgraftError

_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class ComponentName:
    """A parsed name. ``argument`` is None when there was no colon."""

    name: str
    distribution: str | None = None
    argument: str | None = None

    def __str__(self) -> str:
        qualified = f"{self.distribution}/{self.name}" if self.distribution else self.name
        return qualified if self.argument is None else f"{qualified}:{self.argument}"


class InvalidName(TaskgraftError):
    """A text that does not follow the grammar of names."""


def parse_name(text: str) -> ComponentName:
    """Parse a name. Raises InvalidName."""
    head, colon, argument = text.partition(":")
    distribution, slash, name = head.rpartition("/")
    if not is_name(name) or (slash and not is_distribution(distribution)):
        raise InvalidName(
            f"'{text}' is not a name. A name is written [distribution/]name[:argument], with lower-case letters, digits "
            "and single hyphens in the name: 'hf-text:some/checkpoint', 'taskgraft-text/hf-text:some/checkpoint'."
        )
    return ComponentName(name, distribution or None, argument if colon else None)


def is_name(value: object) -> bool:
    """Tell whether a value is a text that is valid as the name of a spec."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def is_distribution(text: str) -> bool:
    """Tell whether a text is valid as the name of a distribution (by the packaging specification)."""
    return _DISTRIBUTION.fullmatch(text) is not None


def normalize_distribution(distribution: str) -> str:
    """Return the canonical spelling of a distribution's name (by the packaging specification)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
