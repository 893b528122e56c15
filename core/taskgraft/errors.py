"""What every error of taskgraft has in common. Each error class stands beside the code that raises it."""

from collections.abc import Iterable
from difflib import get_close_matches


class TaskgraftError(Exception):
    """Something a person can mend: the message says what is wrong, with which value, and what to do.

    Subclasses are dataclasses. Their fields are the facts; ``__str__`` writes the sentence.
    """


def closest_match(word: object, known: Iterable[object]) -> str | None:
    """Find the known word that a person most likely meant, or None when nothing is near."""
    near = get_close_matches(str(word), [str(one) for one in known], n=1, cutoff=0.6)
    return near[0] if near else None


def join_words(words: Iterable[object], limit: int = 12) -> str:
    """Join words with commas; a long list is cut, and the cut is said."""
    texts = [str(word) for word in words]
    if not texts:
        return "nothing"
    if len(texts) <= limit:
        return ", ".join(texts)
    return f"{', '.join(texts[:limit])} and {len(texts) - limit:,} more"
