import numpy as np
import pytest

from taskgraft_fraud.cells import BadCells
from taskgraft_fraud.threshold import Threshold, by_capacity, by_costs, losses_of


def is_near(found: Threshold, value: float, **rest) -> bool:
    """Compare a threshold, whose value may differ by rounding."""
    return found.model_dump(exclude_none=True) == {"value": pytest.approx(value)} | rest


def simulated(rows: int, seed: int = 0):
    """Probabilities, and whether each row is a fraud, drawn with just these: they are calibrated."""
    chance = np.random.default_rng(seed)
    scores = chance.beta(0.5, 3.0, rows)
    return scores, chance.random(rows) < scores


@pytest.mark.parametrize("review", [5.0, 10.0, 20.0, 40.0])
def test_for_calibrated_probabilities_the_threshold_is_the_price_of_an_alert_by_the_loss_of_a_miss(review):
    scores, frauds = simulated(400_000)
    found = by_costs(scores, frauds * 100.0, review)
    assert found.value == pytest.approx(review / 100.0, abs=0.02)


def test_twice_the_price_of_an_alert_doubles_the_threshold():
    scores, frauds = simulated(400_000)
    cheap, dear = (by_costs(scores, frauds * 100.0, review).value for review in (10.0, 20.0))
    assert dear / cheap == pytest.approx(2.0, rel=0.15)


def test_where_frauds_cost_unlike_amounts_no_other_threshold_costs_less():
    chance = np.random.default_rng(3)
    scores, frauds = simulated(300)
    scores = scores.round(2)  # many ties
    losses = frauds * chance.exponential(80.0, 300)
    found = by_costs(scores, losses, 7.0)

    def cost(value):
        alerts = scores > value
        return losses[~alerts].sum() + 7.0 * alerts.sum()

    assert found.cost == pytest.approx(cost(found.value))
    assert found.cost == pytest.approx(min(map(cost, np.linspace(0, 1, 2_001))))


def test_by_hand():
    scores, losses = np.array([0.9, 0.2, 0.4, 0.1]), np.array([50.0, 0.0, 9.0, 0.0])
    assert is_near(by_costs(scores, losses, 5.0), 0.3, chosen="by costs", cost=10.0)
    assert is_near(by_costs(scores, losses, 10.0), 0.65, chosen="by costs", cost=19.0)


def test_of_thresholds_that_cost_the_same_the_one_with_the_fewest_alerts_is_taken():
    assert by_costs(np.array([0.2, 0.6]), np.array([0.0, 5.0]), 5.0).value == 1.0


def test_an_alert_that_costs_more_than_all_frauds_is_never_raised():
    found = by_costs(np.array([0.2, 1.0]), np.array([0.0, 5.0]), 6.0)
    assert is_near(found, 1.0, chosen="by costs", cost=5.0)


def test_an_alert_that_costs_next_to_nothing_is_raised_for_every_row_above_zero():
    found = by_costs(np.array([0.0, 0.2, 1.0]), np.array([0.0, 5.0, 5.0]), 1e-6)
    assert is_near(found, 0.1, chosen="by costs", cost=2e-6)


def test_capacity_is_what_the_scores_above_the_threshold_fill_over_the_days():
    found = by_capacity(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), days=2, per_day=1.5)
    assert is_near(found, 0.35, chosen="by capacity", alerts_per_day=1.5)


def test_rows_of_one_score_are_no_alerts_when_not_all_of_them_fit():
    found = by_capacity(np.array([0.1, 0.5, 0.5, 0.5, 0.9]), days=1, per_day=3)
    assert is_near(found, 0.7, chosen="by capacity", alerts_per_day=1.0)


@pytest.mark.parametrize(("per_day", "value", "alerts"), [(0.4, 1.0, 0.0), (2.0, 0.0, 2.0), (100.0, 0.0, 2.0)])
def test_capacity_for_none_and_for_all(per_day, value, alerts):
    found = by_capacity(np.array([0.3, 0.6]), days=1, per_day=per_day)
    assert is_near(found, value, chosen="by capacity", alerts_per_day=alerts)


def test_a_capacity_that_is_met_exactly_is_not_missed_by_rounding():
    assert by_capacity(np.linspace(0.1, 0.9, 50), days=100, per_day=0.29).alerts_per_day == 0.29


def test_a_loss_is_read_where_there_is_a_fraud_alone():
    frauds = np.array([True, False, True])
    assert losses_of("amount", ["12.5", "refund", 3], frauds).tolist() == [12.5, 0.0, 3.0]


def test_a_fraud_without_an_amount_that_can_be_used_is_told():
    with pytest.raises(BadCells) as caught:
        losses_of("amount", ["x", "x", None, -1.0], np.array([False, True, True, True]))
    assert caught.value.reasons == {
        1: "the column 'amount' is 'x', which is no number",
        2: "the column 'amount' is empty",
        3: "the column 'amount' is '-1', and no missed fraud costs less than 0",
    }
