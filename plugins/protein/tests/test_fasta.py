import gzip

import pyarrow as pa
import pytest
from pyarrow import parquet

from taskgraft import catalog
from taskgraft.plugin import ConfigError, InvalidRows, ReaderSpec, Rows, UnreadableFile, parse_config, read_file
from taskgraft.testing import ReaderLaws
from taskgraft_protein.data_settings import FastaConfig
from taskgraft_protein.fasta import read_fasta

TWO = ">p1 first one\nMKV\nLAA\n>p2\nGG\n"


def rows_of(folder, content=TWO, **settings) -> Rows:
    path = folder / "proteins.fasta"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_fasta(path, FastaConfig(**settings))


def problem_of(folder, content) -> str:
    with pytest.raises(UnreadableFile) as caught:
        rows_of(folder, content)
    return str(caught.value).removeprefix(f"{folder / 'proteins.fasta'}: ")


def bad_rows_of(folder, **settings) -> str:
    with pytest.raises(InvalidRows) as caught:
        rows_of(folder, **settings)
    return str(caught.value)


class TestLaws(ReaderLaws):
    @pytest.fixture
    def spec(self):
        return next(spec for spec, _ in catalog().specs(ReaderSpec) if spec.name == "fasta")

    @pytest.fixture(params=["alone", "labels", "table"])
    def config(self, request):
        others = {"labels": {"labels": "*.labels.fasta"}, "table": {"table": "*.csv", "label": r"(\w+)$"}}
        return FastaConfig(**others.get(request.param, {}))

    @pytest.fixture
    def path(self, tmp_path):
        tmp_path.joinpath("data.fasta").write_text(TWO + ">p3\n\n>p4\nMK\n")
        tmp_path.joinpath("data.labels.fasta").write_text(">p1\nHHHCCC\n>p4\nEEE\n")
        tmp_path.joinpath("data.csv").write_text("id,class\np1,a\n")
        return tmp_path / "data.fasta"

    @pytest.fixture
    def count(self):
        return 4


# --- sequences


def test_a_record_is_a_row_with_its_id_the_rest_of_its_header_and_its_lines_joined(tmp_path):
    rows = rows_of(tmp_path)

    assert rows.table.to_pylist() == [
        {"id": "p1", "description": "first one", "sequence": "MKVLAA"},
        {"id": "p2", "description": "", "sequence": "GG"},
    ]
    assert (rows.source, list(rows.lines), rows.invalid, rows.notes) == ("proteins.fasta", [1, 4], {}, {})


def test_letters_are_unchanged(tmp_path):
    assert rows_of(tmp_path, ">p\nmkVx-U*.\n").values("sequence") == ["mkVx-U*."]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_as_on_windows_and_old_macs(tmp_path, end):
    rows = rows_of(tmp_path, TWO.replace("\n", end).encode())
    assert rows.table == rows_of(tmp_path).table
    assert list(rows.lines) == [1, 4]


def test_blank_lines_and_spaces_between_residues_are_no_residues(tmp_path):
    rows = rows_of(tmp_path, "\n\n>p1\n\nMKV LAA\n  GG\n\n>p2\tlast\nA")
    assert rows.values("sequence") == ["MKVLAAGG", "A"]
    assert (rows.values("description"), list(rows.lines)) == (["", "last"], [3, 8])


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path):
    assert rows_of(tmp_path, TWO.encode("utf-8-sig")).values("id") == ["p1", "p2"]


@pytest.mark.parametrize("suffix", [".fasta", ".fa", ".faa", ".fas", ".fa.gz", ".faa.gz", ".fas.gz", ".fasta.gz"])
def test_the_ending_of_a_file_says_that_it_is_fasta(tmp_path, suffix):
    path = tmp_path / f"proteins{suffix}"
    path.write_bytes(gzip.compress(TWO.encode()) if suffix.endswith(".gz") else TWO.encode())
    assert read_file(path).values("sequence") == ["MKVLAA", "GG"]


def test_records_of_several_batches_keep_their_order_and_their_lines(tmp_path):
    count = 5_000  # more than are written at once
    rows = rows_of(tmp_path, "".join(f">p{number}\nA\n" for number in range(count)))
    assert rows.values("id") == [f"p{number}" for number in range(count)]
    assert list(rows.lines) == list(range(1, 2 * count, 2))


def test_invalid_records_stay_with_their_reasons(tmp_path):
    rows = rows_of(tmp_path, b">p1\nMKV\n>\nAA\n>p2\n>p1 again\nGG\n>caf\xe9\nA\n>p3\nM\xffK\n")

    assert rows.invalid == {
        1: "the header has no id",
        2: "there is no sequence below the header",
        3: "the id 'p1' is already on line 1",
        4: "the byte 0xe9 is not UTF-8",
        5: "the byte 0xff is not UTF-8",
    }
    assert list(rows.lines) == [1, 3, 5, 6, 8, 10]
    assert rows.values("sequence") == ["MKV", None, None, None, None, None]


def test_text_before_the_first_header_is_not_fasta(tmp_path):
    assert problem_of(tmp_path, "\nMKV\n>p1\nA\n") == (
        "line 2: 'MKV' is before the first header, a line that begins with '>'."
    )


def test_a_file_without_a_record_is_unreadable(tmp_path):
    for content in ("", "\n \n"):
        assert problem_of(tmp_path, content) == (
            "the file has no sequences; each needs a header, a line that begins with '>'."
        )


# --- labels in headers


def test_the_only_group_of_a_pattern_is_the_label(tmp_path):
    rows = rows_of(tmp_path, ">p1 class=a b\nM\n>p2 class=b\nK\n", label=r"class=(\S+)")
    assert (rows.values("label"), rows.values("description")) == (["a", "b"], ["class=a b", "class=b"])


def test_named_groups_are_columns_of_their_names(tmp_path):
    rows = rows_of(tmp_path, ">train|p1|a\nM\n>test|p2|b\nK\n", label=r"^(?P<part>\w+)\|.*\|(?P<kind>\w+)")
    assert (rows.values("part"), rows.values("kind")) == (["train", "test"], ["a", "b"])


def test_headers_without_a_label_give_rows_without_a_label_and_are_counted(tmp_path):
    rows = rows_of(tmp_path, ">p1 class=a\nM\n>p2\nK\n>\nA\n", label=r"class=(\S+)")
    assert rows.values("label") == ["a", None, None]
    assert rows.remarks == {"the header has no label": [1]}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("class=", "it needs one group, as in 'class=(\\S+)', or groups that all have a name"),
        (r"(\w+)-(?P<b>\w+)", "it needs one group, as in 'class=(\\S+)', or groups that all have a name"),
        (r"(", "it is not a regular expression (missing ), unterminated subpattern at position 0)"),
        (r"(?P<sequence>\w+)", "a group is called 'sequence', as another column is"),
    ],
)
def test_a_pattern_without_a_label_is_rejected(pattern, problem):
    with pytest.raises(ConfigError) as caught:
        parse_config(FastaConfig, {"label": pattern}, "reader 'fasta'")
    assert str(caught.value) == f"reader 'fasta': the setting 'label' is {pattern!r}: {problem}."


# --- labels of residues


def labelled(folder, labels, content=TWO, **settings):
    folder.joinpath("secondary.fasta").write_text(labels)
    return rows_of(folder, content, labels="secondary.fasta", **settings)


def test_a_second_fasta_gives_a_label_per_residue_in_any_order_and_line_length(tmp_path):
    rows = labelled(tmp_path, ">p2\nEE\n>p1\nHHH\nHHC\n")
    assert rows.values("labels") == [["H", "H", "H", "H", "H", "C"], ["E", "E"]]


def test_unresolved_residues_have_no_label(tmp_path):
    rows = labelled(tmp_path, ">p2\nE-\n>p1\nXHHHHC\n", unresolved="-X")
    assert rows.values("labels") == [[None, "H", "H", "H", "H", "C"], ["E", None]]


def test_labels_of_another_length_are_invalid_with_both_lines(tmp_path):
    rows = labelled(tmp_path, ">p2\nEEE\n>p1\nHHHHHC\n")
    assert rows.invalid == {1: "secondary.fasta, line 1, has length 3, but the sequence has length 2"}
    assert rows.values("labels") == [["H", "H", "H", "H", "H", "C"], None]


def test_an_id_without_labels_gives_a_row_without_labels_and_is_counted(tmp_path):
    rows = labelled(tmp_path, ">p2\nEE\n>other\nHHHHHC\n", TWO + ">p2\nA\n")
    assert rows.values("labels") == [None, ["E", "E"], None]
    assert rows.remarks == {"secondary.fasta has no labels": [0]}


def test_duplicate_ids_of_labels_are_invalid(tmp_path):
    tmp_path.joinpath("twice.fasta").write_text(">p1\nHHHHHC\n>p1\nHHHHHH\n")
    assert bad_rows_of(tmp_path, labels="twice.fasta") == (
        "twice.fasta, line 3: the id 'p1' is already on line 1.\nFix these rows, or take them out of the data."
    )


def test_a_star_stands_for_the_name_of_the_file(tmp_path):
    tmp_path.joinpath("proteins.labels.fa").write_text(">p2\nEE\n")
    assert rows_of(tmp_path, labels="*.labels.fa").values("labels") == [None, ["E", "E"]]


def test_a_file_of_labels_named_with_a_star_may_be_missing(tmp_path):
    rows = rows_of(tmp_path, labels="*.labels.fa", table="*.csv")
    assert rows.columns == ("id", "description", "sequence")
    assert rows.notes == {"there is no file proteins.labels.fa with labels": 2, "there is no table proteins.csv": 2}


def test_a_file_of_labels_without_a_star_must_exist(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        rows_of(tmp_path, labels="secondary.fasta")
    assert str(caught.value) == f"{tmp_path / 'secondary.fasta'}: the file cannot be read (No such file or directory)."


# --- tables


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_columns_of_a_table_are_joined_by_id(tmp_path, suffix):
    path = tmp_path / f"activity.{suffix}"
    if suffix == "csv":
        path.write_text("id,activity\n2,1.5\n1,0.5\n3,7\n")
    else:
        parquet.write_table(pa.table({"id": [2, 1, 3], "activity": ["1.5", "0.5", "7"]}), path)
    rows = rows_of(tmp_path, ">1\nM\n>2\nK\n>4\nA\n", table=path.name)

    assert rows.values("activity") == ["0.5", "1.5", None]
    assert rows.notes == {f"activity.{suffix} has no row": 1}


def test_duplicate_ids_of_a_table_are_invalid(tmp_path):
    tmp_path.joinpath("table.csv").write_text("id,x\np1,1\np2,2\np1,3\n")
    assert bad_rows_of(tmp_path, table="table.csv") == (
        "table.csv, line 4: the id 'p1' is already on line 2.\nFix these rows, or take them out of the data."
    )


def test_an_invalid_row_of_a_table_is_invalid(tmp_path):
    tmp_path.joinpath("table.csv").write_text("id,x\np1,1\np2\n")
    assert bad_rows_of(tmp_path, table="table.csv") == (
        "table.csv, line 3: the row has 1 value, but the header names 2 columns.\n"
        "Fix these rows, or take them out of the data."
    )


def test_a_table_with_a_column_of_the_sequences_is_unreadable(tmp_path):
    tmp_path.joinpath("table.csv").write_text("id,sequence\np1,M\n")
    with pytest.raises(UnreadableFile) as caught:
        rows_of(tmp_path, table="table.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'table.csv'}: it has a column 'sequence', and so has proteins.fasta. Rename it, or remove it."
    )
