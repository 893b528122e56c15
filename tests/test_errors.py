import json
import warnings
from dataclasses import dataclass

import pytest

from taskgraft.errors import (
    LONGEST_MESSAGE,
    LONGEST_NAME,
    TaskgraftError,
    TaskgraftWarning,
    closest_match,
    message_text,
    printable,
)

HOSTILE = {
    "escape": ("\x1b[31mred", "\\u001b[31mred"),
    "bell, backspace, delete": ("\a\b\x7f", "\\u0007\\u0008\\u007f"),
    "carriage return": ("good\rbad", "good\\u000dbad"),
    "one byte control": ("\x9b31m", "\\u009b31m"),
    "right to left override": ("\u202egnp.exe", "\\u202egnp.exe"),
    "isolates": ("\u2066a\u2069", "\\u2066a\\u2069"),
    "marks": ("\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"),
    "a lone surrogate": ("\ud83d", "\\ud83d"),
    "a byte that is no UTF-8": (b"\xff".decode(errors="surrogateescape"), "\\udcff"),
    "line separators": ("a\u2028b\u2029c\x85", "a\\u2028b\\u2029c\\u0085"),
    "tags": ("\U000e0041", "\\udb40\\udc41"),
    "zero width": ("\ufeff\u200b\u00ad", "\\ufeff\\u200b\\u00ad"),
}
"""What is quoted, and what is shown."""

HONEST = (
    "🩷 and other letters newer than this Python: \U0001fae9, or private: \ue000",
    "plain",
    "Größe × 2 – „süß“",
    "日本語",
    "می\u200cخواهم",
    "👩\u200d🔬",
    "a\u00a0b",
    "\u3000",
    "two\nlines\tand a tab",
    "é",
)


@dataclass(eq=False)
class Quoting(TaskgraftError):
    name: str

    def __str__(self):
        return f"There is no column '{self.name}'."


class Named(Quoting):
    """Inherits how it is written."""


class Plain(TaskgraftError):
    pass


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_message_quotes_cannot_steer_the_terminal(case):
    text, shown = HOSTILE[case]
    assert printable(text) == shown
    assert str(Quoting(text)) == str(Named(text)) == f"There is no column '{shown}'."
    assert str(Plain(f"Not '{text}'.")) == f"Not '{shown}'."
    assert str(TaskgraftWarning(text)) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize("text", HONEST)
def test_the_scripts_of_the_world_are_shown_as_they_are(text):
    assert printable(text) == text
    assert str(Quoting(text)) == f"There is no column '{text}'."


def test_escaping_twice_changes_nothing():
    once = printable("".join(text for text, _ in HOSTILE.values()))
    assert printable(once) == once


def test_escaped_json_is_the_same_json():
    value = {text: [text, "\\" + text] for text, _ in HOSTILE.values()}
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value


def test_a_warning_is_formatted_with_its_names_escaped():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("'\x1b[2J' is ignored", TaskgraftWarning, stacklevel=1)
    assert "\x1b" not in warnings.formatwarning(caught[0].message, caught[0].category, "file.py", 1)


def test_a_long_name_is_cut_in_the_middle():
    half = (LONGEST_NAME - 1) // 2
    assert str(Quoting("x" * 100_000)).startswith("There is no column 'xxx")
    assert len(str(Quoting("x" * 100_000))) < LONGEST_NAME + 40
    assert len(str(Quoting("a word and " * 10_000))) < LONGEST_NAME + 40
    assert message_text(f"/{'folder/' * 100}file.csv: no such file.") == (
        f"/{'folder/' * 100}file.csv:"[:half] + "…" + f"/{'folder/' * 100}file.csv:"[-half:] + " no such file."
    )


def test_prose_between_two_names_is_not_cut():
    prose = "is a sentence that doesn't end " * 30
    for text in (f"'a' {prose} 'b'.", f"'f(x)' {prose} 'g(x)'.", f"the model's {prose} 'b'.", f"rows' {prose}"):
        assert message_text(text) == text


def test_a_message_has_an_end():
    text = message_text(" ".join(["word"] * 100_000))
    assert len(text) <= LONGEST_MESSAGE


def test_a_long_word_is_compared_in_no_time():
    assert closest_match("labels" * 100_000, ["label", "text"]) is None
    assert closest_match("lable", ["label", "text"]) == "label"
