"""Labels that are well-formed and mean something else, as a user meets them: the whole text that is printed."""

import json

import pyarrow as pa
import pytest
from commands import typed
from datasets import ClassLabel, Dataset, Features, Value
from pyarrow import parquet
from refusals import SKIP, refused
from small_tasks import sentences

TEXTS = sentences(24)["text"]
WORDS = [text.split() for text in TEXTS]
FIRST = [words[0] for words in WORDS]

RECIPE = """
backbone = "small-words"
head = "classification"
strategy = "linear-probe"

[data]
train = "train.parquet"
inputs = "text"
target = "label"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, small_plugin_installed):
    """The working directory, with a valid recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "intents.toml").write_text(RECIPE)
    return tmp_path


def write(labels, **others):
    parquet.write_table(pa.table({"text": TEXTS, "label": labels, **others}), "train.parquet")


def write_csv(labels):
    lines = ["text,label", *(f'{text},"{label}"' for text, label in zip(TEXTS, labels, strict=True))]
    with open("train.csv", "w") as file:
        file.write("\n".join(lines) + "\n")


def options(*settings):
    return [word for setting in settings for word in ("--set", setting)]


def refused_fit(labels, *settings, **others):
    write(labels, **others)
    return refused("fit", "intents.toml", "--quiet", *options(*settings))


def refused_csv(labels, *settings):
    write_csv(labels)
    return refused("fit", "intents.toml", "--quiet", *options("data.train=train.csv", *settings))


def fitted(*settings):
    done = typed("fit", "intents.toml", "--quiet", "--json", "-o", "run", *options(*settings))
    assert done.code == 0, done.err
    with open("run/taskgraft.json") as file:
        vocabulary = json.load(file)["target"]["vocabulary"]
    return vocabulary, [line for line in json.loads(done.out)["warnings"] if "random weights" not in line]


MULTI = "head=multi-label"
ELEMENTS = "head=element-classification"


# --- several labels per row


def test_one_hot_lists_of_different_lengths():
    assert refused_fit([[0, 1] if len(word) > 3 else [1] for word in FIRST], MULTI) == (
        "The target column 'label' holds lists of 0 and 1 of different lengths (1 to 2). If each list has 0 or 1 for every "
        'label, all need one length; if 0 and 1 are labels, set head.lists = "labels".'
    )


def test_a_single_zero_or_one_per_row_for_several_labels():
    assert refused_csv([len(word) % 2 for word in FIRST], MULTI) == (
        "The target column 'label' holds a single 0 or 1 per row. To predict one label per row, choose the head "
        "'classification'; if 0 and 1 are labels of which a row may have several, set head.lists = \"labels\"."
    )


def test_a_separator_that_never_occurs():
    assert refused_csv(["late;lost", "lost;new", "new"] * 8, MULTI) == (
        "The target column 'label' has no '|' (head.separator), but ';' in 2 of 3 different texts ('late;lost'), each of which "
        "would be a label of its own. If ';' separates labels, set head.separator = ';'; if each text is one label, choose the "
        "head 'classification'."
    )


def test_a_list_that_numpy_printed():
    message = refused_csv(["['a' 'b']" if row < 2 else "['a']" for row in range(24)], MULTI)
    assert message == (
        "train.csv, line 2: the target column 'label' is \"['a' 'b']\", which looks like a list but cannot be read as one; "
        f'write it as JSON (["a", "b"]). 2 of 24 rows are like this (lines 2, 3).\n{SKIP}'
    )


def test_probabilities_instead_of_labels():
    assert refused_fit([[0.25, 0.75]] * 24, MULTI) == (
        "train.parquet, row 0: the target column 'label' holds 0.25, which is not a label (text or integer). 24 of 24 rows are "
        f"like this (rows 0, 1, 2, 3, 4 and 19 more).\n{SKIP}"
    )


def test_minus_one_in_a_column_of_zeros_and_ones():
    message = refused_fit([1, 0, -1] * 8, MULTI, 'data.target=["label", "other"]', other=[0, 1] * 12)
    assert message == (
        "train.parquet, row 2: the target column 'label' is -1, not 0, 1 or empty (if -1 stands for unknown, set "
        f'data.labels = {{"-1" = ""}}). 8 of 24 rows are like this (rows 2, 5, 8, 11, 14 and 3 more).\n{SKIP}'
    )


def test_columns_of_yes_or_nothing():
    assert refused_fit([1, None] * 12, MULTI, 'data.target=["label", "other"]', other=[None, 1] * 12) == (
        "The target columns 'label', 'other' hold 1 and no other value, so there is nothing to tell apart. If an empty cell "
        'means 0, set data.labels = {"" = "0"}.'
    )


def test_a_name_of_a_place_that_is_not_there():
    assert refused_fit([[0, 1, 1]] * 24, MULTI, 'head.classes=["a", "b"]') == (
        "train.parquet, row 0: the target column 'label' is [0, 1, 1], not 0 or 1 for each of 2 labels. 24 of 24 rows are like "
        f"this (rows 0, 1, 2, 3, 4 and 19 more).\n{SKIP}"
    )


# --- one label per row


def test_one_hot_lists_for_one_label_per_row():
    assert refused_csv(["[0, 1]", "[1, 0]"] * 12) == (
        "The target column 'label' holds lists that were written as text ('[0, 1]'), not one label per row. To predict several "
        "labels per row, choose the head 'multi-label'."
    )


def test_minus_one_beside_classes():
    assert refused_csv([0, 1, 2, -1] * 6) == (
        "train.csv, line 5: the target column 'label' is -1, beside whole numbers from 0: a class, or a mark for no label. "
        "6 of 24 rows are like this (lines 5, 9, 13, 17, 21 and 1 more).\n"
        'If it marks no label, set data.labels = {"-1" = ""} and data.on_bad_row = "skip". If it is a class, set '
        'data.labels = {"-1" = "-1"}.'
    )
    assert fitted("data.train=train.csv", 'data.labels={"-1" = ""}', "data.on_bad_row=skip")[0] == ["0", "1", "2"]


def test_minus_one_beside_classes_of_elements():
    write([[-1, 0, 1][: len(words)] + [0] * (len(words) - 3) for words in WORDS])
    assert refused("fit", "intents.toml", "--quiet", *options(ELEMENTS)) == (
        "train.parquet, row 0: the target column 'label' has the label -1, beside whole numbers from 0: a class, or a mark for "
        "no label. 24 of 24 rows are like this (rows 0, 1, 2, 3, 4 and 19 more).\n"
        'If it marks no label, set data.labels = {"-1" = ""}. If it is a class, set data.labels = {"-1" = "-1"}.'
    )


def test_an_ambiguous_mapping():
    assert refused_fit(FIRST, 'data.labels={"lost" = "card", "card" = "late"}') == (
        "data.labels maps 'lost' to 'card', and 'card' to 'late'. Map each label to its final name."
    )


def test_a_mapping_of_labels_for_numbers():
    assert refused_fit([1.5, 2.5] * 12, "head=regression", 'data.labels={"1.5" = "2"}') == (
        "data.labels maps labels, but this head predicts numbers. Leave it out."
    )


def test_a_weight_of_an_unknown_label():
    weights = 'head={name = "classification", class_weights = {"1" = 2.0, "2" = 1.0}}'
    assert refused_fit([0, 1] * 12, weights) == (
        "head 'classification': class_weights has no weight for 0. class_weights names '2', which does not occur in the data. "
        "Give each label one weight."
    )


def test_a_class_label_without_a_name():
    features = Features({"text": Value("string"), "label": ClassLabel(names=["ham", "spam"])})
    table = Dataset.from_dict({"text": TEXTS, "label": [0, 1] * 12}, features=features).with_format("arrow")[:]
    parquet.write_table(table.set_column(1, "label", pa.array([0, 1, 5] * 8)), "train.parquet")
    assert refused("fit", "intents.toml", "--quiet") == (
        "train.parquet: the column 'label' is a ClassLabel of 2 names, but holds 5. Use numbers from 0, or -1 for none."
    )


def test_an_unlabelled_row_of_a_class_label():
    features = Features({"text": Value("string"), "label": ClassLabel(names=["ham", "spam"])})
    dataset = Dataset.from_dict({"text": TEXTS, "label": [0, 1, -1] * 8}, features=features)
    parquet.write_table(dataset.with_format("arrow")[:], "train.parquet")
    assert refused("fit", "intents.toml", "--quiet") == (
        "train.parquet, row 2: the target column 'label' is empty. 8 of 24 rows are like this (rows 2, 5, 8, 11, 14 and 3 "
        f"more).\n{SKIP}"
    )
    assert fitted("data.on_bad_row=skip")[0] == ["ham", "spam"]


# --- said once


@pytest.mark.parametrize(
    ("labels", "settings", "vocabulary", "warnings"),
    [
        (
            ["a", "b", "A"] * 8,
            (),
            ["A", "a", "b"],
            [
                "The target column 'label' has labels that differ only in case or in characters that look alike: 'A' (8) and "
                '\'a\' (8). They are different classes. To merge them, set data.labels = {"a" = "A"}.'
            ],
        ),
        (["a", "b", "A"] * 8, ('data.labels={"A" = "a"}',), ["a", "b"], []),
        (
            ["a", "b", "nan"] * 8,
            (),
            ["a", "b", "nan"],
            [
                "The target column 'label' has the label 'nan' (8), which is read as a class. If it means that there is none, "
                'set data.labels = {"nan" = ""} with data.on_bad_row = "skip"; if it is a class, data.labels = {"nan" = "nan"}.'
            ],
        ),
        (
            ["a", "a ", "b"] * 8,
            (),
            ["a", "b"],
            [
                "The target column 'label' spells 1 of 2 labels in several ways, which differ in white space, Unicode form or "
                "invisible characters ('a', 'a '). They are read as one label each."
            ],
        ),
        (
            ["a", "b"] * 12,
            ('data.labels={"c" = "a"}',),
            ["a", "b"],
            ["data.labels maps 'c', which no training row has."],
        ),
    ],
)
def test_what_is_said_about_labels(labels, settings, vocabulary, warnings):
    write(labels)
    assert fitted(*settings) == (vocabulary, warnings)


def test_the_ignore_index_is_said_and_is_no_class():
    write([[0 if word < "m" else 1 if word < "s" else -100 for word in words] for words in WORDS])
    assert fitted(ELEMENTS) == (
        [0, 1],
        [
            "46 of 90 elements have the label -100 in the target column 'label': they are unlabelled, as in PyTorch. If it is "
            'a class, set data.labels = {"-100" = "-100"}.'
        ],
    )
