"""Every form in which a caller may have inputs gives the predictions of the plain list, or one sentence on what to pass."""

import io
from collections import deque
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pytest
from small_tasks import sentences, trained, training_stage, words

from taskgraft.contract.processor import Processor
from taskgraft.contract.rows import MissingColumn, UnreadableFile
from taskgraft.inputs.input_files import InputFiles, InputTexts
from taskgraft.inputs.input_request import InputRequest
from taskgraft.inputs.read_inputs import read_inputs
from taskgraft.reading.errors import DataError

TEXTS = sentences(6, seed=4)["text"]

FORMS = {
    "a list": lambda: list(TEXTS),
    "a tuple": lambda: tuple(TEXTS),
    "a deque": lambda: deque(TEXTS),
    "a generator": lambda: (text for text in TEXTS),
    "an iterator": lambda: iter(TEXTS),
    "a map": lambda: map(str, TEXTS),
    "keys of a dict": lambda: dict.fromkeys(TEXTS).keys(),
    "a Series": lambda: pandas.Series(TEXTS),
    "a Series of strings": lambda: pandas.Series(TEXTS, dtype="string"),
    "a categorical Series": lambda: pandas.Series(TEXTS, dtype="category"),
    "a Series with another index": lambda: pandas.Series(TEXTS, index=list("fedcba")),
    "an Index": lambda: pandas.Index(TEXTS),
    "an array of texts": lambda: np.array(TEXTS),
    "an array of objects": lambda: np.array(TEXTS, dtype=object),
    "an Arrow array": lambda: pa.array(TEXTS),
    "a chunked Arrow array": lambda: pa.chunked_array([TEXTS[:2], TEXTS[2:]]),
    "a DataFrame": lambda: pandas.DataFrame({"text": TEXTS}),
    "an Arrow table": lambda: pa.table({"text": TEXTS}),
    "a list of dicts": lambda: [{"text": text} for text in TEXTS],
    "a generator of dicts": lambda: ({"text": text} for text in TEXTS),
    "a dict of columns": lambda: {"text": TEXTS},
    "a dict of a Series": lambda: {"text": pandas.Series(TEXTS)},
    "a dict of an array": lambda: {"text": np.array(TEXTS)},
    "texts of a command": lambda: InputTexts(tuple(TEXTS)),
}

ONE = {
    "a text": lambda: TEXTS[0],
    "a text of NumPy": lambda: np.array(TEXTS)[0],
    "an array without axes": lambda: np.array(TEXTS[0]),
    "a dict of one row": lambda: {"text": TEXTS[0]},
    "a dict of one row with more": lambda: {"text": TEXTS[0], "id": 3, "label": None},
    "a row of a DataFrame": lambda: pandas.DataFrame({"id": [1, 2], "text": TEXTS[:2]}).iloc[0],
}


@pytest.fixture(scope="module")
def model():
    return trained(words(), training_stage("block-1"))


@pytest.mark.parametrize("form", FORMS)
def test_several_texts_in_any_form_are_predicted_as_in_a_list(model, form):
    results = model.predict(FORMS[form](), quiet=True)
    assert results == model.predict(TEXTS, quiet=True)
    assert (list(results.rows), results.reasons) == (list(range(6)), {})


@pytest.mark.parametrize("form", ONE)
def test_one_text_in_any_form_is_predicted_as_a_list_of_one(model, form):
    assert model.predict(ONE[form](), quiet=True) == model.predict(TEXTS[:1], quiet=True)
    assert model.predict_proba(ONE[form](), quiet=True) == model.predict_proba(TEXTS[:1], quiet=True)


def test_a_dataset_and_a_column_of_it_are_predicted_as_a_list(model):
    from datasets import Dataset

    data = Dataset.from_dict({"text": TEXTS})
    assert (
        model.predict(data, quiet=True) == model.predict(data["text"], quiet=True) == model.predict(TEXTS, quiet=True)
    )


def test_a_table_of_another_library_is_read_through_arrow(model):
    class Frame:
        columns = ("text",)

        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"text": TEXTS}).__arrow_c_stream__(requested_schema)

    assert model.predict(Frame(), quiet=True) == model.predict(TEXTS, quiet=True)


def test_an_empty_list_has_no_predictions(model):
    assert model.predict([]) == model.predict(()) == []


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA])
def test_a_missing_text_is_an_invalid_row(model, missing):
    results = model.predict([TEXTS[0], missing], on_bad_row="null", quiet=True)
    assert (results[1], results.reasons) == (None, {1: "the text is empty"})


def test_a_text_that_is_also_the_name_of_a_file_is_that_file(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("late.csv").write_text("text\nlost card\n")
    assert model.predict("late.csv", quiet=True) == model.predict(["lost card"], quiet=True)
    assert model.predict(["late.csv"], quiet=True) == model.predict(InputTexts(("late.csv",)), quiet=True)


@pytest.mark.parametrize("text", ["Why? Where is my card?", "late", "and so on.", "Mr. Late", "it is in parts/two now"])
def test_a_sentence_is_never_taken_for_a_path(model, text):
    assert model.predict(text, quiet=True) == model.predict([text], quiet=True)


WHAT = (
    "Pass a text, a list of texts, the path of a file, a DataFrame, an Arrow table, a Dataset, a dict or a list of dicts with "
    "'text'."
)
ITSELF = "To predict for the text itself, put it in a list (--text on the command line)."

WRONG = {
    "None": (lambda: None, f"None cannot be predicted for. {WHAT}"),
    "an int": (lambda: 5, f"5, of the type int, cannot be predicted for. {WHAT}"),
    "a bool": (lambda: True, f"True, of the type bool, cannot be predicted for. {WHAT}"),
    "a float": (lambda: 0.5, f"0.5, of the type float, cannot be predicted for. {WHAT}"),
    "bytes": (lambda: b"a card", f"b'a card', of the type bytes, cannot be predicted for. {WHAT}"),
    "a bytearray": (
        lambda: bytearray(b"late"),
        f"bytearray(b'late'), of the type bytearray, cannot be predicted for. {WHAT}",
    ),
    "an empty text": (lambda: " ", f"An empty text was given. {WHAT}"),
    "an empty dict": (dict, f"An empty dict was given. {WHAT}"),
    "an empty generator": (
        lambda: (text for text in ()),
        "The generator has no items. An iterator can be read once; pass a list.",
    ),
    "a set": (lambda: {"a", "b"}, "A set has no order, so its predictions could not be matched. Pass a list."),
    "an open file": (lambda: io.StringIO("a\nb"), "An open file was given, of the type StringIO. Pass its path."),
    "an object": (lambda: Processor, f"Row 0 is a ABCMeta. {WHAT}"),
    "a list of paths": (lambda: ["late", Path("late.csv")], f"Row 1 is a PosixPath. {WHAT}"),
    "an array of two axes": (lambda: np.array([["a"], ["b"]]), f"Row 0 is a ndarray of the shape (2, 1). {WHAT}"),
    "dicts and texts": (lambda: [{"text": "a"}, "b"], f"Row 0 is a dict, but row 1 is a str. {WHAT}"),
    "a value beside a list": (
        lambda: {"id": 3, "text": ["a", "b"]},
        "'id' is one value, but 'text' is a list of 2. Pass a dict of lists of one length, or of single values for one row; "
        "a row with a list in it goes into a list: [{…}].",
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_anything_else_is_one_sentence_on_what_to_pass(model, form):
    make, message = WRONG[form]
    with pytest.raises(DataError) as caught:
        model.predict(make())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pandas.DataFrame({"txt": ["a"]}), "the data has no column 'text'. Did you mean 'txt'? Columns: txt."),
        ({"txt": "a"}, "the data has no column 'text'. Did you mean 'txt'? Columns: txt."),
        ([{"txt": "a"}], "the data has no column 'text'. Did you mean 'txt'? Columns: txt."),
    ],
)
def test_a_table_without_the_column_is_rejected(model, data, message):
    with pytest.raises(MissingColumn) as caught:
        model.predict(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("photo.jpg", f"photo.jpg: there is no such file. {ITSELF}"),
        ("texts/late", f"texts/late: there is no such file. {ITSELF}"),
        ("missing.csv", "missing.csv: there is no such file."),
        (Path("missing"), "missing: there is no such file."),
    ],
)
def test_a_text_that_looks_like_a_missing_file_is_not_an_input(model, path, message):
    with pytest.raises(UnreadableFile) as caught:
        model.predict(path)
    assert str(caught.value) == message


# --- several inputs


def request(*columns, roles=None, files=()):
    names = columns if roles is None else roles
    return InputRequest(
        dict(zip(names or columns, columns, strict=True)), tuple(names), frozenset(files), lambda role, value: [value]
    )


PAIR = request("first", "second")
TABLE = request("amount", "hour", roles=())
TUPLES = "The model reads first, second: pass a list of dicts, or of tuples in this order, or a table."
ROWS = "Pass the path of a file, a DataFrame, an Arrow table, a Dataset, a dict or a list of dicts."
FILES = (
    "Pass the path of a file or folder, a list of paths or of objects in memory, a DataFrame, an Arrow table, a Dataset, a "
    "dict or a list of dicts with 'path'."
)


@pytest.mark.parametrize(
    "data",
    [
        [("a", "b"), ("c", "d")],
        [["a", "b"], ["c", "d"]],
        zip("ac", "bd", strict=True),
        [{"first": "a", "second": "b"}, {"first": "c", "second": "d"}],
        {"first": ["a", "c"], "second": ["b", "d"]},
    ],
)
def test_several_inputs_are_tuples_in_their_order_or_dicts(data):
    assert read_inputs(PAIR, data).table.to_pydict() == {"first": ["a", "c"], "second": ["b", "d"]}


@pytest.mark.parametrize(
    ("wanted", "data", "message"),
    [
        (PAIR, ["a", "b"], f"A plain list was given. {TUPLES}"),
        (PAIR, [("a", "b"), ("c",)], f"Row 1 has 1 values. {TUPLES}"),
        (TABLE, [(1, 2)], "A plain list was given. The model reads amount, hour: pass a list of dicts, or a table."),
        (TABLE, np.ones((2, 2)), f"A ndarray of the shape (2, 2) was given. {ROWS}"),
        (TABLE, InputTexts(("a",)), f"The model does not read single texts. {ROWS}"),
    ],
)  # fmt: skip
def test_a_plain_list_for_several_inputs_is_rejected(wanted, data, message):
    with pytest.raises(DataError) as caught:
        read_inputs(wanted, data)
    assert str(caught.value) == message


def test_a_row_of_a_table_is_a_dict_or_a_row_of_a_frame():
    rows = pandas.DataFrame({"amount": [1.5, 2.5], "hour": [3, 4]})
    for one in ({"amount": 1.5, "hour": 3}, rows.iloc[0], rows.head(1)):
        assert read_inputs(TABLE, one).table.to_pydict() == {"amount": [1.5], "hour": [3]}


# --- inputs that are files


class Drawing:
    """An object in memory, with numbers that stand for files."""

    def __init__(self, *numbers):
        self.numbers = numbers


class Drawings(Processor):
    """Reads drawings."""

    def prepare(self, inputs):
        raise NotImplementedError

    def settings(self):
        return {}

    def raw_values(self, role, value):
        if not isinstance(value, Drawing):
            raise ValueError(f"a {type(value).__name__} is not a drawing")
        return [str(number) for number in value.numbers]


DRAWING = InputRequest({"drawing": "path"}, ("drawing",), frozenset({"drawing"}), Drawings().raw_values)


def paths(data):
    return read_inputs(DRAWING, data).table.to_pydict()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("b.svg", "a.svg", "c.txt"):
        Path("in", name).write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    "data", ["in/*.svg", Path("in/*.svg"), InputFiles(("in/a.svg", "in/b.svg")), ["in/a.svg", Path("in/b.svg")]]
)
def test_input_files_are_named_by_a_pattern_or_one_by_one(folder, data):
    assert paths(data) == {"path": ["in/a.svg", "in/b.svg"]}


@pytest.mark.parametrize(
    "data", ["in/a.svg", Path("in/a.svg"), ["in/a.svg"], InputFiles(("in/a.sv?",)), {"path": "in/a.svg"}]
)
def test_one_input_file_is_a_row(folder, data):
    assert paths(data) == {"path": ["in/a.svg"]}


def test_objects_in_memory_are_encoded_by_the_processor():
    assert paths([Drawing(1), "2"]) == {"path": ["1", "2"]}
    assert paths(Drawing(1, 2)) == {"path": ["1", "2"]}
    assert paths([{"path": Drawing(3)}, {"path": None}]) == {"path": ["3", None]}
    assert paths(pandas.DataFrame({"path": [Drawing(3), "x"]}, dtype=object)) == {"path": ["3", "x"]}
    assert paths(b"<svg>") == {"path": [b"<svg>"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([Drawing(1, 2)], "Row 0 holds 2 values for 'path'. Pass one per row."),
        ([None, object()], "The data cannot be read: row 1: a object is not a drawing."),
        ("in/*.png", "No file matches in/*.png."),
        (InputFiles(("in/a.svg", "in/*.png")), "No file matches in/*.png."),
        (InputFiles(("in", "in/a.svg")), "in is a folder. Name it alone, or the files in it: in/*"),
        (InputTexts(("a",)), f"The model does not read single texts. {FILES}"),
    ],
)  # fmt: skip
def test_input_files_that_are_not_there_are_rejected(folder, data, message):
    with pytest.raises(DataError) as caught:
        read_inputs(DRAWING, data)
    assert str(caught.value) == message


def test_several_files_of_rows_are_rejected(folder):
    for name in ("in/1.csv", "in/2.csv"):
        Path(name).write_text("path\na\n")
    for data in ("in/*.csv", InputFiles(("in/1.csv", "in/2.csv"))):
        with pytest.raises(DataError) as caught:
            read_inputs(DRAWING, data)
        assert str(caught.value) == (
            "2 files were given: in/1.csv, in/2.csv. Predict for one file of rows at a time, or join them."
        )
    assert read_inputs(DRAWING, "in/1*.csv").table.to_pydict() == {"path": ["a"]}
