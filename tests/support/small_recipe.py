"""A recipe over a small backbone, and rows for it."""

import csv

from small_tasks import sentences

RECIPE = """
backbone = "small-words"
head = "classification"
strategy = {name = "linear-probe", penalty = 1e-3}

[data]
train = "train.csv"
validation = "valid.csv"
inputs = "text"
target = "label"
"""


def write_rows(path, count, seed):
    rows = sentences(count, seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows((f"{number:03}", *row) for number, row in enumerate(zip(*rows.values(), strict=True)))
