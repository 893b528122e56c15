"""The base class of all errors, and pieces of their messages. Each error class is defined next to the code that raises it."""

from collections.abc import Iterable
from difflib import get_close_matches


class TaskgraftError(Exception):
    """An error that the user can fix. The message says what is wrong, with which value, and what to do.

    Subclasses with facts are dataclasses whose ``__str__`` writes the sentence; the others take it as their only argument.
    """


def closest_match(word: object, known: Iterable[object]) -> str | None:
    """Find the known word that the user most likely meant, or None when none is similar."""
    matches = get_close_matches(str(word), [str(one) for one in known], n=1, cutoff=0.6)
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
    """Escape the characters of a text that a terminal would obey or cannot show: control codes, half surrogate pairs."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text)


def shorten(text: str, most: int = 80) -> str:
    """Cut a long name for a message, in the middle."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
