import itertools
import unicodedata

import pytest

from taskgraft.contract.labels import build_vocabulary, label_key, tidy_label

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


def test_joiners_are_shown_but_do_not_distinguish_labels():
    assert tidy_label(FAMILY) == FAMILY
    assert label_key(FAMILY) == label_key(FAMILY.replace("\u200d", ""))


@pytest.mark.parametrize("labels", [(7, "7"), (7.0, 7), (7.0, "7")])
def test_a_number_and_its_text_are_one_label(labels):
    assert len({label_key(label) for label in labels}) == 1


@pytest.mark.parametrize(
    ("labels", "vocabulary"),
    [
        (["b ", "a", "b", "\u200bb"], ("a", "b")),
        ([2.0, 1, 1.0, 2], (1, 2)),
        ([1, "b", "1"], ("1", "b")),
        ([FAMILY, FAMILY.replace("\u200d", ""), "x"], ("x", FAMILY.replace("\u200d", ""))),
        ([True, False, True], (False, True)),
    ],
)
def test_the_vocabulary_does_not_depend_on_the_order_of_the_labels(labels, vocabulary):
    for order in itertools.permutations(labels):
        built = build_vocabulary(order, "label")
        assert built == vocabulary
        assert [*map(type, built)] == [*map(type, vocabulary)]
