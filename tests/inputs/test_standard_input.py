import gzip
from dataclasses import replace
from io import BytesIO

import pytest

from taskgraft.contract.rows import MissingColumn, UnreadableFile
from taskgraft.inputs.input_request import InputRequest
from taskgraft.inputs.standard_input import StandardInput, read_standard_input
from taskgraft.progress import ProgressReporter
from taskgraft.reading.errors import DataError

TEXT = InputRequest(
    {"text": "message"}, ("text",), frozenset(), lambda role, value: [value], keep=("id",), targets=("intent",)
)
TABLE = replace(TEXT, columns={"amount": "amount", "hour": "hour"}, roles=())


def piped(content, request=TEXT):
    content = content if isinstance(content, bytes) else content.encode()
    return read_standard_input(request, StandardInput(BytesIO(content), ProgressReporter()))


def messages(content, request=TEXT):
    return piped(content, request).values("message")


@pytest.mark.parametrize(
    "content",
    [
        "message\nlost, I fear\nlate\n".replace("lost, I fear", '"lost, I fear"'),
        'id,message\n1,"lost, I fear"\n2,late\n',
        "id\tmessage\n1\tlost, I fear\n2\tlate\n",
        "id;message\r\n1;lost, I fear\r\n2;late\r\n",
        '\ufeffmessage\n"lost, I fear"\nlate',
        '{"message": "lost, I fear"}\n{"message": "late", "id": 3}\n',
        '\n{"message": "lost, I fear"}\n{"message": "late"}',
        "lost, I fear\nlate\n",
        "lost, I fear\r\nlate",
    ],
)
def test_the_first_line_decides_how_texts_are_read(content):
    assert messages(content) == ["lost, I fear", "late"]


def test_one_text_per_line_is_said_and_nothing_else_is(capfd):
    piped("late\n")
    assert capfd.readouterr().err == (
        "Standard input is read as one text per line. Name another reader with --reader.\n"
    )
    piped("message\nlate\n")
    piped('{"message": "late"}\n')
    assert capfd.readouterr().err == ""


def test_an_empty_line_is_a_row_so_that_results_can_be_matched():
    rows = piped("late\n\nlost\n")
    assert (rows.values("message"), list(rows.lines)) == (["late", "", "lost"], [1, 2, 3])


def test_a_misspelt_header_is_still_a_header():
    with pytest.raises(MissingColumn) as caught:
        messages("id,mesage\n1,late\n")
    assert str(caught.value) == ("standard input has no column 'message'. Did you mean 'mesage'? Columns: id, mesage.")


def test_rows_without_a_header_lack_the_columns_of_a_table():
    with pytest.raises(MissingColumn) as caught:
        piped("3.5,12\n4.5,13\n", TABLE).values("amount")
    assert str(caught.value) == "standard input has no column 'amount'. Columns: 3.5, 12."


def test_the_reader_of_the_recipe_reads_what_is_not_json():
    request = replace(TEXT, reader={"name": "csv", "delimiter": "|"})
    assert messages("id|message\n1|late\n", request) == ["late"]
    assert messages('{"message": "late"}\n', request) == ["late"]


def test_a_named_reader_reads_anything():
    assert messages('{"message": 1}\n', replace(TEXT, keep=(), reader="lines", any_file=True)) == ['{"message": 1}']


def test_paths_start_at_the_working_directory():
    rows = piped("a.jpg\n", replace(TEXT, file_roles=frozenset({"text"})))
    assert (rows.folder, rows.source) == (None, "standard input")


def test_an_invalid_row_is_located_in_standard_input():
    rows = piped("id,message\n1,late\n2,lost,now\n")
    assert (rows.source, rows.location(1)) == ("standard input", "line 3")
    assert rows.invalid == {1: "the row has 3 values, but the header names 2 columns"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Standard input is empty. Pipe rows, JSON lines or texts into the command, one per line."),
        (b" \n\n", "Standard input is empty. Pipe rows, JSON lines or texts into the command, one per line."),
        (
            b"\x89PNG\x00\xff\xfe late",
            "Standard input is not text. Name its reader (--reader parquet), or name the file itself.",
        ),
        (
            gzip.compress(b"message\nlate\n", mtime=0),
            "Standard input is not text. Name its reader (--reader parquet), or name the file itself.",
        ),
    ],
)
def test_what_is_no_text_is_rejected(content, message):
    with pytest.raises(DataError) as caught:
        piped(content)
    assert str(caught.value) == message


def test_what_its_reader_rejects_is_called_standard_input():
    with pytest.raises(UnreadableFile) as caught:
        piped('message\n"never closed\n')
    assert str(caught.value).startswith("standard input: line 2: a quoted value is never closed")


def test_a_bare_carriage_return_in_a_text_is_no_error():
    assert messages("lost, I fear\rlate\n") == ["lost, I fear\rlate"]
