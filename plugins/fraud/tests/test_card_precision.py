import numpy as np
import pytest

from taskgraft_fraud.card_precision import CardPrecision


def card_precision(customers, days, scores, fraud, **columns) -> CardPrecision:
    number = list(range(len(customers)))
    every = {"number": number, "customer": customers, "day": days} | columns
    arrays = np.array(days), np.array(scores, dtype=np.float64), np.array(fraud, dtype=np.bool_)
    return CardPrecision(customers, *arrays, every)


def precision(found: CardPrecision, rows: int, k: int) -> float:
    return found.precision(np.ones(rows, np.int64), k)


def loop_over_days(customers, days, scores, fraud, k) -> float:
    """Compute it day by day, as the Handbook does; no two scores are equal."""
    detected, shares = set(), []
    for day in sorted(set(days)):
        highest, compromised = {}, set()
        for customer, on, score, bad in zip(customers, days, scores, fraud, strict=True):
            if on == day and customer not in detected:
                highest[customer] = max(score, highest.get(customer, 0.0))
                if bad:
                    compromised.add(customer)
        reviewed = sorted(highest, key=highest.__getitem__, reverse=True)[:k]
        found = [customer for customer in reviewed if customer in compromised]
        if reviewed:
            shares.append(len(found) / len(reviewed))
        detected.update(found)
    return sum(shares) / len(shares)


@pytest.mark.parametrize("k", [1, 3, 10, 1_000])
@pytest.mark.parametrize("seed", range(5))
def test_it_equals_a_loop_over_days(seed, k):
    rng = np.random.default_rng(seed)
    rows = 400
    customers, days = rng.integers(0, 60, rows).tolist(), rng.integers(0, 6, rows).tolist()
    scores, fraud = rng.permutation(rows) / rows, rng.random(rows) < 0.2
    found = card_precision(customers, days, scores, fraud)
    assert precision(found, rows, k) == pytest.approx(
        loop_over_days(customers, days, scores.tolist(), fraud.tolist(), k)
    )


def test_a_card_counts_by_its_highest_score_and_by_any_fraud_of_the_day():
    found = card_precision(["a", "a", "b", "c"], [0] * 4, [0.9, 0.1, 0.8, 0.7], [False, True, False, True])
    assert precision(found, 4, 1) == 1.0
    assert precision(found, 4, 2) == 0.5


def test_a_detected_card_is_not_reviewed_again():
    found = card_precision(["a", "a", "b"], [0, 1, 1], [0.9, 0.9, 0.1], [True, True, False])
    assert precision(found, 3, 1) == (1.0 + 0.0) / 2


def test_a_day_without_remaining_cards_does_not_count():
    found = card_precision(["a", "a"], [0, 1], [0.9, 0.9], [True, True])
    assert precision(found, 2, 1) == 1.0


def test_tied_cards_count_by_the_share_that_fits():
    found = card_precision(list("abcd"), [0] * 4, [0.9, 0.5, 0.5, 0.5], [True, True, False, False])
    assert precision(found, 4, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert precision(found, 4, 4) == 0.5


def test_a_row_without_customer_is_a_card_of_its_own():
    found = card_precision([None, None, "a"], [0, 0, 0], [0.9, 0.8, 0.1], [True, False, False])
    assert precision(found, 3, 2) == 0.5


def test_a_card_whose_row_was_resampled_twice_is_two_cards():
    found = card_precision(["a", "b", "c"], [0] * 3, [0.9, 0.8, 0.7], [False, True, True])
    assert found.precision(np.array([2, 1, 1]), 2) == 0.0
    assert found.precision(np.array([2, 1, 1]), 3) == pytest.approx(1 / 3)


def test_two_rows_that_differ_only_in_another_column_are_one_card():
    found = card_precision(["a", "a", "b"], [0] * 3, [0.9, 0.9, 0.8], [False, False, True])
    assert precision(found, 3, 2) == 0.5


def test_rows_that_agree_in_every_column_are_one_resampled_row():
    found = card_precision(["a", "a", "b"], [0] * 3, [0.9, 0.9, 0.8], [False, False, True], number=[1, 1, 2])
    assert precision(found, 3, 2) == 0.0
