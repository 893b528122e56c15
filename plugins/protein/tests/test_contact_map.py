import json
import math

import numpy as np
import pytest
import torch
from backbones import Pairs, Words
from contact_maps import symmetric_map

import taskgraft as tg
from taskgraft.plugin import (
    FeatureDescription,
    Features,
    HeadSpec,
    InvalidTargets,
    Layout,
    Predictions,
    TaskgraftError,
    sequence,
)
from taskgraft.testing import HeadLaws
from taskgraft_protein.contact_map import ContactMap
from taskgraft_protein.contact_settings import ContactMapConfig
from taskgraft_protein.contacts import contact_precision

FAR = "more than 1e+18 from the first position, so no distance can be computed"
PAIR = FeatureDescription(Layout.PAIR, (3,))


def folded(length, seed=0):
    """Positions of a random chain in a small space, so that distant residues touch."""
    steps = np.random.default_rng(seed).normal(size=(length, 3))
    chain = np.zeros((length, 3))
    for index in range(1, length):
        chain[index] = 0.8 * chain[index - 1] + 4 * steps[index]
    return chain.round(2).tolist()


TARGETS = {"positions": [folded(12, 1), [*folded(9, 2)[:8], None], folded(15, 3), folded(10, 4)]}


def head(**settings):
    return ContactMap(ContactMapConfig(**settings))


def truth_of(positions, **settings):
    one = head(**settings)
    target = one.fit_targets({"positions": positions})
    return one.decode_targets(one.encode({"positions": positions}, target), target)


class TestLaws(HeadLaws):
    @pytest.fixture
    def config(self):
        return ContactMapConfig(rank=4)

    @pytest.fixture
    def head(self, config):
        return ContactMap(config)

    @pytest.fixture
    def targets(self):
        return TARGETS

    @pytest.fixture
    def spec(self):
        return next(spec for spec, _ in tg.catalog().specs(HeadSpec) if spec.name == "contact-map")


# --- targets


LINE = [[3.0 * place, 0, 0] for place in range(5)]


def test_residues_closer_than_the_distance_are_in_contact():
    assert truth_of([LINE], distance=6.5, separation=1)[0].tolist() == [
        [-1, 1, 1, 0, 0],
        [1, -1, 1, 1, 0],
        [1, 1, -1, 1, 1],
        [0, 1, 1, -1, 1],
        [0, 0, 1, 1, -1],
    ]


def test_pairs_that_are_close_along_the_sequence_are_unknown():
    assert (truth_of([LINE], separation=4)[0] >= 0).sum() == 2


@pytest.mark.parametrize("gone", [None, [None, None, None], [1.0, math.nan, 0.0]])
def test_pairs_of_a_residue_without_a_position_are_unknown(gone):
    found = truth_of([[*LINE[:2], gone, *LINE[3:]]], separation=1)[0]
    assert (found[2] == -1).all()
    assert (found[:, 2] == -1).all()
    assert found[0].tolist() == [-1, 1, -1, 0, 0]


def test_the_target_description_holds_the_share_of_contacts():
    target = head(distance=3.5, separation=1).fit_targets({"positions": [LINE]})
    assert target.share == pytest.approx((8 + 1) / (20 + 2))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the target column 'positions' is empty"),
        ("1 2 3", "the target column 'positions' is '1 2 3', not a list with [x, y, z] per element"),
        (7, "the target column 'positions' is 7, not a list with [x, y, z] per element"),
        ([[0, 0, 0], [1, 2]], "the position of element 1 in 'positions' is [1, 2], not three numbers"),
        ([[0, 0, "far"]], "the position of element 0 in 'positions' is [0, 0, 'far'], not three numbers"),
        ([[0, 0, 0], [1e39, 0, 0]], f"the position of element 1 in 'positions' is [1e+39, 0, 0], {FAR}"),
        ([[math.inf, 0, 0], [0, 0, 0]], f"the position of element 0 in 'positions' is [inf, 0, 0], {FAR}"),
    ],
)
def test_a_value_that_is_not_a_list_of_positions_is_invalid(value, reason):
    with pytest.raises(InvalidTargets) as caught:
        head().fit_targets({"positions": [LINE, value]})
    assert caught.value.reasons == {1: reason}


# --- loss and predictions


@pytest.mark.parametrize("offset", [1e6, -1e8, 1e10])
def test_where_a_chain_is_in_space_changes_no_contact(offset):
    chains = TARGETS["positions"]
    moved = [[one and [number + offset for number in one] for one in chain] for chain in chains]
    for there, here in zip(truth_of(moved), truth_of(chains), strict=True):
        assert np.array_equal(there, here)


def build(features, **settings):
    one = head(**settings)
    target = one.fit_targets(TARGETS)
    return one.build_module(features, target), one.encode(TARGETS, target)


def random_features(layout, lengths, size, seed=0):
    axes = 1 if layout == Layout.SEQUENCE else 2
    shape = (len(lengths), *[max(lengths)] * axes, size)
    return Features(layout, (torch.randn(shape, generator=torch.Generator().manual_seed(seed)),), torch.tensor(lengths))


@pytest.mark.parametrize(("description", "size"), [(PAIR, 3), (sequence(5), 5)])
def test_a_map_is_symmetric_and_empty_near_its_diagonal(description, size):
    module, _ = build(description)
    features = random_features(description.layout, [12, 9, 15, 10], size)
    module.fit_feature_scale(features)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()

    with torch.no_grad():
        found = module.predict(module(features), features)

    for value, probability, length in zip(found.values, found.probabilities, [12, 9, 15, 10], strict=True):
        assert value.shape == (length, length)
        assert probability.shape == (length, length, 2)
        assert np.allclose(probability, probability.transpose(1, 0, 2), atol=1e-6)
        assert np.allclose(probability.sum(-1), 1)
        distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
        assert (probability[distance < 6, 1] == 0).all()
        assert (probability[distance >= 6, 1] > 0).all()


def test_the_loss_counts_each_known_pair_once():
    module, encoded = build(PAIR)
    features = random_features(Layout.PAIR, [12, 9, 15, 10], 3)
    known = sum(int((one >= 0).sum()) // 2 for one in truth_of(TARGETS["positions"]))
    assert float(module.loss(module(features), encoded, features).weight) == known


def test_pairs_of_truncated_residues_do_not_count():
    module, encoded = build(PAIR)
    features = random_features(Layout.PAIR, [8, 8, 8, 8], 3)
    assert float(module.loss(module(features), encoded, features).weight) == 3 * 4  # (0, 6), (0, 7), (1, 7)


def test_the_initial_probability_is_the_share_of_contacts():
    module, _ = build(PAIR)
    features = random_features(Layout.PAIR, [12], 3)
    with torch.no_grad():
        probability = module.predict(module(features), features).probabilities[0][..., 1]
    assert probability.max() == pytest.approx(head().fit_targets(TARGETS).share, abs=1e-6)


def test_a_background_common_to_all_pairs_is_removed():
    module, _ = build(PAIR)
    background = torch.rand(1, 10, generator=torch.Generator().manual_seed(0))
    product = (background[:, :, None] * background[:, None, :])[..., None].expand(1, 10, 10, 3)
    assert module.weighted_features(Features(Layout.PAIR, (product,), torch.tensor([10]))).abs().max() < 1e-6


# --- a whole model


def rows(count, length=32):
    """Generate sequences with two W, far apart along the sequence, which are in contact."""
    random = np.random.default_rng(0)
    texts, positions = [], []
    for _ in range(count):
        letters = random.choice(list("DEKS"), length)
        one, other = random.integers(4), 28 + random.integers(4)
        letters[[one, other]] = "W"
        place = 100.0 * np.arange(length)[:, None] * [1, 0, 0]
        place[other] = place[one] + [5, 0, 0]
        texts.append("".join(letters))
        positions.append(place.tolist())
    return texts, positions


@pytest.mark.slow
def test_a_model_is_trained_to_find_contacts(tmp_path):
    texts, positions = rows(64)
    data = {"letters": texts, "positions": positions}
    model = tg.compose(Pairs(), head(), {"name": "full", "learning_rate": 1e-2})
    model.fit(
        data, inputs="letters", target="positions", training={"epochs": 20, "batch_size": 8, "workers": 0}, quiet=True
    )

    probability = np.array([[[one[1] for one in line] for line in row] for row in model.predict_proba(texts[:8])])

    for row, text in zip(probability, texts, strict=False):
        assert np.unravel_index(row.argmax(), row.shape) == (text.index("W"), text.rindex("W"))
    found = model.evaluate(data)
    assert found["contact_precision_long_l5"] == pytest.approx(1 / 6)  # one contact among the likeliest six
    model.save(tmp_path / "model")
    again = tg.load(tmp_path / "model", backbone=Pairs(), head=head())
    assert all(map(np.array_equal, again.predict(texts), model.predict(texts)))


def test_a_file_of_predictions_holds_maps_with_their_probabilities(tmp_path):
    texts, positions = rows(8)
    model = tg.compose(Pairs(), head(), "full")
    model.fit({"letters": texts, "positions": positions}, target="positions", training={"epochs": 1}, quiet=True)

    model.predict_to({"letters": texts[:3]}, tmp_path / "out.jsonl", probabilities=True)

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [np.shape(line["prediction"]) for line in lines] == [(32, 32)] * 3
    assert lines[0]["probabilities"][0][1] == {"0": 1.0, "1": 0.0}  # too near


def test_the_number_of_positions_must_equal_the_number_of_residues():
    texts, positions = rows(8)
    words = [list(text) for text in texts]
    model = tg.compose(Words(), head(), "full")
    with pytest.raises(TaskgraftError) as caught:
        model.fit({"text": words, "positions": [positions[0][:-1], *positions[1:]]}, target="positions", quiet=True)
    assert str(caught.value).startswith("the training data, row 0: 'positions' has 31 labels for 32 elements.\n")


# --- the metric


def score(found, goals):
    predictions = Predictions(
        [(one > 0.5).astype(np.int8) for one in found], [np.stack([1 - one, one], -1) for one in found], (0, 1)
    )
    return contact_precision(predictions, goals, {}, None)(np.arange(len(goals)))


def test_the_most_likely_pairs_of_each_range_count():
    goal = np.full((50, 50), 0, np.int8)
    for one, other in ((0, 24), (1, 30), (2, 14), (3, 26)):
        goal[one, other] = goal[other, one] = 1
    probability = 0.01 * symmetric_map(50, 0)
    for (one, other), share in {(0, 24): 0.9, (1, 30): 0.8, (5, 40): 0.7, (2, 14): 0.9, (2, 25): 0.95}.items():
        probability[one, other] = probability[other, one] = share

    found = score([probability], [goal])

    assert found["contact_precision_long_l5"] == pytest.approx(2 / 10, abs=0.11)
    assert found["contact_precision_medium_l"] == pytest.approx(1 / 50)
    assert found["contact_precision_medium_l5"] == pytest.approx(1 / 10)


def test_a_perfect_ranking_scores_one():
    goal = (symmetric_map(60, 1) > 0.6).astype(np.int8)
    assert set(score([goal.astype(np.float32)], [goal]).values()) == {1.0}


def test_unknown_pairs_do_not_count():
    goal = (symmetric_map(60, 1) > 0.6).astype(np.int8)
    hidden = goal.copy()
    hidden[:, ::2] = hidden[::2] = -1
    probability = goal.astype(np.float32)
    probability[goal != hidden] = 1.0
    assert score([probability], [hidden])["contact_precision_long_l5"] == 1.0


def test_sequences_count_equally_and_short_ones_are_left_out():
    good, bad = np.ones((30, 30), np.int8), np.zeros((40, 40), np.int8)
    short = np.ones((10, 10), np.int8)
    found = score([np.ones_like(one, np.float32) for one in (good, bad, short)], [good, bad, short])
    assert found == {f"contact_precision_{far}_{cut}": 0.5 for far in ("long", "medium") for cut in ("l", "l2", "l5")}
    assert score([np.ones((10, 10), np.float32)], [short]) == {}


def test_truncated_residues_are_predicted_as_no_contact():
    goal = np.ones((40, 40), np.int8)
    goal[:30, :30] = 0
    assert score([np.full((30, 30), 0.9, np.float32)], [goal])["contact_precision_long_l5"] == 0.0
