from fractions import Fraction

import numpy as np
import pytest

from taskgraft_fraud.parse_cells import InvalidCells
from taskgraft_fraud.threshold import Threshold, choose_by_capacity, choose_by_costs, fraud_losses


def is_near(found: Threshold, value: float, **rest) -> bool:
    """Compare a threshold up to rounding of its value."""
    return found.model_dump(exclude_none=True) == {"value": pytest.approx(value)} | rest


def simulated(rows: int, seed: int = 0):
    """Calibrated probabilities, and whether each row is a fraud, sampled with them."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.5, 3.0, rows)
    return scores, rng.random(rows) < scores


@pytest.mark.parametrize("review", [5.0, 10.0, 20.0, 40.0])
def test_for_calibrated_probabilities_the_threshold_is_the_review_cost_divided_by_the_loss(review):
    scores, frauds = simulated(400_000)
    found = choose_by_costs(scores, frauds * 100.0, review)
    assert found.value == pytest.approx(review / 100.0, abs=0.02)


def test_twice_the_review_cost_doubles_the_threshold():
    scores, frauds = simulated(400_000)
    low, high = (choose_by_costs(scores, frauds * 100.0, review).value for review in (10.0, 20.0))
    assert high / low == pytest.approx(2.0, rel=0.15)


def test_with_unequal_losses_no_other_threshold_costs_less():
    rng = np.random.default_rng(3)
    scores, frauds = simulated(300)
    scores = scores.round(2)  # many ties
    losses = frauds * rng.exponential(80.0, 300)
    found = choose_by_costs(scores, losses, 7.0)

    def cost(value):
        alerts = scores > value
        return losses[~alerts].sum() + 7.0 * alerts.sum()

    assert found.cost == pytest.approx(cost(found.value))
    assert found.cost == pytest.approx(min(map(cost, np.linspace(0, 1, 2_001))))


def test_thresholds_computed_by_hand():
    scores, losses = np.array([0.9, 0.2, 0.4, 0.1]), np.array([50.0, 0.0, 9.0, 0.0])
    assert is_near(choose_by_costs(scores, losses, 5.0), 0.3, chosen="by costs", cost=10.0)
    assert is_near(choose_by_costs(scores, losses, 10.0), 0.65, chosen="by costs", cost=19.0)


def test_of_thresholds_of_equal_cost_the_one_with_the_fewest_alerts_wins():
    assert choose_by_costs(np.array([0.2, 0.6]), np.array([0.0, 5.0]), 5.0).value == 1.0


def test_there_are_no_alerts_if_one_costs_more_than_all_frauds():
    found = choose_by_costs(np.array([0.2, 1.0]), np.array([0.0, 5.0]), 6.0)
    assert is_near(found, 1.0, chosen="by costs", cost=5.0)


def test_every_row_above_zero_is_an_alert_if_reviews_cost_almost_nothing():
    found = choose_by_costs(np.array([0.0, 0.2, 1.0]), np.array([0.0, 5.0, 5.0]), 1e-6)
    assert is_near(found, 0.1, chosen="by costs", cost=2e-6)


def test_the_alerts_fill_the_capacity_in_the_mean_over_the_days():
    found = choose_by_capacity(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), days=2, per_day=1.5)
    assert is_near(found, 0.35, chosen="by capacity", alerts_per_day=1.5)


def test_rows_of_equal_score_are_not_alerts_if_they_do_not_all_fit():
    found = choose_by_capacity(np.array([0.1, 0.5, 0.5, 0.5, 0.9]), days=1, per_day=3)
    assert is_near(found, 0.7, chosen="by capacity", alerts_per_day=1.0)


@pytest.mark.parametrize(("per_day", "value", "alerts"), [(0.4, 1.0, 0.0), (2.0, 0.0, 2.0), (100.0, 0.0, 2.0)])
def test_capacity_for_no_row_and_for_all_rows(per_day, value, alerts):
    found = choose_by_capacity(np.array([0.3, 0.6]), days=1, per_day=per_day)
    assert is_near(found, value, chosen="by capacity", alerts_per_day=alerts)


def test_a_capacity_that_is_met_exactly_is_not_missed_by_rounding():
    assert choose_by_capacity(np.linspace(0.1, 0.9, 50), days=100, per_day=0.29).alerts_per_day == 0.29


def test_losses_are_parsed_only_for_frauds():
    frauds = np.array([True, False, True])
    assert fraud_losses("amount", ["12.5", "refund", 3], frauds).tolist() == [12.5, 0.0, 3.0]


def test_a_fraud_without_a_valid_amount_is_named_with_its_row():
    with pytest.raises(InvalidCells) as caught:
        fraud_losses("amount", ["x", "x", None, -1.0], np.array([False, True, True, True]))
    assert caught.value.reasons == {
        1: "the column 'amount' is 'x', which is not a number",
        2: "the column 'amount' is empty",
        3: "the column 'amount' is '-1', and the cost of a missed fraud cannot be negative",
    }


@pytest.mark.parametrize("exponent", [-100, -10, 10, 100])
def test_the_threshold_of_least_cost_does_not_depend_on_the_currency(exponent):
    scores, frauds = simulated(300)
    losses = frauds * np.random.default_rng(3).exponential(80.0, 300)
    expected = choose_by_costs(scores, losses, 7.0)
    found = choose_by_costs(scores, losses * 2.0**exponent, 7.0 * 2.0**exponent)
    assert (found.value, found.cost) == (expected.value, expected.cost * 2.0**exponent)


@pytest.mark.parametrize("amount", [1e-30, 1e12, 1e30])
def test_the_cost_of_the_threshold_is_the_exact_least_one(amount):
    scores, frauds = simulated(40)
    losses = (frauds * np.random.default_rng(3).uniform(0.5, 1.0, 40)) * amount
    review = amount / 5
    exact = [
        sum((Fraction(review) if score > value else Fraction(loss)) for score, loss in zip(scores, losses, strict=True))
        for value in [0.0, *sorted(scores)]
    ]
    assert choose_by_costs(scores, losses, review).cost == pytest.approx(float(min(exact)), rel=1e-12)
