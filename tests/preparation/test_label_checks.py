"""Labels that may mean something else are rejected before training, or said once at the start, with the setting to write."""

import json

import pytest
from small_tasks import sentences, words

import taskgraft as tg
from taskgraft.contract.rows import InvalidRows
from taskgraft.model.fit import ModelError
from taskgraft.reading.errors import DataError

pytestmark = pytest.mark.slow

TEXTS = sentences(24)["text"]


def fit(labels, head="classification", validation=None, **settings):
    """Fit to labels, one for each of the first texts; return the model and the warnings."""
    rows = {"text": TEXTS[: len(labels)], "label": labels}
    if validation is not None:
        validation = {"text": TEXTS[: len(validation)], "label": validation}
    model = tg.compose(words(), head, "linear-probe")
    report = model.fit(rows, validation=validation, inputs="text", target="label", quiet=True, **settings)
    return model, report.warnings


def warned(labels, **settings):
    return fit(labels, **settings)[1]


def vocabulary(labels, **settings):
    return fit(labels, **settings)[0].fitted.target.vocabulary


def rejected(labels, error=InvalidRows, **settings):
    with pytest.raises(error) as caught:
        fit(labels, **settings)
    return str(caught.value)


# --- marks for no label


@pytest.mark.parametrize("kind", [int, str, float])
def test_minus_one_beside_whole_numbers_is_a_class_or_a_mark(kind):
    mark = str(kind(-1)) if kind is str else "-1"
    labels = [kind(label) for label in (0, 1, -1, 2, -1, 1, 0, 2)]
    assert rejected(labels) == (
        "the training data, row 2: the target column 'label' is -1, beside whole numbers from 0: a class, or a mark for no "
        "label. 2 of 8 rows are like this (rows 2, 4).\n"
        f'If it marks no label, set data.labels = {{"{mark}" = ""}} and data.on_bad_row = "skip". If it is a class, set '
        f'data.labels = {{"{mark}" = "{mark}"}}.'
    )


def test_both_settings_of_that_message_work():
    labels = [0, 1, -1, 2, -1, 1, 0, 2]
    assert vocabulary(labels, data={"labels": {"-1": ""}}, on_bad_row="skip") == (0, 1, 2)
    assert vocabulary(labels, data={"labels": {"-1": "-1"}}) == (-1, 0, 1, 2)


@pytest.mark.parametrize(
    "labels", [[-1, 1] * 4, [-1, 0] * 4, [-2, -1, 0, 1, 2] * 2, ["-1", "a", "b"] * 2, [0, 1, 2] * 3]
)
def test_labels_that_are_no_marks_are_kept(labels):
    assert set(vocabulary(labels)) == set(labels)


@pytest.mark.parametrize("mark", [-9, -99, -100])
def test_any_single_negative_number_may_be_a_mark(mark):
    assert rejected([0, 1, mark, 2] * 2).startswith(
        f"the training data, row 2: the target column 'label' is {mark}, beside"
    )


def test_minus_one_among_the_labels_of_elements_is_a_class_or_a_mark():
    tags = [[0 if word < "m" else 1 if word < "s" else -1 for word in text.split()] for text in TEXTS]
    assert rejected(tags, head="element-classification").endswith(
        'If it marks no label, set data.labels = {"-1" = ""}. If it is a class, set data.labels = {"-1" = "-1"}.'
    )
    chosen = {"labels": {"-1": ""}}
    assert vocabulary(tags, head="element-classification", data=chosen) == (0, 1)


@pytest.mark.parametrize("as_text", [False, True])
def test_the_ignore_index_is_no_class_of_elements_and_is_counted(as_text):
    tags = [[0 if word < "m" else 1 if word < "s" else -100 for word in text.split()] for text in TEXTS]
    count, total = sum(row.count(-100) for row in tags), sum(map(len, tags))
    model, warnings = fit([" ".join(map(str, row)) for row in tags] if as_text else tags, head="element-classification")
    assert model.fitted.target.vocabulary == (("0", "1") if as_text else (0, 1))
    assert warnings == (
        f"{count} of {total} elements have the label -100 in the target column 'label': they are unlabelled, as in PyTorch. If "
        'it is a class, set data.labels = {"-100" = "-100"}.',
    )
    kept = {"labels": {"-100": "-100"}}
    assert len(vocabulary(tags, head="element-classification", data=kept)) == 3


@pytest.mark.parametrize("word", ["nan", "None", "null", "N/A", "NA", "?"])
def test_a_word_for_a_missing_value_is_reported(word):
    labels = ["a", "b", word, "a", "b", word]
    assert warned(labels) == (
        f"The target column 'label' has the label '{word}' (2), which is read as a class. If it means that there is none, set "
        f'data.labels = {{"{word}" = ""}} with data.on_bad_row = "skip"; if it is a class, data.labels = {{"{word}" = '
        f'"{word}"}}.',
    )
    assert warned(labels, data={"labels": {word: word}}) == ()
    assert vocabulary(labels, data={"labels": {word: ""}}, on_bad_row="skip") == ("a", "b")


def test_lists_written_as_text_are_not_one_label():
    assert rejected(["[0, 1]", "[1, 0]"] * 4, DataError) == (
        "The target column 'label' holds lists that were written as text ('[0, 1]'), not one label per row. To predict several "
        "labels per row, choose the head 'multi-label'."
    )


# --- spellings


def test_labels_that_differ_in_white_space_or_unicode_form_are_one():
    labels = ["caf\u00e9", "tea", "cafe\u0301 ", "tea\u200b"] * 3
    model, warnings = fit(labels)
    assert model.fitted.target.vocabulary == ("caf\u00e9", "tea")
    assert warnings == (
        "The target column 'label' spells 2 of 2 labels in several ways, which differ in white space, Unicode form or "
        "invisible characters ('cafe\\u0301 ', 'caf\\xe9'). They are read as one label each.",
    )


def test_labels_that_differ_in_case_are_classes_and_are_reported_once():
    labels = ["Billing", "BILLING", "refund", "Refund", "billing", "Billing", "refund", "other"] * 2
    assert vocabulary(labels) == ("BILLING", "Billing", "Refund", "billing", "other", "refund")
    assert warned(labels) == (
        "The target column 'label' has labels that differ only in case or in characters that look alike: 'Billing' (4) and "
        "'BILLING' (2) and 'billing' (2), 'refund' (4) and 'Refund' (2). They are different classes. To merge them, set "
        'data.labels = {"BILLING" = "Billing", "billing" = "Billing", "Refund" = "refund"}.',
    )


def test_the_mapping_of_that_message_merges_them():
    labels = ["Billing", "BILLING", "refund", "Refund", "billing", "Billing", "refund", "other"] * 2
    mapping = {"BILLING": "Billing", "billing": "Billing", "Refund": "refund"}
    model, warnings = fit(labels, data={"labels": mapping})
    assert (model.fitted.target.vocabulary, warnings) == (("Billing", "other", "refund"), ())
    spelled, plain = (
        model.evaluate({"text": TEXTS[:3], "label": labels}, resamples=0)
        for labels in (["BILLING", " refund", "other"], ["Billing", "refund", "other"])
    )
    assert dict(spelled) == dict(plain)


def test_compatible_characters_and_forms_of_a_number_are_reported():
    assert "'x2' (4) and 'x\u00b2' (4)" in warned(["x\u00b2", "x2", "b"] * 4)[0]
    assert "'1' (4) and '1.0' (4)" in warned(["1", "1.0", "2"] * 4)[0]


def test_the_vocabulary_does_not_depend_on_the_order_of_the_rows():
    labels = ["b ", "a", "b", "\u200ba", "c", "c\u00a0"] * 2
    assert vocabulary(labels) == vocabulary(labels[::-1]) == ("a", "b", "c")


def test_a_key_of_the_mapping_that_never_occurs_is_reported():
    assert warned(["Billing", "other"] * 4, data={"labels": {"Biling": "other"}}) == (
        "data.labels maps 'Biling', which no training row has. Did you mean 'Billing'?",
    )


def test_a_chain_of_mappings_is_rejected():
    assert rejected(["a", "b"] * 4, DataError, data={"labels": {"a": "b", "b": "c"}}) == (
        "data.labels maps 'a' to 'b', and 'b' to 'c'. Map each label to its final name."
    )


# --- classes that are hardly learned, or never validated


def test_classes_with_one_row_and_classes_without_a_validation_row_are_reported():
    assert warned(["a", "b", "a", "b", "c"], validation=["a", "a"]) == (
        "The target column 'label' has 1 of 3 labels in a single training row: 'c'. Such a class is hardly learned, and its "
        "score says little.",
        "2 of 3 labels of the target column 'label' occur in no validation row: 'b', 'c'. The validation scores say nothing "
        "about them.",
    )


def test_labels_of_several_per_row_are_counted_where_they_are_true():
    rows = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert fit(rows, head={"name": "multi-label", "classes": ["x", "y", "z"]}, validation=[[1, 0, 0]])[1] == (
        "1 of 3 labels of the target column 'label' are true in no training row: 'z'. They cannot be learned.",
        "1 of 3 labels of the target column 'label' occur in no validation row: 'y'. The validation scores say nothing about "
        "them.",
    )


def test_many_different_numbers_are_hardly_classes():
    labels = [row / 10 for row in range(24)]
    assert warned(labels)[0] == (
        "The target column 'label' has 24 different numbers, each of which is a class of its own. To predict a number, choose "
        "the head 'regression'."
    )


def test_plain_labels_give_no_warning():
    assert warned(["a", "b", "c"] * 4, validation=["a", "b", "c"]) == ()


def test_warnings_are_in_the_json_of_a_fit(tmp_path, monkeypatch, small_plugin_installed):
    from commands import typed

    monkeypatch.chdir(tmp_path)
    lines = ["text,label", *(f"{text},{label}" for text, label in zip(TEXTS, ["a", "b", "A", "b"] * 6, strict=True))]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "fit.toml").write_text(
        'backbone = "small-words"\nhead = "classification"\nstrategy = "linear-probe"\n[data]\ntrain = "train.csv"\n'
        'inputs = "text"\ntarget = "label"\n'
    )
    done = typed("fit", "fit.toml", "--quiet", "--json", "-o", "run")
    assert done.code == 0, done.err
    assert json.loads(done.out)["warnings"][1:] == [  # after that about random weights
        "The target column 'label' has labels that differ only in case or in characters that look alike: 'A' (6) and 'a' (6). "
        'They are different classes. To merge them, set data.labels = {"a" = "A"}.'
    ]


def test_a_setting_that_is_an_argument_of_fit_is_not_ignored_in_data():
    with pytest.raises(ModelError) as caught:
        fit(["a", "b"] * 4, data={"on_bad_row": "skip"})
    assert (
        str(caught.value) == "'on_bad_row' is an argument of fit: write fit(…, on_bad_row=…), and leave it out of data."
    )
