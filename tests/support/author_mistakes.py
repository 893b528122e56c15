"""Mistakes that authors make: each is the correct plugin of ``acme_strings`` with one error, and the message that reports it.

In messages, # stands for a number that depends on the weights, and … for the text of a torch error.
"""

from dataclasses import dataclass
from enum import StrEnum

from kit_laws import Check, message


class Catcher(StrEnum):
    """What catches a mistake: the catalog, or the checks of the conformance kit for a subject."""

    CATALOG = "catalog"
    USE = "catalog, when the name is used"
    BACKBONE = "backbone"
    HEAD = "head"
    STRATEGY = "strategy"
    READER = "reader"
    SPLIT = "split"
    PLUGIN = "plugin"


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        cause: the error of the author, in the words of the guide.
        module: the module that has the error.
        changes: correct text → wrong text.
        message: the whole message.
    """

    cause: str
    catcher: Catcher
    module: str
    changes: dict[str, str]
    message: str

    def __str__(self) -> str:
        return self.cause


IMPLEMENTATIONS = {
    Catcher.BACKBONE: "Strings",
    Catcher.HEAD: "Kinds",
    Catcher.STRATEGY: "LastPart",
    Catcher.READER: "reader 'pairs'",
    Catcher.SPLIT: "split 'tenth'",
}
"""The names of the plugin's implementations in messages of the kit."""


def violation(
    cause: str,
    catcher: Catcher,
    module: str,
    changes: dict[str, str],
    check: Check,
    found: str,
    advice: str | None = None,
    who: str = "",
) -> Mistake:
    """Describe a mistake that a check of the kit reports."""
    who = who or IMPLEMENTATIONS[catcher]
    return Mistake(cause, catcher, module, changes, message(check, who, found, advice))
