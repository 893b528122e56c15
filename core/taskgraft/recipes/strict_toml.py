"""TOML within limits: Python's parser takes memory and time that grow with the square of the steps of a key."""

import re
import tomllib
from typing import Any

from taskgraft.files.json_text import MAX_DEPTH, check_depth, finite_float, number_problem
from taskgraft.recipes.strict_yaml import InvalidDocument, TooLarge

_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}""")
"""A dotted key of more than ``MAX_DEPTH`` steps; also in a text, where it would be odd."""


def read_toml(text: str) -> dict[str, Any]:
    """Parse a document.

    Raises:
        InvalidDocument: for invalid TOML.
        TooLarge: for a key or value nested deeper than ``MAX_DEPTH``, a whole number of more than 4,300 digits, and a number
            beyond the range of floats.
    """
    if long := _LONG_KEY.search(text):
        problem = f"a key has more than {MAX_DEPTH} steps."
        raise TooLarge(problem, text.count("\n", 0, long.start()) + 1)
    try:
        document = tomllib.loads(text, parse_float=finite_float)
        check_depth(document)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        if match is None:
            raise InvalidDocument(sentence(str(error))) from None
        if match[2] is None:
            raise InvalidDocument(sentence(f"{match[1]} at the end of the file"), text.count("\n") + 1) from None
        raise InvalidDocument(sentence(match[1]), int(match[2]), int(match[3])) from None
    except RecursionError:
        raise TooLarge(f"it is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:  # of check_depth, finite_float or int()
        raise TooLarge(f"{number_problem(error)}.") from None
    return document


def sentence(problem: str) -> str:
    """Write a parser's message as this package writes them."""
    return f"{problem[:1].lower()}{problem[1:].rstrip('.')}."
