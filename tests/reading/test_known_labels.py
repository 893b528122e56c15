import pytest

from taskgraft.reading.known_labels import find_label, match_label


@pytest.mark.parametrize("label", [1, 1.0, "1", "1.0", True, "true", " 1 "])
@pytest.mark.parametrize("known", [(0, 1), ("0", "1"), (0.0, 1.0), (False, True), ("false", "true"), ("0.0", "1.0")])
def test_a_label_is_found_whatever_its_type(label, known):
    assert match_label(label, known) == 1


@pytest.mark.parametrize(
    ("label", "known"),
    [("billing", ("Billing", "other")), (True, (0, 1, 2)), ("1", ("01", "02")), ("", ("a", "b")), (None, ("a", "b"))],
)
def test_a_label_that_is_not_known_is_not_guessed(label, known):
    assert match_label(label, known) is None


def test_an_exact_spelling_goes_before_a_similar_one():
    assert match_label("1.0", ("1", "1.0")) == 1
    assert match_label("TRUE", ("True", "TRUE")) == 1


def test_two_similar_spellings_match_none():
    assert match_label("TRUE", ("True", "true", "other")) is None


def test_an_unseen_label_is_a_reason():
    assert find_label("c", {"a": 0, "b": 1}, ("a", "b")) == (
        "the label 'c' does not occur in the training split, which has 'a', 'b'"
    )


def test_an_unseen_label_that_looks_like_a_known_one_comes_with_the_setting_that_maps_it():
    assert find_label("BILLING", {"Billing": 0, "b": 1}, ("Billing", "b")) == (
        "the label 'BILLING' does not occur in the training split, which has 'Billing', 'b'; to read it as 'Billing', fit with "
        'data.labels = {"BILLING" = "Billing"}'
    )
