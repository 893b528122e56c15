"""Labels found among the known ones, as different sources and settings write them. Imports no torch."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from taskgraft.errors import join_words
from taskgraft.labels import Label, label_key, to_json_label

_SHAPING = re.compile("[\u034f\u200c\u200d\ufe00-\ufe0f]")
"""Invisible characters that shape their neighbours, so that they are kept in labels: joiners and variation selectors."""


def match_label(label: object, known: Sequence[Label]) -> int | None:
    """Find a label of any type among the known ones: 1, "1", "1.0" and, of two labels, True are one; None without a match."""
    wanted = label_key(to_json_label(label))
    for form in (str, plain_form, *((_as_number,) if len(known) == 2 else ())):
        matches = [index for index, one in enumerate(known) if form(label_key(one)) == form(wanted)]
        if len(matches) == 1:
            return matches[0]
    return None


def find_label(label: Any, numbers: Mapping[str, int], known: Sequence[Label]) -> int | str:
    """Return the index of a label, or the reason why it has none."""
    value = to_json_label(label)
    index = numbers.get(label_key(value))
    index = match_label(value, known) if index is None else index
    return unseen_label_message(value, known) if index is None else index


def unseen_label_message(label: object, vocabulary: Sequence[object]) -> str:
    """Return the reason for a label that is not in the vocabulary, with the setting that maps it to one that looks alike."""
    reason = (
        f"the label {label!r} does not occur in the training split, which has {join_words(map(repr, vocabulary), 6)}"
    )
    form = alike_form(str(label))
    alike = [one for one in vocabulary if isinstance(one, str) and alike_form(one) == form]
    return (
        f'{reason}; to read it as {alike[0]!r}, fit with data.labels = {{"{label}" = "{alike[0]}"}}'
        if alike
        else reason
    )


def alike_form(key: str) -> str:
    """Return the common form of labels that look alike: but for case, compatible characters, and the end of a whole number."""
    return unicodedata.normalize("NFKC", _SHAPING.sub("", plain_form(key))).casefold()


def plain_form(key: str) -> str:
    """Return the common form of truth values and whole numbers, as different sources write them."""
    lower = key.lower()
    return lower if lower in ("true", "false") else re.sub(r"^([+-]?\d+)\.0+$", r"\1", key)


def _as_number(key: str) -> str:
    plain = plain_form(key)
    return {"true": "1", "false": "0"}.get(plain, plain)
