import os
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from taskgraft_fraud.parse_times import DAY
from taskgraft_fraud.time_windows import customer_windows, terminal_windows

pytestmark = pytest.mark.slow

HANDBOOK = Path(os.environ.get("TASKGRAFT_DATA", "absent"), "tabular", "fraud_handbook_simulated")
DAYS = (1, 7, 30)
SECOND = 1_000_000


def transactions(count, seed=0):
    """Keys, some missing, times in any order, many of them equal, and amounts in cents."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(-1, 12, count)
    times = rng.integers(0, 60 * 8, count) * DAY // 8  # eight times a day, so that windows end on them
    return keys, times, rng.integers(1, 10_000, count) / 100


def members(keys, times, row, oldest, latest):
    """The rows of a window."""
    return [
        other
        for other in range(len(keys))
        if keys[other] == keys[row] >= 0
        and times[row] - oldest < times[other] <= times[row] - latest
        and (times[other] < times[row] or other <= row)
    ]


def loop_over_pairs(keys, times, values, oldest, latest):
    """Counts and means by a loop over all pairs of rows."""
    windows = [members(keys, times, row, oldest, latest) for row in range(len(keys))]
    return [len(rows) for rows in windows], [np.mean(values[rows]) if rows else 0.0 for rows in windows]


def assert_window(window, counts, means):
    assert window.count.tolist() == counts
    np.testing.assert_allclose(window.mean, means, rtol=1e-6)


def test_the_windows_of_customers_equal_a_loop_over_all_pairs():
    customers, times, amounts = transactions(600)
    for days, window in zip(DAYS, customer_windows(customers, times, amounts, DAYS), strict=True):
        assert_window(window, *loop_over_pairs(customers, times, amounts, days * DAY, 0))


def test_the_windows_of_terminals_equal_a_loop_over_all_pairs():
    terminals, times, amounts = transactions(600, seed=1)
    frauds = amounts > 90
    for days, window in zip(DAYS, terminal_windows(terminals, times, frauds, DAYS, delay=7), strict=True):
        assert_window(window, *loop_over_pairs(terminals, times, frauds, (7 + days) * DAY, 7 * DAY))


def test_a_window_excludes_its_oldest_moment():
    keys, times = np.zeros(3, np.int64), np.array([0, DAY - 1, DAY])
    (window,) = customer_windows(keys, times, np.array([1.0, 10.0, 100.0]), [1])
    assert (window.count.tolist(), window.mean.tolist()) == ([1, 2, 2], [1.0, 5.5, 55.0])


def test_a_label_counts_from_the_moment_it_is_known():
    keys, times = np.zeros(3, np.int64), np.array([0, 7 * DAY - 1, 7 * DAY])
    (window,) = terminal_windows(keys, times, np.array([True, False, False]), [1], delay=7)
    assert (window.count.tolist(), window.mean.tolist()) == ([0, 0, 1], [0.0, 0.0, 1.0])


def test_later_rows_change_nothing():
    keys, times, amounts = transactions(500)
    order = np.argsort(times, kind="stable")
    full = [*customer_windows(keys[order], times[order], amounts[order], DAYS)]
    half = order[:250]
    for window, of_all in zip(customer_windows(keys[half], times[half], amounts[half], DAYS), full, strict=True):
        assert window.count.tolist() == of_all.count[:250].tolist()
        np.testing.assert_allclose(window.mean, of_all.mean[:250], rtol=1e-6)


def test_windows_of_no_transactions_are_empty():
    nothing = np.zeros(0, np.int64)
    (window,) = customer_windows(nothing, nothing, np.zeros(0), [7])
    assert (len(window.count), len(window.mean)) == (0, 0)


@pytest.fixture(scope="module")
def handbook():
    """The raw transactions, those with the Handbook's own windows, and the row indices of the latter among the former."""
    if not HANDBOOK.is_dir():
        pytest.skip("TASKGRAFT_DATA names no folder with tabular/fraud_handbook_simulated")
    raw = parquet.read_table(HANDBOOK / "transactions_all_183days.parquet")
    expected = parquet.read_table(HANDBOOK / "features_20180725_20180814.parquet")
    numbers = raw["TRANSACTION_ID"].to_numpy()
    order = np.argsort(numbers)
    return raw, expected, order[np.searchsorted(numbers, expected["TRANSACTION_ID"].to_numpy(), sorter=order)]


def test_the_windows_of_terminals_equal_the_handbooks(handbook):
    raw, expected, indices = handbook
    terminals, times = (raw[name].to_numpy().astype(np.int64) for name in ("TERMINAL_ID", "TX_TIME_SECONDS"))
    frauds = raw["TX_FRAUD"].to_numpy() == 1
    for days, window in zip(DAYS, terminal_windows(terminals, times * SECOND, frauds, DAYS, delay=7), strict=True):
        assert (window.count[indices] == expected[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"].to_numpy()).all()
        np.testing.assert_allclose(window.mean[indices], expected[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"], rtol=1e-6)


def test_the_windows_of_customers_equal_the_handbooks_except_for_one_simultaneous_pair(handbook):
    """The Handbook's sort is not stable: it swapped two transactions of a customer within one second."""
    raw, expected, indices = handbook
    customers, times = (raw[name].to_numpy().astype(np.int64) for name in ("CUSTOMER_ID", "TX_TIME_SECONDS"))
    amounts = raw["TX_AMOUNT"].to_numpy()
    numbers = expected["TRANSACTION_ID"].to_numpy()
    pair = np.isin(numbers, [1_240_489, 1_240_490])
    assert len(set(zip(customers[indices[pair]], times[indices[pair]], strict=True))) == 1
    for days, window in zip(DAYS, customer_windows(customers, times * SECOND, amounts, DAYS), strict=True):
        count = expected[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"].to_numpy()
        mean = expected[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"].to_numpy()
        assert (window.count[indices] == count)[~pair].all()
        assert sorted(window.count[indices][pair]) == sorted(count[pair])
        np.testing.assert_allclose(window.mean[indices][~pair], mean[~pair], rtol=1e-6, atol=1e-9)
