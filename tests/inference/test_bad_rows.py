"""Invalid rows of a prediction: an error that loses nothing, left out, or null with the reason."""

import csv
import json
from io import StringIO

import pytest
from prediction_windows import CLASSES, Windows, numbered, predict_abc, wanted
from pyarrow import parquet
from small_tasks import sentences, trained, training_stage, words

from taskgraft.contract.rows import InvalidRows
from taskgraft.inference import write_predictions as writing
from taskgraft.inference.errors import InferenceError
from taskgraft.inference.write_predictions import write_predictions
from taskgraft.progress import ProgressReporter

ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch):
    monkeypatch.setattr(writing, "ROWS_PER_WINDOW", 10)


def write(path, invalid, on_bad_row="error", count=35, reader_invalid=(), **more):
    predictor = Windows(predict_abc, invalid)
    rows = numbered(count)
    rows = type(rows)(rows.table, rows.source, rows.lines, dict.fromkeys(reader_invalid, "it cannot be parsed"))
    try:
        number, reasons = write_predictions(
            rows, predictor, wanted(**more), path, on_bad_row=on_bad_row, reporter=ProgressReporter()
        )
        return number, dict(reasons), predictor.computed
    except InvalidRows as error:
        return str(error), predictor.computed


def table_of(path):
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: text or None for name, text in row.items()} for row in csv.DictReader(StringIO(path.read_text()))]


# --- error


def test_an_invalid_row_that_is_found_before_anything_was_computed_stops_at_once(tmp_path):
    message, computed = write(tmp_path / "out.csv", {3, 34})
    assert message == f"rows.csv, line 5: it is planted. 2 of 35 rows are like this (lines 5, 36).\n{ADVICE}"
    assert computed == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_invalid_last_row_does_not_throw_away_what_was_computed(tmp_path, suffix, capfd):
    message, computed = write(tmp_path / f"out{suffix}", {12, 34}, keep=("id",))
    kept = tmp_path / f"out.partial{suffix}"
    assert message == (
        "rows.csv, line 14: it is planted. 2 of 35 rows are like this (lines 14, 36).\n"
        f"The other 33 predictions are in {kept}, where these rows have none. {ADVICE}"
    )
    assert capfd.readouterr().err == "rows.csv, line 14: it is planted. The other rows are predicted first.\n"
    assert computed == 33
    assert list(tmp_path.iterdir()) == [kept]
    expected = [None if row in (12, 34) else CLASSES[row % 3] for row in range(35)]
    assert [row["prediction"] for row in table_of(kept)] == expected
    assert [row["id"] for row in table_of(kept)] == [f"{row:05}" for row in range(35)]


def test_earlier_partial_files_are_never_replaced(tmp_path):
    (tmp_path / "out.partial.csv").write_text("precious")
    write(tmp_path / "out.csv", {34})
    assert (tmp_path / "out.partial.csv").read_text() == "precious"
    assert len(table_of(tmp_path / "out.partial2.csv")) == 35


def test_an_existing_output_stays_when_a_row_is_invalid(tmp_path):
    (tmp_path / "out.csv").write_text("precious")
    predictor = Windows(predict_abc, {34})
    with pytest.raises(InvalidRows):
        write_predictions(
            numbered(35),
            predictor,
            wanted(),
            tmp_path / "out.csv",
            overwrite=True,
            reporter=ProgressReporter(quiet=True),
        )
    assert (tmp_path / "out.csv").read_text() == "precious"


def test_a_stream_keeps_the_windows_before_the_first_invalid_row_and_lists_all_of_them():
    stream = StringIO()
    message, computed = write(stream, {12, 34})
    assert message.startswith("rows.csv, line 14: it is planted. 2 of 35 rows are like this (lines 14, 36).")
    assert (computed, len(stream.getvalue().splitlines())) == (10, 11)


# --- skip


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_skipped_rows_are_left_out_and_the_others_have_their_line(tmp_path, suffix):
    count, reasons, computed = write(tmp_path / f"out{suffix}", {3, 34}, "skip", reader_invalid=(20,))
    assert (count, computed) == (32, 32)
    assert reasons == {3: "it is planted", 20: "it cannot be parsed", 34: "it is planted"}
    rows = table_of(tmp_path / f"out{suffix}")
    left = [row for row in range(35) if row not in reasons]
    assert [int(row["line"]) for row in rows] == [row + 2 for row in left]
    assert [row["prediction"] for row in rows] == [CLASSES[row % 3] for row in left]


def test_nothing_is_written_if_all_rows_would_be_skipped(tmp_path):
    message, _ = write(tmp_path / "out.csv", set(range(35)), "skip")
    assert message.startswith("rows.csv, line 2: it is planted. 35 of 35 rows are like this")
    assert list(tmp_path.iterdir()) == []


# --- null


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("invalid", [set(), {3, 34}, set(range(12)), set(range(10, 20)), {*range(10), *range(30, 35)}])
def test_null_rows_are_written_with_the_reason(tmp_path, suffix, invalid):
    path = tmp_path / f"out{suffix}"
    count, _, computed = write(path, invalid, "null", keep=("id",), probabilities=True, top=1)
    rows = table_of(path)
    assert count == computed == 35 - len(invalid)
    assert list(rows[0]) == [
        "id", "prediction", "top_1", "top_1_probability", "probability_a", "probability_b", "probability_c", "reason",
    ]  # fmt: skip
    assert [row["id"] for row in rows] == [f"{row:05}" for row in range(35)]
    assert [row["prediction"] for row in rows] == [None if row in invalid else CLASSES[row % 3] for row in range(35)]
    assert [row["reason"] for row in rows] == ["it is planted" if row in invalid else None for row in range(35)]
    assert [row["probability_a"] is None for row in rows] == [row in invalid for row in range(35)]


def test_all_rows_may_be_null(tmp_path):
    assert write(tmp_path / "out.csv", set(range(35)), "null")[0] == 0
    assert [*table_of(tmp_path / "out.csv")[0].values()] == [None, "it is planted"]


def test_a_kept_column_named_reason_is_rejected(tmp_path):
    rows = numbered(3)
    rows = type(rows)(rows.table.rename_columns(["reason", "number"]), "rows.csv")
    with pytest.raises(InferenceError, match="The output would have two columns named 'reason'"):
        write_predictions(
            rows, Windows(predict_abc), wanted(keep=("reason",)), tmp_path / "o.csv", on_bad_row="null",
            reporter=ProgressReporter(quiet=True),
        )  # fmt: skip


# --- in memory


@pytest.fixture(scope="module")
def model():
    return trained(words(), training_stage("block-1"))


DATA = ["lost card", "", "late", None]
REASONS = {1: "the text is empty", 3: "the text is empty"}


def test_results_in_memory_say_which_rows_they_are_for(model, capfd):
    valid = model.predict(["lost card", "late"], quiet=True)
    null = model.predict(DATA, on_bad_row="null")
    assert "without a prediction, since the text is empty: 2 of 4 rows\n" in capfd.readouterr().err
    assert (null, list(null.rows), null.reasons) == ([valid[0], None, valid[1], None], [0, 1, 2, 3], REASONS)
    skipped = model.predict(DATA, on_bad_row="skip")
    assert "skipped, since the text is empty: 2 of 4 rows\n" in capfd.readouterr().err
    assert (skipped, list(skipped.rows), skipped.reasons) == (valid, [0, 2], REASONS)
    chances = model.predict_proba(DATA, on_bad_row="null", quiet=True)
    assert [one and max(one, key=one.get) for one in chances] == null
    with pytest.raises(InvalidRows) as caught:
        model.predict(DATA)
    assert str(caught.value) == (
        f"the data, row 1: the text is empty. 2 of 4 rows are like this (rows 1, 3).\n{ADVICE}"
    )


def test_invalid_rows_are_skipped_by_a_setting_of_the_data_too(model):
    assert model.predict(DATA, settings={"on_bad_row": "skip"}, quiet=True).reasons == REASONS


def test_results_are_plain_json(model):
    assert json.loads(json.dumps(model.predict(["late"], quiet=True))) == model.predict(["late"], quiet=True)


def test_all_rows_may_be_invalid_in_memory(model):
    assert model.predict(["", None], on_bad_row="null", quiet=True) == [None, None]
    with pytest.raises(InvalidRows):
        model.predict(["", None], on_bad_row="skip", quiet=True)


def test_a_reader_s_invalid_rows_are_treated_like_a_processor_s(model, tmp_path):
    (tmp_path / "rows.csv").write_text("text,id\nlost card,1\n,2\nlate,3,4\nlate,5\n")
    null = model.predict(tmp_path / "rows.csv", on_bad_row="null", quiet=True)
    assert null.reasons == {
        1: "the text is empty",
        2: "the row has 3 values, but the header names 2 columns",
    }
    assert model.predict_to(tmp_path / "rows.csv", tmp_path / "out.csv", on_bad_row="skip", quiet=True) == 2
    assert [row["line"] for row in table_of(tmp_path / "out.csv")] == ["2", "5"]


def test_an_unknown_choice_is_rejected_before_anything_is_read(model):
    with pytest.raises(InferenceError) as caught:
        model.predict("missing.csv", on_bad_row="ignore")
    assert str(caught.value) == "on_bad_row is 'ignore'. Choose 'error', 'skip', 'null'."


def test_a_bad_last_line_of_a_long_file_keeps_the_predictions(model, tmp_path):
    texts = sentences(25, seed=3)["text"]
    (tmp_path / "rows.csv").write_text("text\n" + "\n".join(texts) + '\n""\n')
    with pytest.raises(InvalidRows) as caught:
        model.predict_to(tmp_path / "rows.csv", tmp_path / "out.csv", quiet=True)
    assert str(caught.value) == (
        "rows.csv, line 27: the text is empty.\n"
        f"The other 25 predictions are in {tmp_path}/out.partial.csv, where these rows have none. {ADVICE}"
    )
    kept = [row["prediction"] for row in table_of(tmp_path / "out.partial.csv")]
    assert kept == [*model.predict(texts, quiet=True), None]
