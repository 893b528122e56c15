import os
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from taskgraft_fraud.history import customer_windows, terminal_windows
from taskgraft_fraud.times import DAY

HANDBOOK = Path(os.environ.get("TASKGRAFT_DATA", "absent"), "tabular", "fraud_handbook_simulated")
DAYS = (1, 7, 30)
SECOND = 1_000_000


def transactions(count, seed=0):
    """Give keys, some of nobody, times in any order, many of them equal, and amounts in cents."""
    chance = np.random.default_rng(seed)
    keys = chance.integers(-1, 12, count)
    times = chance.integers(0, 60 * 8, count) * DAY // 8  # eight moments a day, so that windows end on a moment
    return keys, times, chance.integers(1, 10_000, count) / 100


def members(keys, times, row, oldest, latest):
    """Give the rows of a window, one by one."""
    return [
        other
        for other in range(len(keys))
        if keys[other] == keys[row] >= 0
        and times[row] - oldest < times[other] <= times[row] - latest
        and (times[other] < times[row] or other <= row)
    ]


def slowly(keys, times, values, oldest, latest):
    """Count and average by a loop over all pairs of rows."""
    found = [members(keys, times, row, oldest, latest) for row in range(len(keys))]
    return [len(some) for some in found], [np.mean(values[some]) if some else 0.0 for some in found]


def same(window, counts, means):
    assert window.count.tolist() == counts
    np.testing.assert_allclose(window.mean, means, rtol=1e-6)


def test_the_windows_of_customers_are_those_of_a_loop_over_all_pairs():
    customers, times, amounts = transactions(600)
    for days, window in zip(DAYS, customer_windows(customers, times, amounts, DAYS), strict=True):
        same(window, *slowly(customers, times, amounts, days * DAY, 0))


def test_the_windows_of_terminals_are_those_of_a_loop_over_all_pairs():
    terminals, times, amounts = transactions(600, seed=1)
    frauds = amounts > 90
    for days, window in zip(DAYS, terminal_windows(terminals, times, frauds, DAYS, delay=7), strict=True):
        same(window, *slowly(terminals, times, frauds, (7 + days) * DAY, 7 * DAY))


def test_a_window_does_not_hold_what_is_as_old_as_it_is_long():
    keys, times = np.zeros(3, np.int64), np.array([0, DAY - 1, DAY])
    (window,) = customer_windows(keys, times, np.array([1.0, 10.0, 100.0]), [1])
    assert (window.count.tolist(), window.mean.tolist()) == ([1, 2, 2], [1.0, 5.5, 55.0])


def test_a_label_counts_from_the_moment_at_which_it_is_known():
    keys, times = np.zeros(3, np.int64), np.array([0, 7 * DAY - 1, 7 * DAY])
    (window,) = terminal_windows(keys, times, np.array([True, False, False]), [1], delay=7)
    assert (window.count.tolist(), window.mean.tolist()) == ([0, 0, 1], [0.0, 0.0, 1.0])


def test_what_comes_later_changes_nothing():
    keys, times, amounts = transactions(500)
    order = np.argsort(times, kind="stable")
    whole = [*customer_windows(keys[order], times[order], amounts[order], DAYS)]
    half = order[:250]
    for window, of_all in zip(customer_windows(keys[half], times[half], amounts[half], DAYS), whole, strict=True):
        assert window.count.tolist() == of_all.count[:250].tolist()
        np.testing.assert_allclose(window.mean, of_all.mean[:250], rtol=1e-6)


def test_no_transactions_have_no_windows():
    nothing = np.zeros(0, np.int64)
    (window,) = customer_windows(nothing, nothing, np.zeros(0), [7])
    assert (len(window.count), len(window.mean)) == (0, 0)


@pytest.fixture(scope="module")
def handbook():
    """Give the raw transactions, those with the Handbook's own windows, and where these stand among those."""
    if not HANDBOOK.is_dir():
        pytest.skip("the Handbook's transactions are not here: set TASKGRAFT_DATA")
    raw = parquet.read_table(HANDBOOK / "transactions_all_183days.parquet")
    theirs = parquet.read_table(HANDBOOK / "features_20180725_20180814.parquet")
    numbers = raw["TRANSACTION_ID"].to_numpy()
    order = np.argsort(numbers)
    return raw, theirs, order[np.searchsorted(numbers, theirs["TRANSACTION_ID"].to_numpy(), sorter=order)]


def test_the_windows_of_terminals_are_the_handbooks(handbook):
    raw, theirs, places = handbook
    terminals, times = (raw[name].to_numpy().astype(np.int64) for name in ("TERMINAL_ID", "TX_TIME_SECONDS"))
    frauds = raw["TX_FRAUD"].to_numpy() == 1
    for days, window in zip(DAYS, terminal_windows(terminals, times * SECOND, frauds, DAYS, delay=7), strict=True):
        assert (window.count[places] == theirs[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"].to_numpy()).all()
        np.testing.assert_allclose(window.mean[places], theirs[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"], rtol=1e-6)


def test_the_windows_of_customers_are_the_handbooks_but_for_one_pair_at_one_moment(handbook):
    """Of two transactions of a customer within one second, the Handbook's sort, which is not stable, put the second first."""
    raw, theirs, places = handbook
    customers, times = (raw[name].to_numpy().astype(np.int64) for name in ("CUSTOMER_ID", "TX_TIME_SECONDS"))
    amounts = raw["TX_AMOUNT"].to_numpy()
    numbers = theirs["TRANSACTION_ID"].to_numpy()
    pair = np.isin(numbers, [1_240_489, 1_240_490])
    assert len(set(zip(customers[places[pair]], times[places[pair]], strict=True))) == 1
    for days, window in zip(DAYS, customer_windows(customers, times * SECOND, amounts, DAYS), strict=True):
        count = theirs[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"].to_numpy()
        mean = theirs[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"].to_numpy()
        assert (window.count[places] == count)[~pair].all()
        assert sorted(window.count[places][pair]) == sorted(count[pair])
        np.testing.assert_allclose(window.mean[places][~pair], mean[~pair], rtol=1e-6, atol=1e-9)
