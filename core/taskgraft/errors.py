"""The base class of all errors, and pieces of their messages. Each error class is defined next to the code that raises it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import wraps
from typing import Any
from unicodedata import category

LONGEST_MESSAGE, LONGEST_NAME = 10_000, 300
"""Characters of a message, and of a name in it: of what stands in quotation marks, or of a text without white space."""

_STEERING, _KEPT = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\n\t\u200c\u200d"
"""Unicode categories that are escaped, and the characters of them that are not."""

_LONG_NAME = re.compile(
    rf"(?:(?<=\s)|(?<=[(\[=])|^)'(?:[^'\n]|'(?=\w)){{{LONGEST_NAME - 2},}}'(?!\w)|\S{{{LONGEST_NAME},}}"
)


class TaskgraftError(Exception):
    """An error that the user can fix. The message says what is wrong, with which value, and what to do.

    Subclasses with facts are dataclasses whose ``__str__`` writes the sentence; the others take it as their only argument.
    However the sentence is written, ``str`` gives it as :func:`message_text` does.
    """

    def __str__(self) -> str:
        return message_text(super().__str__())

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if (write := vars(cls).get("__str__")) is not None:
            cls.__str__ = wraps(write)(lambda self: message_text(write(self)))  # type: ignore[method-assign]


class MachineError(TaskgraftError):
    """An error of the machine or its settings, not of the input: the same call may succeed later."""


class TaskgraftWarning(UserWarning):
    """A warning whose text may quote names from files; shown as the text of an error is."""

    def __str__(self) -> str:
        return message_text(super().__str__())


def error_reason(error: Exception) -> str:
    """Return why something failed, in a clause: for an OSError as the system says it ("No space left on device")."""
    return str(getattr(error, "strerror", None) or error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class, as a clause."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def closest_match(word: object, known: Iterable[object]) -> str | None:
    """Find the known word that the user most likely meant, or None when none is similar."""
    matches = get_close_matches(str(word)[:LONGEST_NAME], [str(one) for one in known], n=1, cutoff=0.6)
    return matches[0] if matches else None


def join_words(words: Iterable[object], limit: int = 12) -> str:
    """Join words with commas. Of a long list only the first ``limit`` are written, then how many more there are."""
    texts = [str(word) for word in words]
    if not texts:
        return "nothing"
    if len(texts) <= limit:
        return ", ".join(texts)
    return f"{', '.join(texts[:limit])} and {len(texts) - limit:,} more"


def printable(text: str) -> str:
    """Escape the characters of a text that a terminal obeys or cannot show, as JSON does: control codes, marks of direction,
    lone surrogates, line separators. Line ends, tabs, and the joiners that some scripts need, stay.
    """
    if text.isprintable():
        return text
    return "".join(
        escape(letter) if category(letter) in _STEERING and letter not in _KEPT else letter for letter in text
    )


def escape(letter: str) -> str:
    """Write a character by its number, as in JSON; one that needs two halves by both."""
    return "".join(f"\\u{half:04x}" for half in memoryview(letter.encode("utf-16-le", "surrogatepass")).cast("H"))


def shorten(text: str, most: int = 80) -> str:
    """Cut a long name for a message, in the middle."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def message_text(text: str) -> str:
    """Make a message fit to be shown, whatever it quotes: escaped, with long names cut in the middle."""
    if len(text) > LONGEST_NAME:
        text = _LONG_NAME.sub(lambda name: shorten(name[0], LONGEST_NAME), shorten(text, LONGEST_MESSAGE))
    return printable(text)
