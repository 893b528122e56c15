import numpy as np
import pytest

from taskgraft_fraud.card_precision import Cards

WHOLE = 1
"""How often each row counts when none is drawn again."""


def cards(customers, days, scores, fraud, **columns) -> Cards:
    number = list(range(len(customers)))
    every = {"number": number, "customer": customers, "day": days} | columns
    arrays = np.array(days), np.array(scores, dtype=np.float64), np.array(fraud, dtype=np.bool_)
    return Cards(customers, *arrays, every)


def precision(found: Cards, rows: int, k: int) -> float:
    return found.precision(np.full(rows, WHOLE), k)


def plainly(customers, days, scores, fraud, k) -> float:
    """Go through the days one by one, as the Handbook does; no two scores are equal."""
    detected, shares = set(), []
    for day in sorted(set(days)):
        highest, compromised = {}, set()
        for customer, on, score, bad in zip(customers, days, scores, fraud, strict=True):
            if on == day and customer not in detected:
                highest[customer] = max(score, highest.get(customer, 0.0))
                if bad:
                    compromised.add(customer)
        looked_at = sorted(highest, key=highest.__getitem__, reverse=True)[:k]
        found = [customer for customer in looked_at if customer in compromised]
        if looked_at:
            shares.append(len(found) / len(looked_at))
        detected.update(found)
    return sum(shares) / len(shares)


@pytest.mark.parametrize("k", [1, 3, 10, 1_000])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_plain_loop_over_days_gives(seed, k):
    chance = np.random.default_rng(seed)
    rows = 400
    customers, days = chance.integers(0, 60, rows).tolist(), chance.integers(0, 6, rows).tolist()
    scores, fraud = chance.permutation(rows) / rows, chance.random(rows) < 0.2
    found = cards(customers, days, scores, fraud)
    assert precision(found, rows, k) == pytest.approx(plainly(customers, days, scores.tolist(), fraud.tolist(), k))


def test_a_card_counts_by_its_highest_score_and_by_any_fraud_of_the_day():
    found = cards(["a", "a", "b", "c"], [0] * 4, [0.9, 0.1, 0.8, 0.7], [False, True, False, True])
    assert precision(found, 4, 1) == 1.0
    assert precision(found, 4, 2) == 0.5


def test_a_card_that_was_found_is_not_looked_at_again():
    found = cards(["a", "a", "b"], [0, 1, 1], [0.9, 0.9, 0.1], [True, True, False])
    assert precision(found, 3, 1) == (1.0 + 0.0) / 2


def test_a_day_without_a_card_left_does_not_count():
    found = cards(["a", "a"], [0, 1], [0.9, 0.9], [True, True])
    assert precision(found, 2, 1) == 1.0


def test_cards_of_equal_score_count_by_the_share_that_fits():
    found = cards(list("abcd"), [0] * 4, [0.9, 0.5, 0.5, 0.5], [True, True, False, False])
    assert precision(found, 4, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert precision(found, 4, 4) == 0.5


def test_a_row_without_customer_is_a_card_of_its_own():
    found = cards([None, None, "a"], [0, 0, 0], [0.9, 0.8, 0.1], [True, False, False])
    assert precision(found, 3, 2) == 0.5


def test_a_card_whose_row_was_drawn_twice_is_two_cards():
    found = cards(["a", "b", "c"], [0] * 3, [0.9, 0.8, 0.7], [False, True, True])
    assert found.precision(np.array([2, 1, 1]), 2) == 0.0
    assert found.precision(np.array([2, 1, 1]), 3) == pytest.approx(1 / 3)


def test_two_rows_that_differ_only_in_another_column_are_one_card():
    found = cards(["a", "a", "b"], [0] * 3, [0.9, 0.9, 0.8], [False, False, True])
    assert precision(found, 3, 2) == 0.5


def test_rows_equal_in_every_column_are_a_row_that_was_drawn_again():
    found = cards(["a", "a", "b"], [0] * 3, [0.9, 0.9, 0.8], [False, False, True], number=[1, 1, 2])
    assert precision(found, 3, 2) == 0.0
