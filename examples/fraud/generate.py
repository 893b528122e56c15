"""Generate synthetic transactions of customers at terminals, some of them frauds: ``python generate.py FOLDER``."""

import argparse
import csv
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GENUINE, LARGE, COMPROMISED, STOLEN = range(4)
"""Kinds of transactions: genuine, and three kinds of fraud."""

START = datetime(2025, 3, 3)
TEST, DELAY = 14, 7
"""Days held out at the end, and days before them that are left out, since their labels have not arrived yet."""

LARGE_SHARE, LARGE_AMOUNTS = 0.003, (400.0, 800.0)
COMPROMISED_EVERY, COMPROMISED_DAYS = 8, 14
STOLEN_EVERY, STOLEN_DAYS, STOLEN_SHARE, STOLEN_FACTOR = 5, 10, 0.5, 5.0
REACH = 15.0
"""Customers pay at terminals within this distance in km, and always at the nearest one."""

Columns = Mapping[str, NDArray[Any]]


def customers(count: int, rng: np.random.Generator) -> Columns:
    """Sample customers: place in km, ``(customer, 2)``; mean and standard deviation of their amounts; transactions per day."""
    mean = rng.uniform(5, 100, count)
    return {
        "place": rng.uniform(0, 100, (count, 2)),
        "mean": mean,
        "spread": mean / 3,
        "rate": rng.uniform(0.4, 2.4, count),
    }


def visited(places: NDArray[np.float64], terminals: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Decide which customers pay at which terminals: ``(customer, terminal)`` bool."""
    distance = np.linalg.norm(places[:, None] - terminals[None], axis=2)
    return (distance <= REACH) | (distance == distance.min(1, keepdims=True))


def transactions(days: int, count: int, terminals: int, seed: int) -> Columns:
    """Generate transactions, sorted by time.

    Args:
        count: number of customers.
        terminals: number of terminals.
        seed: determines the result.

    Returns:
        seconds since START, customer, terminal, amount, and kind ("way") of each transaction.
    """
    rng = np.random.default_rng(seed)
    people = customers(count, rng)
    near = visited(people["place"], rng.uniform(0, 100, (terminals, 2)))
    counts_per_day = rng.poisson(people["rate"][:, None], (count, days))
    customer = np.repeat(np.arange(count), counts_per_day.sum(1))
    day = np.concatenate([np.repeat(np.arange(days), counts) for counts in counts_per_day])
    seconds = day * 86_400 + (rng.normal(14, 4.5, len(day)) * 3600 % 86_400).astype(np.int64)
    first, number = np.cumsum(near.sum(1)) - near.sum(1), near.sum(1)
    terminal = np.nonzero(near)[1][first[customer] + (rng.random(len(day)) * number[customer]).astype(np.int64)]
    amount = np.abs(rng.normal(people["mean"][customer], people["spread"][customer]))
    way = _frauds(day, customer, terminal, amount, days, rng)
    order = np.argsort(seconds, kind="stable")
    columns = {"seconds": seconds, "customer": customer, "terminal": terminal, "amount": amount, "way": way}
    columns["amount"] = np.maximum(amount.round(2), 0.01)
    return {name: values[order] for name, values in columns.items()}


def _frauds(
    day: NDArray[np.int64],
    customer: NDArray[np.int64],
    terminal: NDArray[np.int64],
    amount: NDArray[np.float64],
    days: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Turn some transactions into frauds, changing amounts in place, and return the kind of each.

    From time to time a terminal is compromised, and all payments there for a while are frauds, with ordinary amounts. From
    time to time a card is stolen, and for a while every second payment with it is a fraud of five times the amount. And some
    transactions have amounts that no customer pays.
    """
    way = np.full(len(day), GENUINE)
    for start, victim in enumerate(rng.permutation(terminal.max() + 1)[: -(-days // COMPROMISED_EVERY)]):
        since = day - start * COMPROMISED_EVERY
        way[(terminal == victim) & (since >= 0) & (since < COMPROMISED_DAYS)] = COMPROMISED
    for start, victim in enumerate(rng.permutation(customer.max() + 1)[: -(-days // STOLEN_EVERY)]):
        since = day - start * STOLEN_EVERY
        stolen = (customer == victim) & (since >= 0) & (since < STOLEN_DAYS) & (rng.random(len(day)) < STOLEN_SHARE)
        way[stolen & (way == GENUINE)] = STOLEN
    amount[way == STOLEN] *= STOLEN_FACTOR
    large = (rng.random(len(day)) < LARGE_SHARE) & (way == GENUINE)
    way[large] = LARGE
    amount[large] = rng.uniform(*LARGE_AMOUNTS, large.sum())
    return way


def save(folder: str | Path, days: int = 70, count: int = 200, terminals: int = 300, seed: int = 0) -> Path:
    """Write FOLDER/train.csv, and for the last days FOLDER/test/history.csv and FOLDER/test/transactions.csv.

    Raises:
        ValueError: if there are too few days.
    """
    if days <= TEST + DELAY:
        raise ValueError(f"{days} days leave none for training: the last {TEST + DELAY} are held out")
    columns = transactions(days, count, terminals, seed)
    day = columns["seconds"] // 86_400
    parts = {
        "train.csv": day < days - TEST - DELAY,
        "test/history.csv": day < days - TEST,
        "test/transactions.csv": day >= days - TEST,
    }
    for name, rows in parts.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["time", "customer", "terminal", "amount", "fraud"])
            for row in np.flatnonzero(rows).tolist():
                time = START + timedelta(seconds=int(columns["seconds"][row]))
                customer, terminal = f"C{columns['customer'][row]:03}", f"T{columns['terminal'][row]:03}"
                table.writerow(
                    [time, customer, terminal, f"{columns['amount'][row]:.2f}", int(columns["way"][row] != GENUINE)]
                )
    return Path(folder)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="output folder of train.csv and test/")
    arguments.add_argument("--days", type=int, default=70)
    arguments.add_argument("--customers", type=int, default=200)
    arguments.add_argument("--terminals", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    save(options.folder, options.days, options.customers, options.terminals, options.seed)
