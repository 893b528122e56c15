"""Cells of predictions that a spreadsheet would run."""

import csv
from io import StringIO

import pytest
from commands import typed
from small_tasks import sentences, trained, training_stage, words

from taskgraft.inference.errors import InferenceError
from taskgraft.inference.writers import EscapingCsvWriter

FORMULAS = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    "＋1+1",
    "-",
    "=",
    "1=".lstrip("1"),
)
HARMLESS = ("1+1", "a=b", " =1", "'=1", "", "-5", "+5", "-1.5e-3", "5.", "text", "[=1]")

ROWS = sentences(12)
ROWS["label"] = [{"a": "=1+1", "b": "-5", "c": "@home"}[label] for label in ROWS["label"]]


@pytest.fixture(scope="module")
def model():
    return trained(words(), training_stage("block-1"), rows=ROWS)


def test_texts_that_begin_a_formula_get_an_apostrophe():
    cell = EscapingCsvWriter(StringIO(), 0).cell
    assert [cell(text) for text in FORMULAS] == [f"'{text}" for text in FORMULAS]
    assert [cell(text) for text in HARMLESS] == list(HARMLESS)
    assert [cell(value) for value in (-1.5, 3, None, True)] == [-1.5, 3, None, True]
    assert cell(["=1", "b"]) == '["=1", "b"]'


@pytest.mark.parametrize("escape", [False, True])
def test_predictions_kept_columns_and_headers_are_escaped_if_asked_for(model, escape):
    data = [{"text": text, "=note": note} for text, note in zip(ROWS["text"], FORMULAS, strict=True)]
    out = StringIO()
    model.predict_to(data, out, keep=["=note"], probabilities=True, escape_formulas=escape, quiet=True)
    header, *rows = csv.reader(StringIO(out.getvalue(), newline=""))
    mark = "'" if escape else ""
    assert header[0] == f"{mark}=note"
    assert [row[0] for row in rows] == [f"{mark}{note}" for note in FORMULAS]
    assert {row[1] for row in rows} <= {f"{mark}=1+1", "-5", f"{mark}@home"}
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[2:])


@pytest.mark.parametrize("name", ["predicted.jsonl", "predicted.parquet"])
def test_only_csv_files_have_formulas(model, name, tmp_path):
    with pytest.raises(InferenceError) as caught:
        model.predict_to(ROWS["text"], tmp_path / name, escape_formulas=True, quiet=True)
    assert str(caught.value) == (
        "Formulas are escaped only in CSV files. Write a .csv file, or leave out escape_formulas (--escape-formulas)."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_has_the_option(small_plugin_installed, tmp_path):
    import taskgraft as tg

    model = tg.compose("small-words", "classification", "linear-probe")
    model.fit(ROWS, target="label", quiet=True)
    artifact = model.save(tmp_path / "artifact")
    (tmp_path / "rows.csv").write_text("text,note\nlost card,=1+1\n")
    done = typed("predict", artifact, tmp_path / "rows.csv", "--keep", "note", "--escape-formulas", "-q")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].startswith("'=1+1,")


def test_a_carriage_return_in_a_cell_does_not_end_its_row(model):
    out = StringIO()
    notes = ["a\rb", "c\r\nd", "e\nf", 'g"\r']
    model.predict_to([{"text": "lost card", "note": note} for note in notes], out, keep=["note"], quiet=True)
    assert [row[0] for row in csv.reader(StringIO(out.getvalue(), newline=""))] == ["note", *notes]
