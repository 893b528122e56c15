import itertools
import unicodedata

import pytest

from taskgraft.labels import build_vocabulary, label_key, tidy_label

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ENGLAND, SCOTLAND = (
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in code) + "\U000e007f" for code in ("gbeng", "gbsct")
)


@pytest.mark.parametrize(
    "spelling",
    [
        "caf\u00e9 au lait",
        " caf\u00e9 au lait ",
        "caf\u00e9\u00a0au  lait",
        "caf\u00e9\tau\nlait",
        unicodedata.normalize("NFD", "caf\u00e9 au lait"),
        "\ufeffcaf\u00e9 au lait",
        "ca\u00adf\u00e9 au\u200b lait\u2060",
    ],
)
def test_white_space_unicode_form_and_invisible_characters_do_not_distinguish_labels(spelling):
    assert label_key(spelling) == "caf\u00e9 au lait"
    assert tidy_label(spelling) == "caf\u00e9 au lait"


@pytest.mark.parametrize(("one", "other"), [("Billing", "billing"), ("\u2460", "1"), ("a b", "ab"), ("07", "7")])
def test_case_compatible_forms_and_zeros_distinguish_labels(one, other):
    assert label_key(one) != label_key(other)


def test_flags_that_differ_in_invisible_tags_are_two_labels():
    assert label_key(ENGLAND) != label_key(SCOTLAND)


@pytest.mark.parametrize(
    "text",
    [FAMILY, "\u2764\ufe0f", "1\ufe0f\u20e3", "\u0645\u06cc\u200c\u0631\u0648\u062f", "\u0d28\u0d4d\u200d\u0d2e"],
)
def test_characters_that_shape_emoji_and_letters_stay(text):
    assert tidy_label(f" {text}\u200b") == text


@pytest.mark.parametrize("text", ["a\u200db", "\u200da\u200cb\u200d", "e\u200d\u0301"])
def test_joiners_between_other_letters_are_invisible(text):
    assert tidy_label(text) == unicodedata.normalize("NFC", text.replace("\u200d", "").replace("\u200c", ""))


@pytest.mark.parametrize("labels", [(7, "7"), (7.0, 7), (7.0, "7")])
def test_a_number_and_its_text_are_one_label(labels):
    assert len({label_key(label) for label in labels}) == 1


@pytest.mark.parametrize(
    ("labels", "vocabulary"),
    [
        (["b ", "a", "b", "\u200bb"], ("a", "b")),
        ([2.0, 1, 1.0, 2], (1, 2)),
        ([1, "b", "1"], ("1", "b")),
        (["\u00e9 ", "e\u0301", "x", "e"], ("e", "x", "\u00e9")),
        ([True, False, True], (False, True)),
    ],
)
def test_the_vocabulary_does_not_depend_on_the_order_of_the_labels(labels, vocabulary):
    for order in itertools.permutations(labels):
        built = build_vocabulary(order, "label")
        assert built == vocabulary
        assert [*map(type, built)] == [*map(type, vocabulary)]
