"""What a user reads after naming the wrong thing to predict for: the whole text, exit code 2, and nothing written."""

import gzip
import io
import re
from pathlib import Path

import pytest
from commands import typed
from refusals import refused
from small_recipe import fitted_recipe

ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)
ITSELF = "To predict for the text itself, put it in a list (--text on the command line)."
WHAT = (
    "Pass a text, a list of texts, the path of a file, a DataFrame, an Arrow table, a Dataset, a dict or a list of dicts with "
    "'text'."
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    with fitted_recipe(tmp_path_factory.mktemp("fitted")) as folder:
        yield folder


@pytest.fixture
def folder(fitted, tmp_path, monkeypatch):
    """The working directory, with an artifact and rows."""
    (tmp_path / "intents").symlink_to(fitted / "intents")
    (tmp_path / "valid.csv").write_bytes((fitted / "valid.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pipe(monkeypatch):
    def pipe(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return pipe


def refused_prediction(*arguments):
    return refused("predict", "intents", *arguments, "-o", "out.csv", "-q")


# --- what is named


NAMED = [
    ((), "Name the data: a file or folder, a pattern, a text (--text), or - for standard input."),
    (("valid.csv", "--text", "late"), "Give either DATA, --text, or - for standard input, not several of them."),
    (("-", "valid.csv"), "Give either DATA, --text, or - for standard input, not several of them."),
    (("",), f"An empty text was given. {WHAT}"),
    (("  ",), f"An empty text was given. {WHAT}"),
    (("valid.cvs",), f"valid.cvs: there is no such file. {ITSELF}"),
    (("valid2.csv",), "valid2.csv: there is no such file."),
    (("photo.jpg",), f"photo.jpg: there is no such file. {ITSELF}"),
    (("rows/late",), f"rows/late: there is no such file. {ITSELF}"),
    (("rows/*.csv",), f"No file matches rows/*.csv. {ITSELF}"),
    (
        ("where", "is", "my", "card"),
        "Several arguments were given: where, is, my, card. Put quotation marks around a text of several words, and give "
        "several texts with --text, once for each.",
    ),
    (("valid.csv", "more.csv"), "more.csv: there is no such file."),
    (
        ("valid.csv", "valid.csv"),
        "2 files were given: valid.csv, valid.csv. Predict for one file of rows at a time, or join them.",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), NAMED)
def test_nothing_or_the_wrong_thing_is_named(folder, arguments, message):
    assert refused_prediction(*arguments) == message


def test_a_folder_without_rows(folder):
    (folder / "photos").mkdir()
    message = refused_prediction("photos")
    assert message.startswith("photos: no reader takes this folder. Readers look for ")
    assert message.endswith(f" in it. {ITSELF}")


def test_two_files_of_rows_in_a_pattern(folder):
    (folder / "valid2.csv").write_bytes((folder / "valid.csv").read_bytes())
    assert refused_prediction("valid*.csv") == (
        "2 files were given: valid.csv, valid2.csv. Predict for one file of rows at a time, or join them."
    )


def test_a_file_of_texts_without_a_reader(folder):
    (folder / "texts.txt").write_text("late\nlost\n")
    message = refused_prediction("texts.txt")
    assert message.startswith("texts.txt: no reader takes files of this kind. ")
    assert message.endswith("For one text per line, name the reader: lines (--reader lines).")


# --- how it is read


READ = [
    (("--reader", "cvs"), r"No reader named 'cvs'. Did you mean 'csv' \(from taskgraft 0.1.0\)\?\n.*"),
    (("--reader", "json-lines"), r"valid.csv: the file contains no JSON object; one per line is needed."),
    (("--set", "training.epochs=3"), r"'training.epochs=3' cannot be set: only settings of the data can be changed after the "
     r"fit: data.KEY=VALUE."),
    (("--set", "data.train=a.csv"), r"data: 'train' belongs to a fit, not to a prediction."),
    (("--set", "data.split=fraction:0.2"), r"data: 'split' belongs to a fit, not to a prediction."),
    (("--set", "data.exclude=id"), r"data: 'exclude' belongs to a fit, not to a prediction."),
    (("--set", "data.mising=NA"), r"'data.mising=NA' cannot be set: a recipe has no 'data.mising'. "
     r"Did you mean 'data.missing'\? .*"),
    (("--set", "data.reader.delimiter=;"), r"'data.reader.delimiter=;' cannot be set: name the reader as well: --reader NAME."),
    (("--set", "data.inputs=words"), r"valid.csv has no column 'words'. Columns: id, text, label."),
    (("--set", 'data.inputs={"txt": "text"}'), r"data: inputs: the model has no input 'txt'. Inputs: text."),
    (("--set", 'data.inputs=["id", "text"]'), r"data: inputs: 2 columns for the inputs text."),
    (("--on-bad-row", "ignore"), r"on_bad_row is 'ignore'. Choose 'error', 'skip', 'null'."),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), READ)
def test_the_data_are_read_in_a_way_that_does_not_fit(folder, arguments, message):
    assert re.fullmatch(message, refused_prediction("valid.csv", *arguments), re.DOTALL)


# --- standard input


PIPED = [
    (b"", "Standard input is empty. Pipe rows, JSON lines or texts into the command, one per line."),
    (b"\n \n", "Standard input is empty. Pipe rows, JSON lines or texts into the command, one per line."),
    (
        b"\x89PNG\r\n\x1a\n\x00\x00",
        "Standard input is not text. Name its reader (--reader parquet), or name the file itself.",
    ),
    (
        gzip.compress(b"text\nlate\n", mtime=0),
        "Standard input is not text. Name its reader (--reader parquet), or name the file itself.",
    ),
    (
        b"id,txt,label\n1,late,a\n",
        "standard input has no column 'text'. Did you mean 'txt'? Columns: id, txt, label.",
    ),
    (b'{"words": "late"}\n', "standard input has no column 'text'. Columns: words."),
    (b'{"text": "late"}\n{"text": }\n', f"standard input, line 2: the line is not JSON (Expecting value).\n{ADVICE}"),
    (b"late\n\nlost\n", f"standard input, line 2: the text is empty.\n{ADVICE}"),
    (
        b"text\nlate\nlost, now\n",
        f"standard input, line 3: the row has 2 values, but the header names 1 column.\n{ADVICE}",
    ),
]


@pytest.mark.parametrize(("content", "message"), PIPED)
def test_standard_input_that_cannot_be_predicted_for(folder, pipe, content, message):
    pipe(content)
    assert refused_prediction("-") == message


def test_standard_input_that_the_named_reader_cannot_read(folder, pipe):
    pipe(b"text\nlate\n")
    assert refused_prediction("-", "--reader", "parquet") == (
        r"standard input: the file is not a Parquet file: it begins with 'text\nlate\n'."
    )


# --- invalid rows


def test_only_invalid_rows_that_would_all_be_left_out(folder):
    Path("bad.csv").write_text('text\n""\n""\n')
    assert refused_prediction("bad.csv", "--on-bad-row", "skip") == (
        f"bad.csv, line 2: the text is empty. 2 of 2 rows are like this (lines 2, 3).\n{ADVICE}"
    )


def test_a_reason_beside_a_column_of_that_name(folder):
    Path("new.csv").write_text("text,reason\nlate,x\n")
    assert refused_prediction("new.csv", "--on-bad-row", "null", "--keep", "reason") == (
        "The output would have two columns named 'reason'. Keep other columns."
    )


def test_a_bad_last_line_after_a_window_of_predictions(folder):
    Path("long.csv").write_text("text\n" + "late card\n" * 4_096 + '""\n')
    done = typed("predict", "intents", "long.csv", "-o", "out.csv", "-q")
    assert (done.code, Path("out.csv").exists()) == (2, False)
    assert done.err == (
        "Error: long.csv, line 4,098: the text is empty.\n"
        f"The other 4,096 predictions are in out.partial.csv, where these rows have none. {ADVICE}\n"
    )
    assert len(Path("out.partial.csv").read_text().splitlines()) == 4_098


def test_a_bad_last_line_that_the_reader_finds_costs_nothing(folder):
    Path("long.csv").write_text("text\n" + "late card\n" * 4_096 + "late, card\n")
    assert refused_prediction("long.csv") == (
        f"long.csv, line 4,098: the row has 2 values, but the header names 1 column.\n{ADVICE}"
    )
