import pyarrow as pa
import pytest
from backbones import PAIRS, TABLE, WORDS

from taskgraft.contract.descriptions import BackboneDescription, InputField, vector
from taskgraft.contract.rows import InvalidRows, MissingColumn, Rows
from taskgraft.data.column_matching import match_columns
from taskgraft.data.preprocessing import label_count_mismatches, preprocess
from taskgraft.reading.errors import DataError


def described(*roles: InputField) -> BackboneDescription:
    return BackboneDescription(roles, (vector(4),), ())


ONE = described(InputField("text"))
TWO = described(InputField("text"), InputField("second", required=False))
ANY = described()
ROWS = Rows(pa.table({"text": ["a"], "second": ["b"], "label": ["x"]}), "train.csv")


# --- columns


@pytest.mark.parametrize(
    ("inputs", "description", "wanted"),
    [
        (None, ONE, {"text": "text"}),
        ("second", ONE, {"text": "second"}),
        (["second"], ONE, {"text": "second"}),
        ({"text": "second"}, ONE, {"text": "second"}),
        (None, TWO, {"text": "text", "second": "second"}),
        ("text", TWO, {"text": "text"}),
        (["second", "text"], TWO, {"text": "second", "second": "text"}),
        (None, ANY, {"text": "text", "second": "second"}),
        (["second"], ANY, {"second": "second"}),
        ("second", ANY, {"second": "second"}),
    ],
)
def test_columns_feed_the_inputs(inputs, description, wanted):
    assert match_columns(inputs, description, ROWS, ("label",)) == wanted


def test_the_target_is_never_an_input_unasked():
    assert match_columns(None, ANY, ROWS, ("second", "label")) == {"text": "text"}


@pytest.mark.parametrize(
    ("inputs", "description", "said"),
    [
        (
            None,
            described(InputField("image")),
            "The backbone reads image, but no column was named for 'image', and train.csv has text, second, label. "
            "Name the columns to read with inputs=….",
        ),
        (
            ["text", "second"],
            ONE,
            "The backbone reads text, but 2 columns were named: text, second. Name the columns to read with inputs=….",
        ),
        (
            {"txt": "text"},
            ONE,
            "The backbone reads text, but there is no input 'txt'. Name the columns to read with inputs=….",
        ),
        (
            {"second": "text"},
            TWO,
            "The backbone reads text, second, but no column was named for 'text', and train.csv has text, second, label. "
            "Name the columns to read with inputs=….",
        ),
    ],
)
def test_inputs_that_cannot_be_filled_are_rejected(inputs, description, said):
    with pytest.raises(DataError) as caught:
        match_columns(inputs, description, ROWS, ("label",))
    assert str(caught.value) == said


@pytest.mark.parametrize("description", [ONE, ANY])
def test_a_missing_column_is_rejected(description):
    with pytest.raises(MissingColumn) as caught:
        match_columns(["txt"], description, ROWS, ("label",))
    assert str(caught.value) == "train.csv has no column 'txt'. Did you mean 'text'? Columns: text, second, label."


# --- inputs


def test_inputs_are_processed_in_chunks_and_cached_by_row(tmp_path):
    rows = Rows(pa.table({"words": [" ".join(["w"] * (1 + row % 5)) for row in range(2_500)]}), "the data")
    made = preprocess(rows, {"text": "words"}, WORDS.build(), tmp_path, 1 << 20)
    assert len(made.source) == 2_500
    assert made.elements == [1 + row % 5 for row in range(2_500)]
    assert made.source.gather([2_499, 0]).lengths["element"].tolist() == [5, 1]


def test_a_backbone_of_any_columns_reads_them_by_name(tmp_path):
    rows = Rows(pa.table(dict(zip(TABLE.inputs, ([1, 2], [3, 4], [5, 6]), strict=False))), "the data")
    names = match_columns(None, TABLE.spec.describe(TABLE.config), rows, ())
    made = preprocess(rows, names, TABLE.build(), tmp_path, 1 << 20)
    assert len(made.source) == 2
    assert made.elements is None


def test_invalid_rows_of_all_chunks_are_reported_with_their_lines(tmp_path):
    texts = ["some"] * 1_500
    texts[3] = texts[1_400] = ""
    rows = Rows(pa.table({"text": texts}), "train.csv", list(range(2, 1_502)))
    inputs = preprocess(rows, {"text": "text"}, WORDS.build(), tmp_path, 1 << 20)
    assert inputs.invalid == {3: "the text is empty", 1_400: "the text is empty"}
    with pytest.raises(InvalidRows) as caught:
        inputs.drop(inputs.invalid, "error")
    assert str(caught.value) == (
        "train.csv, line 5: the text is empty. 2 of 1,500 rows are like this (lines 5, 1,402).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


@pytest.mark.parametrize("labels", [["O B", "O"], [["O", "B"], ["O"]]])
def test_as_many_labels_as_elements_pass(labels):
    assert label_count_mismatches([2, 1], {"tags": labels}) == {}


def test_rows_with_too_few_or_many_labels_are_reported():
    assert label_count_mismatches([2, 1, 1], {"tags": ["O", "O O", "O"]}) == {
        0: "'tags' has 1 labels for 2 elements",
        1: "'tags' has 2 labels for 1 elements",
    }


def test_labels_are_not_counted_where_the_input_does_not_decide_the_elements():
    assert label_count_mismatches(None, {"tags": ["O B"]}) == {}


def test_letters_are_elements_too(tmp_path):
    rows = Rows(pa.table({"letters": list(PAIRS.inputs["letters"])}), "the data")
    made = preprocess(rows, {"letters": "letters"}, PAIRS.build(), tmp_path, 1 << 20)
    assert made.elements == [len(word) for word in PAIRS.inputs["letters"]]


# --- what cannot be columns


def test_a_column_is_not_read_and_predicted_at_once():
    with pytest.raises(DataError) as caught:
        match_columns("label", ONE, ROWS, ["label"])
    assert str(caught.value) == (
        "The backbone reads text, but the column 'label' is the target, so it cannot be an input as well. "
        "Name the columns to read with inputs=…."
    )


def test_a_column_of_a_table_is_not_read_and_predicted_at_once_where_it_is_named():
    with pytest.raises(DataError) as caught:
        match_columns(["label"], ANY, ROWS, ["label"])
    assert str(caught.value) == (
        "The backbone reads the columns of a table, but the column 'label' is the target, so it cannot be an input as well. "
        "Name the columns to read with inputs=…."
    )


def test_inputs_that_name_nothing_are_rejected():
    with pytest.raises(DataError) as caught:
        match_columns(5, ONE, ROWS, ["label"])
    assert str(caught.value) == (
        "The backbone reads text, but inputs is 5, which names no columns. Name the columns to read with inputs=…."
    )


def test_a_column_that_is_not_named_by_a_text_is_rejected():
    with pytest.raises(MissingColumn) as caught:
        match_columns([None], ONE, ROWS, ["label"])
    assert str(caught.value) == "train.csv has no column 'None'. Columns: text, second, label."
