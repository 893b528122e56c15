import json
import os
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from scipy.stats import spearmanr

from taskgraft_protein import one_hot_ridge, one_hot_window
from taskgraft_protein.baseline_settings import (
    OneHotRidgeConfig,
    OneHotRidgeState,
    OneHotWindowConfig,
    OneHotWindowState,
)

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def random_sequences(count, length, seed=0):
    return ["".join(row) for row in np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), (count, length))]


def windows(inputs, truth, **settings):
    """Fit, store as JSON, load, and predict for the same sequences."""
    config = OneHotWindowConfig(**settings)
    fitted = one_hot_window.fit({"sequence": inputs}, truth, config)
    loaded = OneHotWindowState.model_validate(json.loads(fitted.model_dump_json()))
    return one_hot_window.predict(loaded, {"sequence": inputs}, [len(row) for row in truth], config).values


def ridge(inputs, truth, others, **settings):
    config = OneHotRidgeConfig(**settings)
    fitted = one_hot_ridge.fit({"sequence": inputs}, truth, config)
    loaded = OneHotRidgeState.model_validate(json.loads(fitted.model_dump_json()))
    return one_hot_ridge.predict(loaded, {"sequence": others}, None, config).values


# --- one-hot-window


def test_a_label_that_depends_on_a_neighbour_needs_a_window():
    sequences = random_sequences(60, 50)
    truth = [["H" if before in "AILMV" else "C" for before in "G" + row[:-1]] for row in sequences]

    def accuracy(predicted):
        pairs = zip(predicted, truth, strict=True)
        return np.mean([one == goal for row, goals in pairs for one, goal in zip(row, goals, strict=True)])

    assert accuracy(windows(sequences, truth, window=3)) == 1.0
    assert accuracy(windows(sequences, truth, window=1)) < 0.8


def test_residues_without_a_label_are_ignored():
    sequences = ["AAAAGGGG"] * 20
    truth = [["H", "H", None, None, "C", "C", None, None]] * 20
    others = [["H", "H", "C", "C", "C", "C", "H", "H"]] * 20

    assert windows(sequences, truth, window=1)[0] == ["H"] * 4 + ["C"] * 4
    assert windows(sequences, others, window=1)[0] != ["H"] * 4 + ["C"] * 4


def test_three_labels_and_unknown_letters_are_accepted():
    truth = [list("HHEECC")] * 20
    assert windows(["AaGGX-"] * 20, truth, window=1)[0][:4] == list("HHEE")


def test_sequences_are_sampled_if_there_are_more_residues_than_needed():
    sequences = random_sequences(100, 50)
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

    fitted = one_hot_window.fit(inputs, truth, OneHotWindowConfig())
    predicted = one_hot_window.predict(fitted, others, [len(row) for row in goals], OneHotWindowConfig()).values

    pairs = zip(predicted, goals, strict=True)
    right = [one == goal for row, wanted in pairs for one, goal in zip(row, wanted, strict=True) if goal is not None]
    assert len(right) == 75_402
    assert np.mean(right) > 0.60  # 0.626 with 200,000 residues, which take a quarter of a minute


# --- one-hot-ridge


def test_effects_of_residues_at_positions_are_found():
    sequences = random_sequences(400, 6)
    effect = {letter: float(number) for number, letter in enumerate("ACDEFGHIKLMNPQRSTVWY")}
    truth = [effect[row[1]] - 2 * effect[row[4]] for row in sequences]
    predicted = ridge(sequences[:300], truth[:300], sequences[300:])
    assert np.corrcoef(predicted, truth[300:])[0, 1] > 0.99


def test_positions_at_which_all_sequences_are_equal_have_no_weight():
    fitted = one_hot_ridge.fit({"sequence": ["MAK", "MCK", "MDK"]}, [1.0, 2.0, 3.0], OneHotRidgeConfig())
    assert sorted(fitted.weights) == ["1A", "1C", "1D"]
    assert fitted.length == 3


def test_sequences_of_several_lengths_are_counted_by_k_mers():
    sequences = [row[: 5 + number % 3] for number, row in enumerate(random_sequences(300, 8))]
    truth = [float(row.count("A")) for row in sequences]
    predicted = ridge(sequences[:250], truth[:250], [*sequences[250:], "acaca"], k=1)
    assert predicted == pytest.approx([*truth[250:], 3.0], abs=0.2)


def test_several_numbers_are_predicted_together():
    sequences = random_sequences(200, 3)
    truth = [[float(row[0] == "A"), float(row[1] == "A")] for row in sequences]
    assert ridge(sequences, truth, ["ACC", "CAC"]) == [pytest.approx(row, abs=0.2) for row in ([1, 0], [0, 1])]


@pytest.mark.slow
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

    predicted = ridge(
        train.column("sequence").to_pylist(), train.column("target").to_pylist(), test.column("sequence").to_pylist()
    )

    assert spearmanr(predicted, test.column("target").to_pylist()).statistic == pytest.approx(reference, abs=1e-3)


@pytest.mark.parametrize(("scale", "offset"), [(1e-30, 0.0), (1e30, 0.0), (1e-3, 1e5), (1.0, 1e8)])
def test_a_regression_does_not_depend_on_the_unit_of_its_target(scale, offset):
    chance = np.random.default_rng(0)
    sequences = {"sequence": ["".join(chance.choice(list("ACDE"), 9)) for _ in range(80)]}
    truth, settings = chance.normal(size=80), OneHotRidgeConfig()

    def predicted(numbers):
        state = one_hot_ridge.fit(sequences, numbers.tolist(), settings)
        return np.array(one_hot_ridge.predict(state, sequences, None, settings).values)

    found = (predicted(truth * scale + offset) - offset) / scale
    assert found == pytest.approx(predicted(truth), abs=1e-6)
