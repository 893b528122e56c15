"""Make up transactions of customers at terminals, some of them frauds: ``python examples/fraud/generate.py FOLDER``."""

import argparse
import csv
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GENUINE, LARGE, COMPROMISED, STOLEN = range(4)
"""What a transaction is: no fraud, or one in one of three ways."""

START = datetime(2025, 3, 3)
TEST, DELAY = 14, 7
"""Days held out at the end, and days before them that nobody learns from, for their labels have not come in yet."""

LARGE_SHARE, LARGE_AMOUNTS = 0.003, (400.0, 800.0)
COMPROMISED_EVERY, COMPROMISED_DAYS = 8, 14
STOLEN_EVERY, STOLEN_DAYS, STOLEN_SHARE, STOLEN_FACTOR = 5, 10, 0.5, 5.0
REACH = 15.0
"""Kilometres from a customer's place in which lie the terminals where they pay; the nearest one belongs to them anyway."""

Columns = Mapping[str, NDArray[Any]]


def customers(count: int, chance: np.random.Generator) -> Columns:
    """Draw customers: place in km, ``(customer, 2)``; mean and spread of their amounts; transactions per day."""
    mean = chance.uniform(5, 100, count)
    return {
        "place": chance.uniform(0, 100, (count, 2)),
        "mean": mean,
        "spread": mean / 3,
        "rate": chance.uniform(0.4, 2.4, count),
    }


def visited(places: NDArray[np.float64], terminals: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of each customer and terminal, ``(customer, terminal)``, whether the one pays at the other."""
    distance = np.linalg.norm(places[:, None] - terminals[None], axis=2)
    return (distance <= REACH) | (distance == distance.min(1, keepdims=True))


def transactions(days: int, count: int, terminals: int, seed: int) -> Columns:
    """Make up transactions, sorted by time.

    Args:
        count: how many customers there are.
        terminals: how many terminals there are.
        seed: the same seed makes up the same.

    Returns:
        seconds since START, customer, terminal, amount, and the way of each transaction.
    """
    chance = np.random.default_rng(seed)
    people = customers(count, chance)
    near = visited(people["place"], chance.uniform(0, 100, (terminals, 2)))
    times_a_day = chance.poisson(people["rate"][:, None], (count, days))
    customer = np.repeat(np.arange(count), times_a_day.sum(1))
    day = np.concatenate([np.repeat(np.arange(days), counts) for counts in times_a_day])
    seconds = day * 86_400 + (chance.normal(14, 4.5, len(day)) * 3600 % 86_400).astype(np.int64)
    first, number = np.cumsum(near.sum(1)) - near.sum(1), near.sum(1)
    terminal = np.nonzero(near)[1][first[customer] + (chance.random(len(day)) * number[customer]).astype(np.int64)]
    amount = np.abs(chance.normal(people["mean"][customer], people["spread"][customer]))
    way = _frauds(day, customer, terminal, amount, days, chance)
    order = np.argsort(seconds, kind="stable")
    made = {"seconds": seconds, "customer": customer, "terminal": terminal, "amount": amount, "way": way}
    made["amount"] = np.maximum(amount.round(2), 0.01)
    return {name: values[order] for name, values in made.items()}


def _frauds(
    day: NDArray[np.int64],
    customer: NDArray[np.int64],
    terminal: NDArray[np.int64],
    amount: NDArray[np.float64],
    days: int,
    chance: np.random.Generator,
) -> NDArray[np.int64]:
    """Make some transactions frauds, changing their amounts, and give the way of each.

    Now and then somebody gets into a terminal, and all that is paid there for a while is fraud; the amounts are as ever. Now
    and then a card is stolen, and for a while every second payment with it is a thief's, of five times the amount. And some
    transactions are far too large for anybody.
    """
    way = np.full(len(day), GENUINE)
    for start, victim in enumerate(chance.permutation(terminal.max() + 1)[: -(-days // COMPROMISED_EVERY)]):
        since = day - start * COMPROMISED_EVERY
        way[(terminal == victim) & (since >= 0) & (since < COMPROMISED_DAYS)] = COMPROMISED
    for start, victim in enumerate(chance.permutation(customer.max() + 1)[: -(-days // STOLEN_EVERY)]):
        since = day - start * STOLEN_EVERY
        taken = (customer == victim) & (since >= 0) & (since < STOLEN_DAYS) & (chance.random(len(day)) < STOLEN_SHARE)
        way[taken & (way == GENUINE)] = STOLEN
    amount[way == STOLEN] *= STOLEN_FACTOR
    large = (chance.random(len(day)) < LARGE_SHARE) & (way == GENUINE)
    way[large] = LARGE
    amount[large] = chance.uniform(*LARGE_AMOUNTS, large.sum())
    return way


def save(folder: str | Path, days: int = 70, count: int = 200, terminals: int = 300, seed: int = 0) -> Path:
    """Write FOLDER/train.csv, and what the last days are judged by: FOLDER/test/history.csv and FOLDER/test/transactions.csv.

    Raises:
        ValueError: for too few days.
    """
    if days <= TEST + DELAY:
        raise ValueError(f"{days} days leave none to learn from: the last {TEST + DELAY} are held out")
    made = transactions(days, count, terminals, seed)
    day = made["seconds"] // 86_400
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
                moment = START + timedelta(seconds=int(made["seconds"][row]))
                who, where = f"C{made['customer'][row]:03}", f"T{made['terminal'][row]:03}"
                table.writerow([moment, who, where, f"{made['amount'][row]:.2f}", int(made["way"][row] != GENUINE)])
    return Path(folder)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="gets train.csv and test/")
    arguments.add_argument("--days", type=int, default=70)
    arguments.add_argument("--customers", type=int, default=200)
    arguments.add_argument("--terminals", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    save(given.folder, given.days, given.customers, given.terminals, given.seed)
