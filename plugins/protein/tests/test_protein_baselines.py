import json
import os
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from scipy.stats import spearmanr

from taskgraft.plugin import Predictions, TargetKind
from taskgraft.testing import LabelledRows
from taskgraft.testing.metrics_and_baselines import check_baselines_predict_row_by_row
from taskgraft_protein import one_hot_ridge, one_hot_window
from taskgraft_protein.baseline_settings import (
    OneHotRidgeConfig,
    OneHotRidgeState,
    OneHotWindowConfig,
    OneHotWindowState,
)

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def drawn(count, length, seed=0):
    return ["".join(row) for row in np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), (count, length))]


def windows(inputs, truth, **settings):
    """Learn, write as JSON, read, and predict for the same sequences."""
    config = OneHotWindowConfig(**settings)
    learned = one_hot_window.fit({"sequence": inputs}, truth, config)
    read = OneHotWindowState.model_validate(json.loads(learned.model_dump_json()))
    return one_hot_window.predict(read, {"sequence": inputs}, [len(row) for row in truth], config).values


def ridge(inputs, truth, others, **settings):
    config = OneHotRidgeConfig(**settings)
    learned = one_hot_ridge.fit({"sequence": inputs}, truth, config)
    read = OneHotRidgeState.model_validate(json.loads(learned.model_dump_json()))
    return one_hot_ridge.predict(read, {"sequence": others}, None, config).values


@pytest.fixture
def labelled():
    sequences, numbers = ["MKVLA", "GG", "ACDEFGH"] * 4, np.arange(12.0).tolist()
    elements = [["H" if letter in "MKA" else "C" for letter in sequence] for sequence in sequences]
    return {
        "one-hot-window": LabelledRows(
            TargetKind.ELEMENT_CATEGORIES, Predictions(elements), elements, {"sequence": sequences}
        ),
        "one-hot-ridge": LabelledRows(TargetKind.NUMBERS, Predictions(numbers), numbers, {"sequence": drawn(12, 9)}),
    }


def test_the_baselines_keep_the_laws(labelled):
    check_baselines_predict_row_by_row("taskgraft_protein.plugin", {}, labelled)
    check_baselines_predict_row_by_row("taskgraft_protein.plugin", {}, {})


# --- one-hot-window


def test_a_label_that_hangs_on_a_neighbour_is_learned_from_a_window_and_not_from_one_residue():
    sequences = drawn(60, 50)
    truth = [["H" if before in "AILMV" else "C" for before in "G" + row[:-1]] for row in sequences]

    def right(found):
        pairs = zip(found, truth, strict=True)
        return np.mean([one == goal for row, goals in pairs for one, goal in zip(row, goals, strict=True)])

    assert right(windows(sequences, truth, window=3)) == 1.0
    assert right(windows(sequences, truth, window=1)) < 0.8


def test_residues_without_a_label_are_not_learned_from():
    sequences = ["AAAAGGGG"] * 20
    truth = [["H", "H", None, None, "C", "C", None, None]] * 20
    strange = [["H", "H", "C", "C", "C", "C", "H", "H"]] * 20

    assert windows(sequences, truth, window=1)[0] == ["H"] * 4 + ["C"] * 4
    assert windows(sequences, strange, window=1)[0] != ["H"] * 4 + ["C"] * 4


def test_three_labels_and_letters_of_no_residue_are_taken():
    truth = [list("HHEECC")] * 20
    assert windows(["AaGGX-"] * 20, truth, window=1)[0][:4] == list("HHEE")


def test_sequences_are_drawn_where_there_are_more_residues_than_wanted():
    sequences = drawn(100, 50)
    truth = [["H" if letter in "AILMV" else "C" for letter in row] for row in sequences]
    config = OneHotWindowConfig(window=1, residues=100)
    one, other = (one_hot_window.fit({"sequence": sequences}, truth, config) for _ in range(2))
    everything = one_hot_window.fit({"sequence": sequences}, truth, OneHotWindowConfig(window=1))
    assert one == other != everything


def test_the_reference_on_secondary_structure_comes_out():
    path = DATA / "protein" / "flip_secondary_structure" / "sampled.parquet"
    if not path.is_file():
        pytest.skip(f"the shared data are not at {DATA}; set TASKGRAFT_DATA")
    table = parquet.read_table(path)
    parts = {}
    for part, count in (("train", 200), ("test", 364)):
        rows = table.filter(np.array(table.column("split").to_pylist()) == part).slice(0, count).to_pylist()
        labels = [
            [label if seen == "1" else None for label, seen in zip(row["labels"], row["resolved_mask"], strict=True)]
            for row in rows
        ]
        parts[part] = {"sequence": [row["sequence"] for row in rows]}, labels
    (inputs, truth), (others, goals) = parts["train"], parts["test"]

    learned = one_hot_window.fit(inputs, truth, OneHotWindowConfig())
    found = one_hot_window.predict(learned, others, [len(row) for row in goals], OneHotWindowConfig()).values

    pairs = zip(found, goals, strict=True)
    right = [one == goal for row, wanted in pairs for one, goal in zip(row, wanted, strict=True) if goal is not None]
    assert len(right) == 75_402
    assert np.mean(right) > 0.60  # 0.626 with 200,000 residues, which take a quarter of a minute


# --- one-hot-ridge


def test_effects_of_residues_at_their_places_are_found():
    sequences = drawn(400, 6)
    effect = {letter: float(number) for number, letter in enumerate("ACDEFGHIKLMNPQRSTVWY")}
    truth = [effect[row[1]] - 2 * effect[row[4]] for row in sequences]
    found = ridge(sequences[:300], truth[:300], sequences[300:])
    assert np.corrcoef(found, truth[300:])[0, 1] > 0.99


def test_places_at_which_all_sequences_are_alike_have_no_weight():
    learned = one_hot_ridge.fit({"sequence": ["MAK", "MCK", "MDK"]}, [1.0, 2.0, 3.0], OneHotRidgeConfig())
    assert sorted(learned.weights) == ["1A", "1C", "1D"]
    assert learned.length == 3


def test_sequences_of_several_lengths_are_counted_by_their_words():
    sequences = [row[: 5 + number % 3] for number, row in enumerate(drawn(300, 8))]
    truth = [float(row.count("A")) for row in sequences]
    found = ridge(sequences[:250], truth[:250], [*sequences[250:], "acaca"], k=1)
    assert found == pytest.approx([*truth[250:], 3.0], abs=0.2)


def test_several_numbers_are_predicted_side_by_side():
    sequences = drawn(200, 3)
    truth = [[float(row[0] == "A"), float(row[1] == "A")] for row in sequences]
    assert ridge(sequences, truth, ["ACC", "CAC"]) == [pytest.approx(row, abs=0.2) for row in ([1, 0], [0, 1])]


@pytest.mark.parametrize(
    ("split", "reference"),
    [("one_vs_rest", 0.227), ("two_vs_rest", 0.563), ("three_vs_rest", 0.750), ("low_vs_high", 0.345)],
)
def test_the_reference_on_variants_of_a_protein_comes_out(split, reference):
    path = DATA / "protein" / "flip_gb1" / "gb1.parquet"
    if not path.is_file():
        pytest.skip(f"the shared data are not at {DATA}; set TASKGRAFT_DATA")
    table = parquet.read_table(path)
    part = np.array(table.column(split).to_pylist())
    train, test = table.filter(part == "train"), table.filter(part == "test")

    found = ridge(
        train.column("sequence").to_pylist(), train.column("target").to_pylist(), test.column("sequence").to_pylist()
    )

    assert spearmanr(found, test.column("target").to_pylist()).statistic == pytest.approx(reference, abs=1e-3)
