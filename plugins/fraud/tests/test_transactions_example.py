"""The synthetic transactions of the example match its README, and the reader reads them."""

import csv
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from taskgraft.plugin import parse_config
from taskgraft_fraud.transactions_reader import read_transactions
from taskgraft_fraud.transactions_settings import TransactionsConfig

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "examples" / "fraud"
FILES = ("train.csv", "test/history.csv", "test/transactions.csv")


@pytest.fixture
def generate(monkeypatch):
    """The module that generates transactions."""
    monkeypatch.syspath_prepend(EXAMPLE)
    import generate

    yield generate
    del sys.modules["generate"]


@pytest.fixture
def columns(generate):
    return generate.transactions(days=70, count=200, terminals=300, seed=0)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_seed_determines_the_bytes(generate, tmp_path):
    one, same, other = (generate.save(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))

    assert [(one / name).read_bytes() for name in FILES] == [(same / name).read_bytes() for name in FILES]
    assert [name for name in FILES if (one / name).read_bytes() == (other / name).read_bytes()] == []


def test_the_files_contain_the_days_of_the_readme(generate, tmp_path):
    folder = generate.save(tmp_path)
    train, history, test = (table(folder / name) for name in FILES)

    assert history[: len(train)] == train
    assert (train[0]["time"][:10], train[-1]["time"][:10]) == ("2025-03-03", "2025-04-20")
    assert (history[-1]["time"][:10], test[0]["time"][:10]) == ("2025-04-27", "2025-04-28")
    assert test[-1]["time"][:10] == "2025-05-11"
    for rows in (history, test):
        times = [row["time"] for row in rows]
        assert times == sorted(times)


def test_too_few_days_are_an_error(generate, tmp_path):
    with pytest.raises(ValueError) as caught:
        generate.save(tmp_path, days=21)
    assert str(caught.value) == "21 days leave none for training: the last 21 are held out"


def test_about_one_in_a_hundred_is_a_fraud_and_every_kind_is_in_every_part(generate, columns):
    day, way = columns["seconds"] // 86_400, columns["way"]

    assert 18_000 < len(way) < 22_000
    assert 0.008 < (way != generate.GENUINE).mean() < 0.02
    for part in (day < 49, day >= 56):
        assert set(way[part].tolist()) == {0, 1, 2, 3}


def test_customers_pay_at_terminals_near_them(generate):
    people = generate.customers(200, np.random.default_rng(0))
    terminals = np.random.default_rng(1).uniform(0, 100, (300, 2))
    near = generate.visited(people["place"], terminals)

    assert (np.isfinite(people["place"]) & (people["place"] >= 0) & (people["place"] <= 100)).all()
    assert near.any(1).all()
    distance = np.linalg.norm(people["place"][:, None] - terminals[None], axis=2)
    assert (distance[near] <= generate.REACH).mean() > 0.99


def test_a_customer_far_from_all_terminals_pays_at_the_nearest(generate):
    near = generate.visited(np.array([[0.0, 0.0]]), np.array([[90.0, 90.0], [50.0, 50.0]]))
    assert near.tolist() == [[False, True]]


def test_large_amounts_are_all_frauds(generate, columns):
    large = columns["way"] == generate.LARGE
    genuine = columns["way"] == generate.GENUINE

    assert columns["amount"][large].min() >= 400 > columns["amount"][genuine].max()


def test_all_payments_at_a_compromised_terminal_are_frauds_of_ordinary_amounts(generate, columns):
    way, day, amount = columns["way"], columns["seconds"] // 86_400, columns["amount"]
    compromised = way == generate.COMPROMISED
    for terminal in np.unique(columns["terminal"][compromised]):
        here = columns["terminal"] == terminal
        first, last = day[here & compromised].min(), day[here & compromised].max()
        assert last - first < generate.COMPROMISED_DAYS
        assert (way[here & (day >= first) & (day <= last)] == generate.COMPROMISED).all()
    ordinary = amount[way == generate.GENUINE].mean()
    assert ordinary / 1.5 < amount[compromised].mean() < ordinary * 1.5


def test_about_half_of_the_payments_with_a_stolen_card_are_frauds_of_five_times_the_amount(generate, columns):
    way, day, amount = columns["way"], columns["seconds"] // 86_400, columns["amount"]
    stolen = way == generate.STOLEN
    times, shares = [], []
    for customer in np.unique(columns["customer"][stolen]):
        theirs = columns["customer"] == customer
        first, last = day[theirs & stolen].min(), day[theirs & stolen].max()
        assert last - first < generate.STOLEN_DAYS
        times.append(amount[theirs & stolen].mean() / amount[theirs & (way == generate.GENUINE)].mean())
        shares.append(stolen[theirs & (day >= first) & (day <= last)].mean())
    assert 4 < np.mean(times) < 6
    assert 0.4 < np.mean(shares) < 0.8


@pytest.fixture
def read(generate, tmp_path):
    """Rows of train.csv and of test/, as the recipe's reader reads them, and the recipe's data."""
    data = tomllib.loads((EXAMPLE / "recipe.toml").read_text())["data"]
    settings = {key: value for key, value in data["reader"].items() if key != "name"}
    config = parse_config(TransactionsConfig, settings, "reader 'transactions'")
    folder = generate.save(tmp_path)
    return read_transactions(folder / "train.csv", config), read_transactions(folder / "test", config), data


def test_the_reader_adds_the_inputs_of_the_recipe(read):
    train, test, data = read

    assert {*data["inputs"], data["target"]} <= set(train.columns) & set(test.columns)
    assert (train.invalid, test.invalid, test.notes) == ({}, {}, {})


def test_the_windows_reveal_each_kind_of_fraud(generate, columns, read):
    _, test, _ = read
    way = columns["way"][columns["seconds"] // 86_400 >= 56]
    risk, mean = (np.array(test.values(name)) for name in ("terminal_risk_14d", "customer_mean_14d"))
    above = np.array([float(amount) for amount in test.values("amount")]) / mean

    assert risk[way == generate.COMPROMISED].mean() > 5 * risk[way == generate.GENUINE].mean()
    assert np.median(above[way == generate.STOLEN]) > 2 > np.median(above[way == generate.GENUINE])
