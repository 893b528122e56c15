import csv
import json
import os
from io import StringIO

import numpy as np
import pyarrow as pa
import pytest
from prediction_windows import CLASSES, Windows, numbered, predict_abc, wanted
from pyarrow import parquet
from small_tasks import sentences, trained, words

from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.contract.rows import MissingColumn
from taskgraft.inference.errors import InferenceError, NoProbabilities
from taskgraft.inference.prediction_table import PredictionColumns
from taskgraft.inference.write_predictions import GRIDS_PER_WINDOW, ROWS_PER_WINDOW, write_predictions
from taskgraft.progress import ProgressReporter
from taskgraft.storage.atomic_write import OutputError

QUIET = ProgressReporter(quiet=True)
LABEL = PredictionColumns(TargetKind.CATEGORY, ("label",))


def written(path, count=3, predict=predict_abc, what=LABEL, **more):
    settings = {"overwrite": False, "reporter": QUIET} | more
    return write_predictions(numbered(count), Windows(predict), what, path, **settings)[0]


def printed(predict=predict_abc, what=LABEL, form="csv", count=3):
    stream = StringIO()
    write_predictions(numbered(count), Windows(predict), what, stream, form=form, reporter=QUIET)
    return stream.getvalue()


# --- order and memory


@pytest.mark.parametrize(
    "count", [1, ROWS_PER_WINDOW - 1, ROWS_PER_WINDOW, ROWS_PER_WINDOW + 1, 2 * ROWS_PER_WINDOW + 7]
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_row_is_predicted_once_in_its_order(tmp_path, count, suffix):
    path = tmp_path / f"out{suffix}"
    assert written(path, count, what=wanted(keep=("number",))) == count
    if suffix == ".csv":
        rows = list(csv.DictReader(StringIO(path.read_text())))
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = parquet.read_table(path).to_pylist()
    assert [int(row["number"]) for row in rows] == list(range(count))
    assert [row["prediction"] for row in rows] == [CLASSES[row % 3] for row in range(count)]


def test_rows_are_predicted_one_window_at_a_time(tmp_path):
    sizes = []

    def counted(rows):
        sizes.append(len(rows))
        return predict_abc(rows)

    written(tmp_path / "out.csv", 2 * ROWS_PER_WINDOW + 7, counted)
    assert sizes == [ROWS_PER_WINDOW, ROWS_PER_WINDOW, 7]


def test_line_numbers_are_known_in_every_window(tmp_path):
    places = []

    def placed(rows):
        places.append(rows.location(0))
        return predict_abc(rows)

    written(tmp_path / "out.csv", ROWS_PER_WINDOW + 1, placed)
    assert places == ["line 2", f"line {ROWS_PER_WINDOW + 2:,}"]


# --- what is written


def test_csv_has_kept_columns_predictions_top_classes_and_all_probabilities():
    assert printed(what=wanted(keep=("id",), top=2, probabilities=True), count=2) == (
        "id,prediction,top_1,top_1_probability,top_2,top_2_probability,probability_a,probability_b,probability_c\n"
        "00000,a,a,0.9,b,0.05,0.9,0.05,0.05\n"
        "00001,b,b,0.9,a,0.05,0.05,0.9,0.05\n"
    )


def test_json_lines_hold_the_same():
    line = json.loads(printed(what=wanted(keep=("id",), top=1), form="jsonl", count=1))
    assert line == {"id": "00000", "prediction": "a", "top_1": "a", "top_1_probability": 0.9}


def test_parquet_holds_the_types(tmp_path):
    written(tmp_path / "out.parquet", what=wanted(keep=("id", "number"), top=1, probabilities=True))
    schema = parquet.read_table(tmp_path / "out.parquet").schema
    assert [str(field.type) for field in schema] == ["string", "int64", "string", "string", *["float"] * 4]


def test_top_is_limited_to_the_number_of_classes():
    assert printed(what=wanted(top=9)).splitlines()[0].count("_probability") == 3


def test_a_probability_is_exact_with_the_fewest_digits():
    chance = np.float32(1) / np.float32(3)
    text = printed(
        lambda rows: Predictions(["a"], [np.array([chance, 1 - chance], np.float32)], ("a", "b")),
        count=1,
        what=wanted(probabilities=True),
    ).splitlines()[1]
    assert text == "a,0.33333334,0.6666666"
    assert np.float32(text.split(",")[1]) == chance


def test_a_number_is_a_column_and_several_are_a_column_each():
    one = PredictionColumns(TargetKind.NUMBERS, ("price",))
    assert printed(lambda rows: Predictions([1.5, 2.0, -1e-9]), one) == "prediction\n1.5\n2.0\n-1e-09\n"
    two = PredictionColumns(TargetKind.NUMBERS, ("price", "weight"))
    found = printed(lambda rows: Predictions([[1.5, 2.0]] * 3), two)
    assert found.splitlines()[:2] == ["prediction_price,prediction_weight", "1.5,2.0"]


def test_several_labels_are_a_list():
    several = PredictionColumns(TargetKind.CATEGORIES, ("tags",), probabilities=True)

    def predict(rows):
        return Predictions([["a", 'b"'], [], ["a"]], [np.array([0.75, 0.25], np.float32)] * 3, ("a", 'b"'))

    rows = list(csv.DictReader(StringIO(printed(predict, several))))
    assert [json.loads(row["prediction"]) for row in rows] == [["a", 'b"'], [], ["a"]]
    assert rows[0]['probability_b"'] == "0.25"
    assert [json.loads(line)["prediction"] for line in printed(predict, several, "jsonl").splitlines()][1] == []


def test_labels_of_elements_are_a_list_with_nothing_where_the_input_was_cut(tmp_path):
    elements = PredictionColumns(TargetKind.ELEMENT_CATEGORIES, ("labels",), probabilities=True)

    def predict(rows):
        chances = [np.array([[0.75, 0.25]], np.float32), np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)]
        return Predictions([["x", None], ["x", "y"]], chances, ("x", "y"))

    lines = [json.loads(line) for line in printed(predict, elements, "jsonl", count=2).splitlines()]
    assert lines[0] == {"prediction": ["x", None], "probabilities": [{"x": 0.75, "y": 0.25}]}
    write_predictions(numbered(2), Windows(predict), elements, tmp_path / "o.parquet", overwrite=False, reporter=QUIET)
    assert parquet.read_table(tmp_path / "o.parquet").to_pylist() == lines


def test_column_types_do_not_depend_on_the_values_of_the_first_window(tmp_path):
    """Where the first rows have no label at all, the column is text all the same."""
    several = PredictionColumns(TargetKind.CATEGORIES, ("tags",))

    def predict(rows):
        late = rows.values("number")[0] > 0
        return Predictions([["a"] if late else []] * len(rows), None, ("a",))

    written(tmp_path / "out.parquet", ROWS_PER_WINDOW + 1, predict, several)
    assert parquet.read_table(tmp_path / "out.parquet").column("prediction")[ROWS_PER_WINDOW].as_py() == ["a"]


def test_no_rows_are_a_file_with_a_header(tmp_path):
    assert written(tmp_path / "out.csv", 0, lambda rows: Predictions([]), wanted(keep=("id",))) == 0
    assert (tmp_path / "out.csv").read_text() == "id,prediction\n"


# --- errors


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("out.txt", "supported file endings are .csv, .jsonl, .ndjson, .parquet"),
        ("folder.csv", "it is a folder"),
        (
            "there.csv",
            "the file exists; choose another one, or pass overwrite (--overwrite)",
        ),
        ("nowhere/out.csv", "there is no folder nowhere"),
    ],
)
def test_an_invalid_path_is_rejected_before_predicting(tmp_path, monkeypatch, name, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "there.csv").write_text("precious")
    with pytest.raises(OutputError) as caught:
        written(tmp_path.joinpath(name).relative_to(tmp_path), predict=pytest.fail)
    assert str(caught.value) == f"The predictions cannot be written to {name}: {problem}."
    assert (tmp_path / "there.csv").read_text() == "precious"


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("precious")

    def breaks(rows):
        if rows.values("number")[0]:
            raise RuntimeError("in the second window")
        return predict_abc(rows)

    with pytest.raises(RuntimeError, match="in the second window"):
        written(path, ROWS_PER_WINDOW + 1, breaks, overwrite=True)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["out.csv"]
    written(path, overwrite=True)
    assert path.read_text() == "prediction\na\nb\nc\n"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_nothing_is_left_of_an_interrupted_file(tmp_path, suffix):
    def stopped(rows):
        if rows.values("number")[0]:
            raise KeyboardInterrupt
        return predict_abc(rows)

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / f"out{suffix}", ROWS_PER_WINDOW + 1, stopped)
    assert os.listdir(tmp_path) == []


def test_a_missing_column_cannot_be_kept():
    with pytest.raises(MissingColumn) as caught:
        printed(what=wanted(keep=("numbr",)), predict=pytest.fail)
    assert str(caught.value) == "rows.csv has no column 'numbr'. Did you mean 'number'? Columns: id, number."


def test_two_columns_of_one_name_are_rejected():
    with pytest.raises(InferenceError) as caught:
        printed(what=wanted(keep=("id", "id")))
    assert str(caught.value) == "The output would have two columns named 'id'. Keep other columns."


def test_probabilities_of_a_head_without_them_are_rejected():
    with pytest.raises(NoProbabilities) as caught:
        printed(lambda rows: Predictions([1.0] * 3), PredictionColumns(TargetKind.NUMBERS, ("n",), probabilities=True))
    assert str(caught.value) == "This model predicts without probabilities. Ask for the predictions alone."


def test_top_classes_of_several_labels_are_rejected():
    several = PredictionColumns(TargetKind.CATEGORIES, ("tags",), top=2)
    with pytest.raises(InferenceError) as caught:
        printed(lambda rows: Predictions([[]] * 3, [np.zeros(2, np.float32)] * 3, ("a", "b")), several)
    assert str(caught.value) == (
        "The most likely classes are defined for one label per row, but this model predicts categories. Leave top out."
    )


# --- grids of labels

GRIDS = PredictionColumns(TargetKind.GRID_CATEGORIES, ("mask",))


def grids(rows):
    """Predict the number of a row in a grid that has a column more in each row."""
    values = [np.full((2, number % 3 + 1), number, np.uint8) for number in rows.values("number")]
    return Predictions(values, None, (0, 1, 2))


def test_a_grid_of_labels_is_a_list_of_lists_in_json_lines():
    lines = printed(grids, GRIDS, "jsonl").splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == [[[0], [0]], [[1, 1], [1, 1]], [[2] * 3, [2] * 3]]


def test_a_grid_of_labels_is_a_list_of_lists_of_small_integers_in_parquet(tmp_path):
    assert written(tmp_path / "o.parquet", 2, grids, GRIDS) == 2
    table = parquet.read_table(tmp_path / "o.parquet")
    assert table.column("prediction").to_pylist() == [[[0], [0]], [[1, 1], [1, 1]]]
    assert table.column("prediction").type.value_type.value_type == pa.uint8()


def test_a_grid_of_words_is_written_too():
    def words_of(rows):
        return Predictions([np.array([["a", "b"]])] * len(rows), None, CLASSES)

    assert json.loads(printed(words_of, GRIDS, "jsonl", 1)) == {"prediction": [["a", "b"]]}


def test_few_grids_of_labels_are_predicted_at_a_time(tmp_path):
    sizes = []

    def counted(rows):
        sizes.append(len(rows))
        return grids(rows)

    written(tmp_path / "o.parquet", GRIDS_PER_WINDOW + 1, counted, GRIDS)
    assert sizes == [GRIDS_PER_WINDOW, 1]


def test_grids_of_labels_are_rejected_for_csv_before_predicting(tmp_path):
    message = (
        "This model predicts a grid of labels for each row, which a CSV cell cannot hold. Write a .jsonl or .parquet file, "
        'or print JSON lines (--json, form="jsonl").'
    )
    with pytest.raises(InferenceError) as caught:
        written(tmp_path / "o.csv", predict=pytest.fail, what=GRIDS)
    assert str(caught.value) == message
    with pytest.raises(InferenceError) as caught:
        printed(pytest.fail, GRIDS)
    assert str(caught.value) == message
    assert os.listdir(tmp_path) == []


# --- a label per pair of elements

PAIRS = PredictionColumns(TargetKind.PAIR_CATEGORIES, ("map",), probabilities=True)


def maps(rows):
    """Predict 1 for all pairs, of an element more in each row."""
    sizes = [number + 1 for number in rows.values("number")]
    values = [np.ones((size, size), np.int8) for size in sizes]
    return Predictions(values, [np.full((size, size, 2), [0.25, 0.75], np.float32) for size in sizes], (0, 1))


def test_labels_per_pair_are_a_list_of_lists_with_probabilities():
    lines = [json.loads(line) for line in printed(maps, PAIRS, "jsonl", 2).splitlines()]
    chance = {"0": 0.25, "1": 0.75}
    assert lines == [
        {"prediction": [[1]], "probabilities": [[chance]]},
        {"prediction": [[1, 1], [1, 1]], "probabilities": [[chance] * 2] * 2},
    ]


def test_labels_per_pair_are_rejected_for_csv():
    with pytest.raises(InferenceError):
        printed(pytest.fail, PAIRS)


# --- of a model


def test_a_model_writes_what_it_predicts(tmp_path):
    model = trained(words())
    rows = sentences(50, seed=5)
    assert model.predict_to(rows, tmp_path / "out.csv", probabilities=True, keep=["text"]) == 50
    found = list(csv.DictReader(StringIO((tmp_path / "out.csv").read_text())))
    assert [row["text"] for row in found] == rows["text"]
    assert [row["prediction"] for row in found] == model.predict(rows)
    expected = model.predict_proba(rows)
    assert [float(row["probability_a"]) for row in found] == pytest.approx([row["a"] for row in expected], abs=1e-6)
