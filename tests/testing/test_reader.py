"""Each check of the conformance kit for readers catches a fault planted for it, and reports it in the author's terms."""

import itertools
from dataclasses import replace

import pyarrow as pa
import pytest
from kit_laws import ADVICE, message
from pyarrow import parquet

from taskgraft import testing as kit
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import Rows, UnreadableFile
from taskgraft.contract.specs import ReaderSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.testing import ContractViolation, InsufficientExamples, ReaderLaws

CALLS = itertools.count()


def right(path, settings):
    """Reads a line of text per row."""
    try:
        texts = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(str(path), f"it cannot be read ({error}).") from None
    return Rows(pa.table({"text": texts}), path.name, list(range(1, len(texts) + 1)), {1: "it is odd"})


def writes_beside(path, settings):
    path.with_suffix(".index").write_text("")
    return right(path, settings)


def counts_calls(path, settings):
    return Rows(pa.table({"text": [str(next(CALLS)), "b"]}), path.name)


def planted(read):
    return ReaderSpec(name="planted", summary="a planted reader", config=EmptyConfig, suffixes=(".txt",), read=read)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "data.txt").write_text("one\ntwo\nthree")
    return tmp_path / "data.txt"


def check_all(spec, path):
    kit.check_reading_is_repeatable(spec, path, spec.config())
    kit.check_rows_can_be_located(spec, path, spec.config())
    kit.check_columns_are_the_same_alone(spec, path, spec.config())
    kit.check_suffixes_are_valid(spec)
    kit.check_unreadable_files_are_reported(spec, spec.config())


def test_a_correct_reader_passes(file):
    check_all(planted(right), file)


@pytest.mark.parametrize(
    ("name", "content"), [("csv", "a,b\n1,2\n3\n4,5\n"), ("json-lines", '{"a": 1}\n\n{"a": 2}\n'), ("parquet", None)]
)
def test_the_built_in_readers_keep_the_laws(tmp_path, name, content):
    spec = next(spec for spec, _ in catalog().specs(ReaderSpec) if spec.name == name)
    path = tmp_path / f"data{spec.suffixes[0]}"
    if content is None:
        parquet.write_table(pa.table({"a": [1, 2]}), path)
    else:
        path.write_text(content)
    check_all(spec, path)


def test_a_column_that_is_read_alone_has_the_same_rows(file):
    def alone(path, settings, columns):
        return right(path, settings).take(range(2))

    def other(path, settings, columns):
        rows = right(path, settings)
        return replace(rows, table=pa.table({"text": ["1", "2", "3"]}))

    spec = planted(right)
    kit.check_columns_are_the_same_alone(
        replace(spec, read_columns=lambda path, settings, _: right(path, settings)), file, EmptyConfig()
    )
    for read_columns, problem in (
        (alone, "there are 3 rows, but 2 if only 'text' is read"),
        (other, "the column 'text' has other values when it is read alone"),
    ):
        with pytest.raises(ContractViolation, match=problem):
            kit.check_columns_are_the_same_alone(replace(spec, read_columns=read_columns), file, EmptyConfig())


class TestOfAPlugin(ReaderLaws):
    """A plugin's tests inherit the checks."""

    @pytest.fixture
    def spec(self):
        return planted(right)

    @pytest.fixture
    def path(self, file):
        return file

    @pytest.fixture
    def count(self):
        return 3


def test_a_file_of_one_row_proves_nothing(tmp_path):
    (tmp_path / "one.txt").write_text("one")
    with pytest.raises(InsufficientExamples) as caught:
        kit.check_reading_is_repeatable(planted(right), tmp_path / "one.txt", EmptyConfig())
    assert str(caught.value) == (
        "The examples given for reader 'planted' prove nothing: there are 1 rows; give two or more."
    )


def changed(**what):
    def read(path, settings):
        return replace(right(path, settings), **what)

    return read


@pytest.mark.parametrize(
    ("read", "check", "found", "advice"),
    [
        (counts_calls, kit.check_reading_is_repeatable, "reading twice gives different rows", None),
        (writes_beside, kit.check_reading_is_repeatable, "reading changes data.index", None),
        (
            changed(source=""),
            kit.check_rows_can_be_located,
            "the source is empty, so no message can name it",
            "Name the file: path.name.",
        ),
        (changed(lines=[1]), kit.check_rows_can_be_located, "there are 1 line numbers for 3 rows", None),
        (
            changed(lines=[3, 2, 1]),
            kit.check_rows_can_be_located,
            "the line numbers do not rise from 1: [3, 2, 1] …",
            None,
        ),
        (
            changed(lines=[0, 1, 2]),
            kit.check_rows_can_be_located,
            "the line numbers do not rise from 1: [0, 1, 2] …",
            None,
        ),
        (
            changed(invalid={3: "it is odd"}),
            kit.check_rows_can_be_located,
            "row 3 is invalid, but there are 3 rows",
            "Keep an invalid row in the table.",
        ),
        (
            changed(invalid={0: "It is odd."}),
            kit.check_rows_can_be_located,
            "the reason of row 0 is 'It is odd.'",
            "Write a clause without a full stop; the message adds it.",
        ),
        (
            changed(remarks={"it is new": [0, 3]}),
            kit.check_rows_can_be_located,
            "row 3 has a remark, but there are 3 rows",
            "Remark only on rows of the table.",
        ),
    ],
)
def test_a_planted_fault_of_reading_is_caught(file, read, check, found, advice):
    with pytest.raises(ContractViolation) as caught:
        check_all(planted(read), file)
    assert str(caught.value) == message(check, "reader 'planted'", found, advice)


def raises_as_it_comes(path, settings):
    return Rows(pa.table({"text": path.read_text("utf-8").split("\n")}), path.name)


def names_no_file(path, settings):
    raise UnreadableFile("the file", "it cannot be read.")


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (raises_as_it_comes, "reading a missing file raises FileNotFoundError: [Errno 2] No such file or directory: "),
        (names_no_file, "the message about a missing file does not name it: the file: it cannot be read."),
    ],
)
def test_a_planted_fault_with_unreadable_files_is_caught(read, found):
    with pytest.raises(ContractViolation) as caught:
        kit.check_unreadable_files_are_reported(planted(read), EmptyConfig())
    assert caught.value.found.startswith(found)
    assert caught.value.advice == ADVICE[kit.check_unreadable_files_are_reported]


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"suffixes": ("txt",)}, "the suffix 'txt' does not begin with a dot"),
        ({"folder_patterns": ("",)}, "the pattern '' is not a relative path"),
        ({"folder_patterns": ("/data/*.txt",)}, "the pattern '/data/*.txt' is not a relative path"),
    ],
)
def test_an_invalid_suffix_or_pattern_is_caught(claims, found):
    with pytest.raises(ContractViolation) as caught:
        kit.check_suffixes_are_valid(replace(planted(right), **claims))
    assert str(caught.value) == message(kit.check_suffixes_are_valid, "reader 'planted'", found)


def in_no_order(path, settings):
    """Reads a row per file, as the disk lists them."""
    if not path.is_dir():
        raise UnreadableFile(str(path), "there is no such folder.")
    return Rows(pa.table({"text": [file.read_text() for file in path.iterdir()]}), path.name)


def in_order(path, settings):
    rows = in_no_order(path, settings)
    return Rows(
        pa.table({"text": [(path / name).read_text() for name in sorted(map(str, path.iterdir()))]}), rows.source
    )


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text(name)
    return tmp_path / "texts"


def test_files_in_the_order_of_the_disk_are_found(folder):
    kit.check_files_are_read_in_order(planted(in_order), folder, EmptyConfig())
    with pytest.raises(ContractViolation) as caught:
        kit.check_files_are_read_in_order(planted(in_no_order), folder, EmptyConfig())
    assert str(caught.value) == message(
        kit.check_files_are_read_in_order,
        "reader 'planted'",
        "when the disk lists files in another order, the rows are in another order",
    )


def test_a_missing_folder_that_is_not_reported_is_found():
    def lists_at_once(path, settings):
        return Rows(pa.table({"text": [file.read_text() for file in sorted(path.iterdir())]}), path.name)

    spec = replace(planted(lists_at_once), suffixes=(), folder_patterns=("*.txt",))
    with pytest.raises(ContractViolation, match="reading a missing folder raises FileNotFoundError"):
        kit.check_unreadable_files_are_reported(spec, EmptyConfig())
    kit.check_unreadable_files_are_reported(replace(spec, read=in_order), EmptyConfig())
