"""Files that are something else than their names say, or mean something else than they seem to: what a user reads."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from taskgraft.contract.rows import InvalidRows, Rows, UnreadableFile
from taskgraft.discovery.catalog import catalog
from taskgraft.files.regular_file import PIPE_ADVICE
from taskgraft.reading.read import read_rows

CSV = "text,label\nlost card,a\nrain,b\nwhere is it,a\n"
FRAME = pd.read_csv(io.StringIO(CSV))
SHEET = "Save the sheet as CSV, or read it with pandas.read_excel and pass the DataFrame."
UNPACK = "Unpack it, and name a file in it."
DECOMPRESS = "Decompress it; of compressed files only gzip is read."
PLAIN_MARKS = 'if quotation marks are ordinary characters, set data.reader = {name = "csv", quoting = "none"}'
ONE_OBJECT = "write one object per line, as DataFrame.to_json(…, orient='records', lines=True) does."
SKIP = 'Fix these rows, or drop them with data.on_bad_row = "skip".'


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def written(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("train.csv")
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV.encode()))
    return file.getvalue()


def read(folder: Path, name: str, content: bytes, **settings) -> Rows:
    (folder / name).write_bytes(content)
    reader = {"name": "csv", **settings} if settings else None
    return read_rows(folder / name, catalog(), "the data", reader=reader)


def problem(folder: Path, name: str, content: bytes, **settings) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read(folder, name, content, **settings)
    message = str(caught.value)
    assert message.startswith(f"{folder / name}: ")
    return message.removeprefix(f"{folder / name}: ")


def setting(**settings: object) -> str:
    pairs = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
    return f'data.reader = {{name = "csv", {", ".join(pairs)}}}'


# --- by their first bytes

FORMATS = {
    "gzip without .gz": (
        "train.csv",
        gzip.compress(CSV.encode()),
        "the file is gzipped, but its name does not end in .gz. Rename it to train.csv.gz.",
    ),
    ".gz without gzip": (
        "train.csv.gz",
        CSV.encode(),
        "its name ends in .gz, but the file is not gzipped. If it is plain, rename it to train.csv.",
    ),
    "gzipped twice": (
        "train.csv.gz",
        gzip.compress(gzip.compress(CSV.encode())),
        "the file is gzipped twice. Decompress it once.",
    ),
    "a workbook": ("train.csv", zipped("xl/workbook.xml"), f"the file is an Excel workbook. {SHEET}"),
    "a gzipped workbook": (
        "train.csv.gz",
        gzip.compress(zipped("xl/workbook.xml")),
        f"the file is a ZIP archive, or an incomplete one. {UNPACK}",
    ),
    "a workbook under its own name": (
        "train.xlsx",
        zipped("[Content_Types].xml", "xl/workbook.xml"),
        f"the file is an Excel workbook. {SHEET}",
    ),
    "a workbook named .jsonl": ("train.jsonl", zipped("xl/workbook.bin"), f"the file is an Excel workbook. {SHEET}"),
    "an old workbook": (
        "train.csv",
        bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500),
        f"the file is an Excel workbook in the old format, or another Office document with a password. {SHEET}",
    ),
    "OpenDocument": ("train.csv", zipped("mimetype", "content.xml"), f"the file is an OpenDocument file. {SHEET}"),
    "a Word document": (
        "train.csv",
        zipped("word/document.xml"),
        "the file is a Word document. Save its table as CSV.",
    ),
    "an archive": ("train.csv", zipped("rows.csv"), f"the file is a ZIP archive with rows.csv. {UNPACK}"),
    "an archive of many files": (
        "train.zip",
        zipped("a.csv", "b.csv", "c.csv", "d.csv"),
        f"the file is a ZIP archive with a.csv, b.csv, c.csv and 1 more. {UNPACK}",
    ),
    "half an archive": (
        "train.csv",
        zipped("rows.csv")[:40],
        f"the file is a ZIP archive, or an incomplete one. {UNPACK}",
    ),
    "a checkpoint": (
        "train.csv",
        zipped("archive/data.pkl"),
        "the file is a checkpoint of PyTorch, not a table of rows. Name a file of rows.",
    ),
    "tar": ("train.csv", tarred(), f"the file is a tar archive. {UNPACK}"),
    "bzip2": ("train.csv", bz2.compress(CSV.encode()), f"the file is compressed with bzip2. {DECOMPRESS}"),
    "xz": ("train.jsonl", lzma.compress(CSV.encode()), f"the file is compressed with xz. {DECOMPRESS}"),
    "zstd": ("train.csv", bytes.fromhex("28b52ffd") + bytes(20), f"the file is compressed with zstd. {DECOMPRESS}"),
    "Parquet named .csv": (
        "train.csv",
        written(lambda file: parquet.write_table(pa.Table.from_pandas(FRAME), file)),
        "the file is a Parquet file. Let its name end in .parquet.",
    ),
    "CSV named .parquet": (
        "train.parquet",
        CSV.encode(),
        "the file is not a Parquet file: it begins with 'text,label\\nlost '.",
    ),
    "a workbook named .parquet": (
        "train.parquet",
        zipped("xl/workbook.xml"),
        f"the file is an Excel workbook. {SHEET}",
    ),
    "Arrow": (
        "train.csv",
        written(lambda file: feather.write_feather(FRAME, file)),
        "the file is an Arrow file. Save it as Parquet, or read it with pyarrow.feather.read_table and pass the table.",
    ),
    "NumPy": (
        "train.csv",
        written(lambda file: np.save(file, np.arange(5))),
        "the file is a NumPy file. Read it with numpy.load, and pass a dict of columns.",
    ),
    "a pickle": (
        "train.pkl",
        pickle.dumps(FRAME),
        "the file is a pickle, which is never opened, since that can run code. Save the data as CSV or Parquet.",
    ),
    "PDF": ("train.csv", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "the file is a PDF document. It has no rows to read."),
    "PNG": ("train.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "the file is a PNG file. It has no rows to read."),
    "JPEG": ("train.csv", b"\xff\xd8\xff\xe0\0\x10JFIF", "the file is a JPEG file. It has no rows to read."),
    "a login page": (
        "train.csv",
        b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>",
        "the file is a web page, perhaps a login or an error page saved under this name. Download the file again.",
    ),
    "a Git LFS pointer": (
        "train.csv",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "the file is a Git LFS pointer, not the data themselves. Fetch them with git lfs pull.",
    ),
    "a Git LFS pointer named .parquet": (
        "train.parquet",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "the file is a Git LFS pointer, not the data themselves. Fetch them with git lfs pull.",
    ),
    "bytes": (
        "train.csv",
        bytes(range(256)) * 4,
        "the file is not text: it begins with the bytes 00 01 02 03 04 05 06 07.",
    ),
    "a JSON array named .jsonl": (
        "train.jsonl",
        b'[{"text": "a"},\n{"text": "b"}]\n',
        f"line 1 begins a JSON value of more than one row; {ONE_OBJECT}",
    ),
    "an object over many lines": (
        "train.jsonl",
        b'\n{\n  "text": "a"\n}\n',
        f"line 2 begins a JSON value of more than one row; {ONE_OBJECT}",
    ),
    "JSON lines named .csv": (
        "train.csv",
        b'{"text": "a", "label": "b"}\n{"text": "c", "label": "d"}\n',
        "line 1 is JSON. Let the name of a file with one JSON object per line end in .jsonl.",
    ),
    "JSON": (
        "train.json",
        b'[{"text": "a"}]',
        "the file is JSON. Write one object per line, into a file whose name ends in .jsonl.",
    ),
    "XML": (
        "train.xml",
        b'<?xml version="1.0"?>\n<rows/>',
        "the file is XML. Read it with pandas.read_xml and pass the DataFrame.",
    ),
    "XML named .csv": (
        "train.csv",
        b'<?xml version="1.0"?>\n<rows/>',
        "line 1 is XML. Read the file with pandas.read_xml, and pass the DataFrame.",
    ),
    "JSON lines named .json": (
        "train.json",
        b'{"text": "a"}\n{"text": "b"}\n',
        'the file has JSON objects in lines. Name the reader: data.reader = "json-lines".',
    ),
    "text of an unknown suffix": (
        "train.dat",
        CSV.encode(),
        'no reader takes files of this kind. If it is a table in text, name the reader: data.reader = "csv".',
    ),
}


@pytest.mark.parametrize("case", FORMATS)
def test_a_file_that_is_something_else_is_named(tmp_path, case):
    name, content, message = FORMATS[case]
    assert problem(tmp_path, name, content) == message


def test_a_database_is_named(tmp_path):
    connection = sqlite3.connect(tmp_path / "rows.db")
    FRAME.to_sql("rows", connection)
    connection.close()
    assert problem(tmp_path, "train.csv", (tmp_path / "rows.db").read_bytes()) == (
        "the file is an SQLite database. Read a table of it with pandas.read_sql and pass the DataFrame."
    )


@pytest.mark.parametrize(
    "name", ["PAR1", "ORCID", "GIF87a", "BZh", "DUCK", "MZ", "Obj", "%PDF", "[x]", "{id}", "ARROW1"]
)
def test_a_column_may_have_the_name_of_a_format(tmp_path, name):
    assert read(tmp_path, "train.csv", f"{name},label\n1,a\n".encode()).columns == (name, "label")


@pytest.mark.parametrize("name", ["TRAIN.CSV", "train.Csv.GZ", "TRAIN.TSV"])
def test_a_suffix_may_have_capital_letters(tmp_path, name):
    content = CSV.replace(",", "\t" if "TSV" in name else ",").encode()
    content = gzip.compress(content) if name.endswith("GZ") else content
    assert read(tmp_path, name, content).values("label") == ["a", "b", "a"]


# --- encodings

OTHER = (
    "If the file has another encoding (cp1251 for Cyrillic, shift_jis for Japanese, gb18030 for Chinese, …), name it"
)

ENCODINGS = {
    "UTF-16": (
        CSV.encode("utf-16"),
        {},
        f"the file is UTF-16 text, not UTF-8. Name the encoding: {setting(encoding='utf-16')}.",
    ),
    "UTF-16 without a mark": (
        CSV.encode("utf-16-le"),
        {},
        f"the file is UTF-16-LE text, not UTF-8. Name the encoding: {setting(encoding='utf-16-le')}.",
    ),
    "UTF-16 of the other order": (
        "текст,метка\nпривет,да\nпока,нет\n".encode("utf-16-be"),
        {},
        f"the file is UTF-16-BE text, not UTF-8. Name the encoding: {setting(encoding='utf-16-be')}.",
    ),
    "UTF-32": (
        CSV.encode("utf-32"),
        {},
        f"the file is UTF-32 text, not UTF-8. Name the encoding: {setting(encoding='utf-32')}.",
    ),
    "UTF-16 as latin-1": (
        CSV.encode("utf-16"),
        {"encoding": "latin-1"},
        f"the file is UTF-16 text, not LATIN-1. Name the encoding: {setting(encoding='utf-16')}.",
    ),
    "UTF-8 as cp1252": (
        CSV.encode("utf-8-sig"),
        {"encoding": "cp1252"},
        f"the file is UTF-8 text, not CP1252. Name the encoding: {setting(encoding='utf-8')}.",
    ),
    "UTF-8 as UTF-16": (
        CSV.encode(),
        {"encoding": "utf-16"},
        "the file is not UTF-16 text throughout. It may be cut off, or UTF-8: then leave out the encoding.",
    ),
    "UTF-16 that is cut off": (
        CSV.encode("utf-16")[:-1],
        {"encoding": "utf-16"},
        "the file is not UTF-16 text throughout. It may be cut off, or UTF-8: then leave out the encoding.",
    ),
    "UTF-8 as ASCII": (
        "text,label\nok,a\ncafé,b\n".encode(),
        {"encoding": "ascii"},
        f'line 3: the byte 0xc3 is not ASCII. As utf-8 the line reads "café,b": {setting(encoding="utf-8")}.',
    ),
    "cp1252": (
        "text,label\nPreis,a\nPreis 5 €,b\n".encode("cp1252"),
        {},
        f'line 3: the byte 0x80 is not UTF-8. As cp1252 the line reads "Preis 5 €,b": {setting(encoding="cp1252")}.',
    ),
    "cp1252 with another delimiter": (
        "text;label\n\ncafé;b\n".encode("cp1252"),
        {"delimiter": ";"},
        'line 3: the byte 0xe9 is not UTF-8. As cp1252 the line reads "café;b": '
        f"{setting(delimiter=';', encoding='cp1252')}.",
    ),
    "cp1252 with the line ends of old Macs": (
        "text,label\rok,a\rcafé,b\r".encode("cp1252"),
        {},
        f'line 3: the byte 0xe9 is not UTF-8. As cp1252 the line reads "café,b": {setting(encoding="cp1252")}.',
    ),
    "cp1252 in a long line": (
        f"text,label\n{'word ' * 40}café {'word ' * 40},b\n".encode("cp1252"),
        {},
        'line 2: the byte 0xe9 is not UTF-8. As cp1252 the line reads "…d word word word word word café word word word word '
        f'word wor…": {setting(encoding="cp1252")}.',
    ),
    "Cyrillic": (
        "text,label\nпривет мир,a\n".encode("cp1251"),
        {},
        f"line 2: the byte 0xef is not UTF-8. {OTHER}: {setting(encoding='…')}.",
    ),
    "Japanese": (
        "text,label\nカード,a\n".encode("shift-jis"),
        {},
        f"line 2: the byte 0x83 is not UTF-8. {OTHER}: {setting(encoding='…')}.",
    ),
    "two encodings": (
        "text,label\ncafé,a\n".encode() + "thé,b\n".encode("cp1252"),
        {},
        "line 3: the byte 0xe9 is not UTF-8, but line 2 is ('café,a'). Save all of the file in one encoding.",
    ),
    "a character cut off at the end": (
        "text,label\nthé,a\ncafé".encode()[:-1],
        {},
        "line 3: the byte 0xc3 is not UTF-8, but line 2 is ('thé,a'). Save all of the file in one encoding.",
    ),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_another_encoding_is_reported_with_the_setting(tmp_path, case):
    content, settings, message = ENCODINGS[case]
    assert problem(tmp_path, "train.csv", content, **settings) == message


@pytest.mark.parametrize(
    ("written_as", "named"),
    [
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
        ("utf-8-sig", "UTF8"),
        ("shift-jis", "shift_jis"),
    ],
)
def test_text_is_read_right_in_the_named_encoding(tmp_path, written_as, named):
    text = '"text",label\r\n"カード, 5",a\r\n' if "jis" in written_as else '"text",label\r\n"café, 5 €",a\r\n'
    rows = read(tmp_path, "train.csv", text.encode(written_as), encoding=named)
    assert rows.columns == ("text", "label")
    assert rows.values("text") == [text.split('"')[3]]
    assert list(rows.lines) == [2]


@pytest.mark.parametrize(
    "text", ["語" * 300, "привет\xad" * 50, "\u0600\u0604" * 90], ids=["Chinese", "Cyrillic", "Arabic"]
)
def test_text_with_few_latin_letters_is_read_in_utf_16_where_it_is_named(tmp_path, text):
    rows = read(tmp_path, "train.csv", f"{text},label\n{text},a\n".encode("utf-16-le"), encoding="utf-16-le")
    assert rows.values(text) == [text]


def test_json_lines_are_utf_8_alone(tmp_path):
    assert problem(tmp_path, "train.jsonl", '{"a": 1}\n'.encode("utf-16")) == (
        "the file is UTF-16 text, not UTF-8. Save it as UTF-8."
    )


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl", "a frame"])
def test_utf_8_that_was_read_as_cp1252_and_saved_is_reported(tmp_path, name):
    texts = ["cafÃ©", "ok", "donâ€™t", "CAFÉ”, MANHÃ… À la carte", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "naïve"]
    frame = pd.DataFrame({"text": texts, "label": ["a", "b"] * 3})
    data = frame if name == "a frame" else tmp_path / name
    if name == "train.csv":
        frame.to_csv(data, index=False)
    elif name == "train.jsonl":
        frame.to_json(data, orient="records", lines=True)
    rows = read_rows(data, catalog(), "the data")
    assert rows.remarks == {"the text looks like UTF-8 that was read as cp1252 ('cafÃ©' for 'café')": [0, 2, 4]}
    assert rows.values("text") == texts


# --- quotation marks

OPENED = "text\tlabel\n" + "ok\ta\n" * 3 + '"open it\ta\n' + "fine\tb\n" * 9


def test_rows_that_a_quotation_mark_swallows_are_reported(tmp_path):
    rows = read(tmp_path, "train.tsv", (OPENED + '12"\tb\nlast\ta\n').encode())
    assert len(rows) == 5
    assert rows.remarks == {
        f"a quoted value holds lines that look like rows (the first on lines 5 to 15); {PLAIN_MARKS}": [3]
    }


def test_quotation_marks_are_characters_like_others_on_request(tmp_path):
    rows = read(tmp_path, "train.tsv", (OPENED + '12"\tb\nlast\ta\n').encode(), quoting="none")
    assert (len(rows), rows.remarks) == (15, {})
    assert [rows.value("text", row) for row in (3, 13)] == ['"open it', '12"']
    assert list(rows.lines) == list(range(2, 17))


def test_rows_that_end_within_an_invalid_row_are_named(tmp_path):
    with pytest.raises(InvalidRows) as caught:
        read(tmp_path, "train.tsv", (OPENED + 'he said "yes"\tb\nlast\ta\n').encode())
    assert str(caught.value) == (
        f"train.tsv, line 5: a quoted value swallows the next lines ('\\t' expected after '\"'); {PLAIN_MARKS}.\n{SKIP}"
    )


def test_rows_that_end_within_a_row_of_another_length_are_named(tmp_path):
    with pytest.raises(InvalidRows) as caught:
        read(tmp_path, "train.tsv", (OPENED + '12"\tb\tc\nlast\ta\n').encode())
    assert str(caught.value) == (
        "train.tsv, line 5: the row has 3 values, but the header names 2 columns, and spans several lines; "
        f"{PLAIN_MARKS}.\n{SKIP}"
    )


def test_a_value_of_many_lines_is_reported_where_it_is_rare(tmp_path):
    letter = '"' + "a line\n" * 12 + '",a\n'
    rows = read(tmp_path, "train.csv", ("text,label\n" + letter + "x,b\n" * 30).encode())
    assert rows.remarks == {f"a row spans more than 5 lines (the first on lines 2 to 14); {PLAIN_MARKS}": [0]}
    assert read(tmp_path, "train.csv", ("text,label\n" + letter * 30).encode()).remarks == {}


def test_letters_with_commas_are_not_taken_for_rows(tmp_path):
    letter = '"Dear Bob,\nthank you.\nRegards, Al",a\n'
    assert read(tmp_path, "train.csv", ("text,label\n" + letter * 3).encode()).remarks == {}


def test_rows_with_many_commas_are_taken_for_rows(tmp_path):
    content = 'a,b,c,d\n"x,2,3,4\n5,6,7,8\n9,y",1,2,3\n1,2,3,4\n'
    assert list(read(tmp_path, "train.csv", content.encode()).remarks) == [
        f"a quoted value holds lines that look like rows (the first on lines 2 to 4); {PLAIN_MARKS}"
    ]


# --- headers and delimiters

HEADERS = {
    "Excel's note": (
        "train.csv",
        "sep=;\ntext;label\na;b\n",
        "line 1 is Excel's note on the delimiter, 'sep=;'. Skip it, and name the delimiter: "
        f"{setting(delimiter=';', skip=1)}.",
    ),
    "a title": (
        "train.csv",
        "Export of May\n\ntext,label,id\na,b,1\nc,d,2\n",
        "line 1 names 1 column, 'Export of May', but from line 3 there are 3 values in a line. If line 3 is the header, skip "
        f"the lines above it: {setting(skip=2)}.",
    ),
    "a title with a comma": (
        "train.csv",
        "Export, May\na,b,c,d\n1,2,3,4\n5,6,7,8\n",
        "line 1 names 2 columns, 'Export', ' May', but from line 2 there are 4 values in a line. If line 2 is the header, skip "
        f"the lines above it: {setting(skip=1)}.",
    ),
    "commas in a .tsv file": (
        "train.tsv",
        CSV,
        "line 1 names a single column, 'text,label'. If values are not separated by tabs, name the delimiter: "
        f"{setting(delimiter=',')}.",
    ),
    "semicolons and decimal commas": (
        "train.csv",
        "price, net;qty;label\n1,5;2;a\n",
        "line 1 names 2 columns, 'price', ' net;qty;label'. If values are not separated by commas, name the delimiter: "
        f"{setting(delimiter=';')}.",
    ),
    "names apart from white space": (
        "train.csv",
        "label, label\na,b\n",
        "line 1: 'label', ' label' differ only in white space. Give each column a name of its own.",
    ),
    "numbers instead of a header": (
        "train.csv",
        "1,1,0\n4,3,0\n",
        "line 1: '1' names more than one column. If the file has no header, add a line with the names of the columns.",
    ),
    "a quotation mark that opens in the header": (
        "train.csv",
        'text,"label\na,b\nc,d\n',
        f"line 1: the header cannot be parsed (unexpected end of data); {PLAIN_MARKS}.",
    ),
    "values without a name": (
        "train.csv",
        "text,label,\na,b,\nc,d,7\n",
        "line 1: the last column has no name, but on line 3 the value '7'. Name it.",
    ),
}


@pytest.mark.parametrize("case", HEADERS)
def test_another_header_is_reported_with_the_setting(tmp_path, case):
    name, content, message = HEADERS[case]
    assert problem(tmp_path, name, content.encode()) == message


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("sep=;\ntext;label\nlost card;a\nrain;b\nwhere is it;a\n", {"delimiter": ";", "skip": 1}),
        (f"Export of May\n\n{CSV}", {"skip": 2}),
        (CSV.replace(",", "|"), {"delimiter": "|"}),
    ],
)
def test_what_a_message_advises_reads_the_file(tmp_path, content, settings):
    rows = read(tmp_path, "train.csv", content.encode(), **settings)
    assert rows.table.to_pydict() == FRAME.to_dict("list")
    first = settings.get("skip", 0) + 2
    assert list(rows.lines) == [first, first + 1, first + 2]


def test_a_header_that_looks_like_values_is_reported(tmp_path):
    rows = read(tmp_path, "iris.csv", b"5.1,3.5,1.4,0.2,setosa\n4.9,3.0,1.4,0.2,setosa\n")
    assert rows.notes == {
        "line 1 is read as the header, but looks like values (5.1, 3.5, 1.4, 0.2 and 1 more); if the file has no header, add a "
        "line with the names of the columns": 1
    }


@pytest.mark.parametrize("header", ["0,1,2,label", "400.5,401.0,401.5,label", "2019,2020,2021", "text,1"])
def test_rising_numbers_may_be_names(tmp_path, header):
    values = ",".join("x" for _ in header.split(","))
    assert read(tmp_path, "data.csv", f"{header}\n{values}\n".encode()).notes == {}


def test_white_space_around_names_is_reported(tmp_path):
    rows = read(tmp_path, "train.csv", b"text, label\na,b\nc,d\n")
    assert rows.columns == ("text", " label")
    assert rows.notes == {"there is white space around the column names ' label'": 2}


def test_a_delimiter_at_the_end_of_each_line_makes_no_column(tmp_path):
    rows = read(tmp_path, "train.csv", b"text,label,\na,b,\nc,d,\n")
    assert rows.columns == ("text", "label")
    assert rows.notes == {"the last column has neither a name nor values, so it is left out": 2}


@pytest.mark.parametrize(("delimiter", "accepted"), [('"', False), ("\n", False), ("\x01", True)])
def test_a_delimiter_is_a_character_that_can_separate(tmp_path, delimiter, accepted):
    content = CSV.replace(",", delimiter if accepted else ",").encode()
    if accepted:
        assert len(read(tmp_path, "train.csv", content, delimiter=delimiter)) == 3
        return
    with pytest.raises(Exception, match="a quotation mark or a line break cannot separate values"):
        read(tmp_path, "train.csv", content, delimiter=delimiter)


# --- rows

ROWS = {
    "a repeated header": (
        "text,label\na,b\n\ufefftext,label\nc,d\n",
        f"train.csv, line 3: the row repeats the header, as of a file that was appended.\n{SKIP}",
    ),
    "a NUL byte": ("text,label\nlo\0st,a\nok,b\n", f"train.csv, line 2: the value of 'text' has a NUL byte.\n{SKIP}"),
    "a comma in a table of one column": (
        "text\nlost card\nwell, yes\nrain\n",
        f"train.csv, line 3: the row has 2 values, but the header names 1 column.\n{SKIP}",
    ),
    "one name fewer than values": (
        "text,label\n1,a,b\n2,c,d\n",
        "train.csv, line 2: the row has 3 values, but the header names 2 columns. 2 of 2 rows are like this (lines 2, 3).\n"
        + SKIP,
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_an_odd_row_is_invalid(tmp_path, case):
    content, message = ROWS[case]
    with pytest.raises(InvalidRows) as caught:
        read(tmp_path, "train.csv", content.encode())
    assert str(caught.value) == message


def test_a_byte_order_mark_within_the_file_is_left_out_and_reported(tmp_path):
    rows = read(tmp_path, "train.csv", "\ufefftext,label\na,x\n\ufeffb,y\n".encode())
    assert rows.values("text") == ["a", "b"]
    assert rows.remarks == {
        "a byte order mark at the start of the row is left out, as of a file that was appended": [1]
    }


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_line_ends_of_other_systems_are_read(tmp_path, end):
    rows = read(tmp_path, "train.csv", (CSV.replace("\n", end) + "\x1a").encode())
    assert rows.table.to_pydict() == FRAME.to_dict("list")
    assert list(rows.lines) == [2, 3, 4]


# --- files that can be read only once


def test_a_pipe_is_not_opened(tmp_path):
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    with pytest.raises(UnreadableFile) as caught:
        read_rows(pipe, catalog(), "the data")
    assert str(caught.value) == f"{pipe}: the file cannot be read (it is a pipe, not a regular file). {PIPE_ADVICE}"
