"""What can be named on the command line to predict for, and how it is read."""

import csv
import io
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from commands import typed
from small_tasks import sentences

import taskgraft as tg

ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)
TEXTS = sentences(12, 1)["text"]


@pytest.fixture
def pipe(monkeypatch):
    def pipe(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))

    return pipe


@pytest.fixture
def expected(place):
    return tg.load("intents").predict(TEXTS)


def predicted(*arguments):
    done = typed("predict", "intents", *arguments, "-q")
    assert (done.code, done.err) == (0, "")
    return [row["prediction"] for row in csv.DictReader(StringIO(done.out))]


def test_one_text(place, expected):
    assert predicted(TEXTS[1]) == predicted("--text", TEXTS[1]) == expected[1:2]


def test_several_texts(place, expected):
    assert predicted(*(word for text in TEXTS for word in ("--text", text))) == expected


def test_a_text_that_looks_like_a_path(place):
    assert predicted("--text", "late.csv") == tg.load("intents").predict(["late.csv"])


@pytest.mark.parametrize("form", ["lines", "csv", "json"])
def test_standard_input(place, expected, pipe, form):
    lines = {
        "lines": TEXTS,
        "csv": Path("valid.csv").read_text().splitlines(),
        "json": [json.dumps({"text": text}) for text in TEXTS],
    }[form]
    pipe("\n".join(lines))
    assert predicted("-") == expected


def test_standard_input_is_read_with_the_reader_that_is_named(place, expected, pipe):
    pipe("\n".join(TEXTS))
    assert predicted("-", "--reader", "lines") == expected
    pipe("nr;words\n" + "\n".join(f"{number};{text}" for number, text in enumerate(TEXTS)))
    settings = ("--reader", "{name: csv, delimiter: ;}", "--set", "data.inputs=words", "--keep", "nr")
    assert predicted("-", *settings) == expected


def test_a_reader_reads_a_file_of_another_suffix(place, expected):
    Path("valid.csv").rename("valid.dat")
    assert predicted("valid.dat", "--reader", "csv") == expected
    Path("texts.csv").write_text("\n".join(TEXTS))
    assert predicted("texts.csv", "--reader", "lines") == expected


def test_settings_of_the_data_hold_for_one_prediction(place, expected):
    Path("valid.csv").write_text(Path("valid.csv").read_text().replace("id,text,label", "id,words,label"))
    assert predicted("valid.csv", "--set", "data.inputs=words") == expected
    assert predicted("valid.csv", "--set", 'data.inputs={"text": "words"}') == expected


def test_a_pattern_that_matches_one_file_of_rows(place, expected):
    assert predicted("val*.csv") == expected


def test_rows_of_standard_input_are_evaluated(place, pipe):
    expected = typed("evaluate", "intents", "valid.csv", "--resamples", "0", "--json", "-q")
    pipe(Path("valid.csv").read_text())
    assert typed("evaluate", "intents", "-", "--resamples", "0", "--json", "-q").out == expected.out
    Path("valid.csv").write_text(Path("valid.csv").read_text().replace(",label", ",intent").replace(",", ";"))
    settings = ("--reader", "csv", "--set", "data.reader.delimiter=;", "--set", "data.target=intent")
    other = typed("evaluate", "intents", "valid.csv", *settings, "--resamples", "0", "--json", "-q")
    assert other.out == expected.out


def test_features_of_a_text_and_of_standard_input(place, pipe):
    pipe("\n".join(TEXTS[:3]))
    assert typed("features", "small-words", "-", "-o", "three.npy", "-q").code == 0
    assert typed("features", "small-words", TEXTS[1], "-o", "one.npy", "-q").code == 0
    np.testing.assert_allclose(np.load("three.npy")[1:2], np.load("one.npy"), atol=1e-6)


# --- invalid rows


@pytest.fixture
def bad(place):
    Path("bad.csv").write_text('id,text\n1,late\n2,""\n3,late,again\n4,lost\n')
    return place


def test_invalid_rows_are_an_error_by_default(bad):
    done = typed("predict", "intents", "bad.csv", "-o", "out.csv", "-q")
    assert (done.code, Path("out.csv").exists()) == (2, False)
    assert done.err == (f"Error: bad.csv, line 4: the row has 3 values, but the header names 2 columns.\n{ADVICE}\n")


def test_invalid_rows_are_left_out_on_request(bad):
    done = typed("predict", "intents", "bad.csv", "--on-bad-row", "skip", "--keep", "id")
    assert done.err == (
        "skipped, since the text is empty: 1 of 4 rows\n"
        "skipped, since the row has 3 values, but the header names 2 columns: 1 of 4 rows\n"
    )
    assert [line.rpartition(",")[0] for line in done.out.splitlines()] == ["line,id", "2,1", "5,4"]


def test_invalid_rows_are_written_without_a_prediction_on_request(bad):
    done = typed("predict", "intents", "bad.csv", "--on-bad-row", "null", "-o", "out.jsonl", "--keep", "id")
    assert done.err.endswith("2 predictions are in out.jsonl.\n")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    valid = tg.load("intents").predict(["late", "lost"])
    assert [row["prediction"] for row in rows] == [valid[0], None, None, valid[1]]
    assert [row["reason"] for row in rows] == [
        None, "the text is empty", "the row has 3 values, but the header names 2 columns", None,
    ]  # fmt: skip
    assert [row["id"] for row in rows] == ["1", "2", None, "4"]


def test_invalid_rows_are_left_out_of_an_evaluation_on_request(bad):
    Path("bad.csv").write_text('id,text,label\n1,late,a\n2,"",b\n4,lost,b\n')
    assert typed("evaluate", "intents", "bad.csv", "--resamples", "0", "-q").code == 2
    done = typed("evaluate", "intents", "bad.csv", "--set", "data.on_bad_row=skip", "--resamples", "0", "--json", "-q")
    assert json.loads(done.out)["rows"] == 2
