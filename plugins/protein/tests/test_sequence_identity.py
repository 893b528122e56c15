import os
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from families import families, straddling
from pyarrow import parquet

from taskgraft import catalog
from taskgraft.plugin import ConfigError, InvalidRows, MissingColumn, Rows, SplitSpec, TaskgraftError, parse_config
from taskgraft.testing import SplitLaws
from taskgraft_protein.data_settings import SequenceIdentityConfig
from taskgraft_protein.sequence_identity import by_identity, clusters

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[4] / "shared" / "data"))
TAG = "MGSSHHHHHHSSGLVPRGSHM"


def rows_of(sequences, **columns):
    return Rows(pa.table({"sequence": sequences, **columns}), "proteins.fasta", range(1, 2 * len(sequences), 2))


def divided(sequences, seed=0, columns=None, **settings):
    config = SequenceIdentityConfig(**{"validation": 0.2} | settings)
    return by_identity(rows_of(sequences, **columns or {}), (), config, seed)


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


@pytest.mark.parametrize(("length", "mutated"), [(60, 0.1), (120, 0.2), (150, 0.05), (150, 0.2), (400, 0.2)])
def test_no_family_of_fifty_straddles_and_no_two_are_taken_for_one(length, mutated):
    sequences, whose = families(50, 10, length, mutated)

    found = clusters(sequences, identity=0.5, k=5)
    parts = divided(sequences)

    assert straddling(whose, parts["train"], parts["validation"]) == set()
    assert sorted(len(some) for some in found) == [10] * 50
    assert all(len({whose[row] for row in some}) == 1 for some in found)


def test_a_random_split_of_the_same_families_leaks():
    _, whose = families(50, 10, 150, 0.2)
    assert len(straddling(whose, range(400), range(400, 500))) > 35


def test_a_higher_identity_takes_families_apart():
    sequences, _ = families(10, 5, 150, 0.2)
    assert len(clusters(sequences, identity=0.9, k=5)) == 50
    assert len(clusters(sequences, identity=0.5, k=5)) == 10


def test_a_piece_of_a_sequence_is_of_its_family():
    (whole,), _ = families(1, 1, 300, 0.0)
    assert clusters([whole, whole[100:200]], identity=0.9, k=5) == [[0, 1]]


def test_the_same_tag_makes_no_kin():
    sequences, _ = families(20, 1, 150, 0.0)
    assert len(clusters([TAG + sequence for sequence in sequences], identity=0.5, k=5)) == 20


def test_kin_of_kin_is_of_one_cluster():
    (whole,), _ = families(1, 1, 240, 0.0)
    pieces = [whole[:120], whole[60:180], whole[120:]]
    assert clusters(pieces, identity=0.8, k=5) == [[0, 1, 2]]


def test_sequences_shorter_than_a_word_are_kin_only_of_their_like():
    assert clusters(["MKV", "MKV", "MKA", "M"], identity=0.5, k=5) == [[0, 1], [2], [3]]


def test_small_letters_count_as_large_ones():
    sequences, _ = families(4, 1, 60, 0.0)
    parts = divided([*sequences, sequences[0].lower()], validation=0.4)
    assert len({part for part, rows in parts.items() if {0, 4} & set(rows)}) == 1


# --- shares


def test_about_the_share_is_held_out_and_never_more():
    sequences, _ = families(50, 10, 60, 0.1)
    for seed in range(3):
        assert len(divided(sequences, seed)["validation"]) == 100


def test_seeds_draw_different_clusters():
    sequences, _ = families(50, 2, 60, 0.1)
    assert divided(sequences, 1) == divided(sequences, 1) != divided(sequences, 2)


def test_of_clusters_that_are_all_larger_than_the_share_the_smallest_is_held_out():
    big, _ = families(1, 8, 60, 0.1, seed=1)
    small, _ = families(1, 4, 60, 0.1, seed=2)
    assert divided(big + small, validation=0.1)["validation"] == [8, 9, 10, 11]


def test_a_single_cluster_cannot_be_divided():
    sequences, _ = families(1, 10, 60, 0.05)
    with pytest.raises(TaskgraftError) as caught:
        divided(sequences)
    assert str(caught.value) == (
        "proteins.fasta: all 10 sequences are one cluster at an identity of 0.5, so none can be held out as a stranger. "
        "Raise 'identity' of the split 'sequence-identity', or divide the rows another way."
    )


def test_a_row_without_a_sequence_is_refused():
    with pytest.raises(InvalidRows) as caught:
        divided(["MKV", None, " "])
    assert str(caught.value) == (
        "proteins.fasta, line 3: the column 'sequence' is empty. 2 of 3 rows are like this (lines 3, 5).\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_another_column_of_sequences_is_named():
    with pytest.raises(MissingColumn) as caught:
        divided(["MKV", "AAA"], column="chain")
    assert str(caught.value) == "proteins.fasta has no column 'chain'. Columns: sequence."


# --- a given part


def given(sequences, part):
    return divided(sequences, columns={"part": part}, validation=None, part="part")


def test_a_given_part_is_honoured():
    parts = given(["MKV", "MKA", "GGG", "AAA"], ["train", "valid", "test", "train"])
    assert parts == {"train": [0, 3], "validation": [1], "test": [2]}


def test_a_sequence_may_stand_twice_in_one_part():
    assert given(["MKV", "mkv", "GGG"], ["train", "train", "valid"])["train"] == [0, 1]


def test_a_sequence_in_two_parts_is_refused_with_both_places():
    with pytest.raises(InvalidRows) as caught:
        given(["MKV", "GGG", "mkv", "AAA", "GGG"], ["train", "train", "valid", "valid", "test"])
    assert str(caught.value) == (
        "proteins.fasta, line 5: the sequence is in the part 'validation', and on line 1 in the part 'train'.\n"
        "proteins.fasta, line 9: the sequence is in the part 'test', and on line 3 in the part 'train'.\n"
        "Let the column 'part' put each sequence into one part."
    )


def test_the_column_of_the_part_is_no_input():
    spec = next(spec for spec, _ in catalog().specs(SplitSpec) if spec.name == "sequence-identity")
    assert spec.columns(SequenceIdentityConfig(part="fold")) == ("fold",)
    assert spec.columns(SequenceIdentityConfig(validation=0.1)) == ()


@pytest.mark.parametrize("settings", [{}, {"validation": 0.1, "part": "part"}])
def test_one_of_two_ways_is_to_be_chosen(settings):
    with pytest.raises(ConfigError) as caught:
        parse_config(SequenceIdentityConfig, settings, "split 'sequence-identity'")
    assert str(caught.value) == (
        "split 'sequence-identity': say how much to hold out ('validation'), or which column names the parts ('part'): "
        "one of both."
    )


# --- many


def test_ten_thousand_sequences_take_less_than_a_minute_of_work():
    sequences, whose = families(1_000, 10, 200, 0.1)

    started = time.process_time()
    parts = divided(sequences)

    assert time.process_time() - started < 60
    assert straddling(whose, parts["train"], parts["validation"]) == set()


def test_real_proteins_that_were_chosen_as_strangers_stay_apart():
    path = DATA / "protein" / "flip_secondary_structure" / "sampled.parquet"
    if not path.is_file():
        pytest.skip(f"the shared data are not at {DATA}; set TASKGRAFT_DATA")
    sequences = parquet.read_table(path, columns=["sequence"]).column("sequence").to_pylist()[:2_000]

    sizes = Counter(len(some) for some in clusters(sequences, identity=0.7, k=5))

    assert sizes[1] > 1_900
