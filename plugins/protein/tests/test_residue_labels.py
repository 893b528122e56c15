import pyarrow as pa
import pytest
from pyarrow import parquet

from taskgraft import catalog
from taskgraft.plugin import MissingColumn, ReaderSpec, UnreadableFile
from taskgraft.testing import ReaderLaws
from taskgraft_protein.data_settings import ResidueLabelsConfig
from taskgraft_protein.residue_labels import read_residue_labels

ROWS = {"sequence": ["MKV", "GG"], "labels": ["HHC", "EE"], "seen": ["110", "01"]}


@pytest.fixture(params=["csv", "parquet"])
def path(request, tmp_path):
    return saved(tmp_path / f"proteins.{request.param}", ROWS)


def saved(path, columns):
    if path.suffix == ".csv":
        lines = [",".join(columns), *(",".join(cells) for cells in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(lines))
    else:
        parquet.write_table(pa.table(columns), path)
    return path


class TestLaws(ReaderLaws):
    @pytest.fixture
    def spec(self):
        return next(spec for spec, _ in catalog().specs(ReaderSpec) if spec.name == "residue-labels")

    @pytest.fixture
    def path(self, tmp_path):
        return saved(tmp_path / "proteins.csv", {"sequence": ["MKV", "GG"], "labels": ["HHC", "EEE"]})

    @pytest.fixture
    def count(self):
        return 2


def test_a_text_of_labels_becomes_a_list(path):
    rows = read_residue_labels(path, ResidueLabelsConfig())

    assert rows.values("labels") == [["H", "H", "C"], ["E", "E"]]
    assert (rows.columns, rows.invalid) == (("sequence", "labels", "seen"), {})


def test_residues_that_are_not_resolved_have_no_label(path):
    rows = read_residue_labels(path, ResidueLabelsConfig(resolved="seen", unresolved="H"))
    assert rows.values("labels") == [[None, None, None], [None, "E"]]


def test_a_star_at_the_end_of_a_sequence_has_no_label(tmp_path):
    rows = read_residue_labels(saved(tmp_path / "orf.csv", ROWS | {"sequence": ["MKV*", "GG"]}), ResidueLabelsConfig())
    assert (rows.values("labels"), rows.invalid) == ([["H", "H", "C"], ["E", "E"]], {})


def test_a_file_without_labels_is_unchanged(tmp_path):
    rows = read_residue_labels(saved(tmp_path / "new.csv", {"sequence": ["MKV"]}), ResidueLabelsConfig())
    assert rows.table.to_pylist() == [{"sequence": "MKV"}]


def test_a_row_without_labels_has_none(tmp_path):
    rows = read_residue_labels(saved(tmp_path / "some.csv", ROWS | {"labels": ["", "EE"]}), ResidueLabelsConfig())
    assert (rows.values("labels"), rows.invalid) == ([None, ["E", "E"]], {})


def test_labels_and_masks_of_another_length_are_invalid(tmp_path):
    columns = {"sequence": ["MKV", "GG", "AA"], "labels": ["HH", "EE", "EE"], "seen": ["111", "1", "1x"]}
    rows = read_residue_labels(saved(tmp_path / "bad.csv", columns), ResidueLabelsConfig(resolved="seen"))
    assert rows.invalid == {
        0: "'labels' has length 2, but the sequence has length 3",
        1: "'1' is not a 0 or 1 for each of 2 residues",
        2: "'1x' is not a 0 or 1 for each of 2 residues",
    }


def test_rows_of_several_batches_are_read(tmp_path):
    count = 5_000  # more than are split at once
    columns = {"sequence": ["MK"] * count, "labels": [*["HH"] * (count - 1), "EC"]}
    rows = read_residue_labels(saved(tmp_path / "many.parquet", columns), ResidueLabelsConfig())
    assert rows.values("labels") == [*[["H", "H"]] * (count - 1), ["E", "C"]]


def test_a_missing_column_is_an_error(path):
    with pytest.raises(MissingColumn) as caught:
        read_residue_labels(path, ResidueLabelsConfig(resolved="mask"))
    assert str(caught.value) == f"{path.name} has no column 'mask'. Columns: sequence, labels, seen."


def test_labels_that_are_not_text_are_an_error(tmp_path):
    path = saved(tmp_path / "lists.parquet", {"sequence": ["MK"], "labels": [["H", "H"]]})
    with pytest.raises(UnreadableFile) as caught:
        read_residue_labels(path, ResidueLabelsConfig())
    assert str(caught.value).startswith("lists.parquet: the column 'labels' has the type list<")
