import os
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from families import families, families_in_two_parts
from pyarrow import parquet

from taskgraft import catalog
from taskgraft.plugin import ConfigError, InvalidRows, MissingColumn, Rows, SplitSpec, TaskgraftError, parse_config
from taskgraft.testing import SplitLaws
from taskgraft_protein.data_settings import SequenceIdentityConfig
from taskgraft_protein.sequence_identity import cluster_sequences, split_by_identity

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[4] / "shared" / "data"))
TAG = "MGSSHHHHHHSSGLVPRGSHM"


def rows_of(sequences, **columns):
    return Rows(pa.table({"sequence": sequences, **columns}), "proteins.fasta", range(1, 2 * len(sequences), 2))


def split(sequences, seed=0, columns=None, **settings):
    config = SequenceIdentityConfig(**{"validation": 0.2} | settings)
    return split_by_identity(rows_of(sequences, **columns or {}), (), config, seed)


class TestLaws(SplitLaws):
    @pytest.fixture
    def spec(self):
        return next(spec for spec, _ in catalog().specs(SplitSpec) if spec.name == "sequence-identity")

    @pytest.fixture
    def rows(self):
        sequences, _ = families(6, 4, 60, 0.1)
        return rows_of(sequences, part=["train", "validation", "test"] * 8)

    @pytest.fixture
    def targets(self):
        return ()

    @pytest.fixture(params=[{"validation": 0.3}, {"part": "part"}], ids=["clusters", "part"])
    def config(self, request):
        return SequenceIdentityConfig(**request.param)


# --- families


@pytest.mark.slow
@pytest.mark.parametrize(("length", "mutated"), [(60, 0.1), (120, 0.2), (150, 0.05), (150, 0.2), (400, 0.2)])
def test_fifty_families_are_fifty_clusters_and_none_is_in_two_parts(length, mutated):
    sequences, family_of = families(50, 10, length, mutated)

    clusters = cluster_sequences(sequences, identity=0.5, k=5)
    parts = split(sequences)

    assert families_in_two_parts(family_of, parts["train"], parts["validation"]) == set()
    assert sorted(len(some) for some in clusters) == [10] * 50
    assert all(len({family_of[row] for row in some}) == 1 for some in clusters)


def test_a_random_split_of_the_same_families_leaks():
    _, family_of = families(50, 10, 150, 0.2)
    assert len(families_in_two_parts(family_of, range(400), range(400, 500))) > 35


def test_a_higher_identity_separates_families():
    sequences, _ = families(10, 5, 150, 0.2)
    assert len(cluster_sequences(sequences, identity=0.9, k=5)) == 50
    assert len(cluster_sequences(sequences, identity=0.5, k=5)) == 10


def test_a_fragment_of_a_sequence_is_in_its_cluster():
    (whole,), _ = families(1, 1, 300, 0.0)
    assert cluster_sequences([whole, whole[100:200]], identity=0.9, k=5) == [[0, 1]]


def test_a_common_tag_does_not_make_sequences_similar():
    sequences, _ = families(20, 1, 150, 0.0)
    assert len(cluster_sequences([TAG + sequence for sequence in sequences], identity=0.5, k=5)) == 20


def test_overlapping_fragments_are_in_one_cluster():
    (whole,), _ = families(1, 1, 240, 0.0)
    pieces = [whole[:120], whole[60:180], whole[120:]]
    assert cluster_sequences(pieces, identity=0.8, k=5) == [[0, 1, 2]]


def test_sequences_shorter_than_a_k_mer_are_similar_only_to_equal_ones():
    assert cluster_sequences(["MKV", "MKV", "MKA", "M"], identity=0.5, k=5) == [[0, 1], [2], [3]]


def test_lower_case_equals_upper_case():
    sequences, _ = families(4, 1, 60, 0.0)
    parts = split([*sequences, sequences[0].lower()], validation=0.4)
    assert len({part for part, rows in parts.items() if {0, 4} & set(rows)}) == 1


# --- shares


@pytest.mark.slow
def test_about_the_share_is_held_out_and_never_more():
    sequences, _ = families(50, 10, 60, 0.1)
    for seed in range(3):
        assert len(split(sequences, seed)["validation"]) == 100


def test_seeds_choose_different_clusters():
    sequences, _ = families(50, 2, 60, 0.1)
    assert split(sequences, 1) == split(sequences, 1) != split(sequences, 2)


def test_if_all_clusters_are_larger_than_the_share_the_smallest_is_held_out():
    big, _ = families(1, 8, 60, 0.1, seed=1)
    small, _ = families(1, 4, 60, 0.1, seed=2)
    assert split(big + small, validation=0.1)["validation"] == [8, 9, 10, 11]


def test_a_single_cluster_cannot_be_split():
    sequences, _ = families(1, 10, 60, 0.05)
    with pytest.raises(TaskgraftError) as caught:
        split(sequences)
    assert str(caught.value) == (
        "proteins.fasta: all 10 sequences are in one cluster at an identity of 0.5, so none can be held out. "
        "Raise 'identity' of the split 'sequence-identity', or choose another split."
    )


def test_a_row_without_a_sequence_is_invalid():
    with pytest.raises(InvalidRows) as caught:
        split(["MKV", None, " "])
    assert str(caught.value) == (
        "proteins.fasta, line 3: the column 'sequence' is empty. 2 of 3 rows are like this (lines 3, 5).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_another_column_of_sequences_is_named():
    with pytest.raises(MissingColumn) as caught:
        split(["MKV", "AAA"], column="chain")
    assert str(caught.value) == "proteins.fasta has no column 'chain'. Columns: sequence."


# --- a column of parts


def split_by_part(sequences, part):
    return split(sequences, columns={"part": part}, validation=None, part="part")


def test_a_column_of_parts_is_used():
    parts = split_by_part(["MKV", "MKA", "GGG", "AAA"], ["train", "valid", "test", "train"])
    assert parts == {"train": [0, 3], "validation": [1], "test": [2]}


def test_a_sequence_may_occur_twice_in_one_part():
    assert split_by_part(["MKV", "mkv", "GGG"], ["train", "train", "valid"])["train"] == [0, 1]


def test_a_sequence_in_two_parts_is_invalid_with_both_lines():
    with pytest.raises(InvalidRows) as caught:
        split_by_part(["MKV", "GGG", "mkv", "AAA", "GGG"], ["train", "train", "valid", "valid", "test"])
    assert str(caught.value) == (
        "proteins.fasta, line 5: the sequence is in the part 'validation', and on line 1 in the part 'train'.\n"
        "proteins.fasta, line 9: the sequence is in the part 'test', and on line 3 in the part 'train'.\n"
        "Let the column 'part' put each sequence into one part."
    )


def test_the_column_of_parts_is_not_an_input():
    spec = next(spec for spec, _ in catalog().specs(SplitSpec) if spec.name == "sequence-identity")
    assert spec.columns(SequenceIdentityConfig(part="fold")) == ("fold",)
    assert spec.columns(SequenceIdentityConfig(validation=0.1)) == ()


@pytest.mark.parametrize("settings", [{}, {"validation": 0.1, "part": "part"}])
def test_exactly_one_of_validation_and_part_is_required(settings):
    with pytest.raises(ConfigError) as caught:
        parse_config(SequenceIdentityConfig, settings, "split 'sequence-identity'")
    assert str(caught.value) == (
        "split 'sequence-identity': set either 'validation', the share of the rows to hold out, or 'part', the column with "
        "the part of each row."
    )


# --- many


@pytest.mark.slow
def test_ten_thousand_sequences_take_less_than_a_minute_of_work():
    sequences, family_of = families(1_000, 10, 200, 0.1)

    started = time.process_time()
    parts = split(sequences)

    assert time.process_time() - started < 60
    assert families_in_two_parts(family_of, parts["train"], parts["validation"]) == set()


@pytest.mark.slow
def test_real_proteins_without_homologs_are_clusters_of_one():
    path = DATA / "protein" / "flip_secondary_structure" / "sampled.parquet"
    if not path.is_file():
        pytest.skip(f"the shared data are not at {DATA}; set TASKGRAFT_DATA")
    sequences = parquet.read_table(path, columns=["sequence"]).column("sequence").to_pylist()[:2_000]

    sizes = Counter(len(some) for some in cluster_sequences(sequences, identity=0.7, k=5))

    assert sizes[1] > 1_900
