"""Tables that are well-formed and mean something else: what a user reads at the start of a fit, and what is refused."""

import csv
import json
import random
from pathlib import Path

import pytest
from commands import typed
from refusals import refused

RECIPE = """
backbone = {name = "mlp-plr", feature_size = 8, blocks = 1}
head = "classification"
strategy = "full"

[data]
train = "loans.csv"
split = "fraction:0.2"
target = "repaid"

[training]
epochs = 1
"""

LIST = "To use {} all the same, list all inputs in data.inputs."


def loans(count=400, **columns):
    """Loans by column; ``columns`` are made of a row's number and label, and come before the others."""
    chance = random.Random(0)
    repaid = [chance.choice(["yes", "no"]) for _ in range(count)]
    added = {name: [make(row, label) for row, label in enumerate(repaid)] for name, make in columns.items()}
    amounts = [f"{chance.lognormvariate(5, 1):.2f}" for _ in range(count)]
    return {**added, "amount": amounts, "city": chance.choices(["Bonn", "Jena"], k=count), "repaid": repaid}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loans.toml").write_text(RECIPE)
    return tmp_path


def write(columns, path="loans.csv"):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def warnings(*overrides):
    """Fit, and return the warnings of the report, each of which is printed too."""
    words = [word for text in overrides for word in ("--set", text)]
    done = typed("fit", "loans.toml", "--json", "--overwrite", *words)
    assert done.code == 0, done.err
    found = json.loads(done.out)["warnings"]
    assert all(f"{line}\n" in done.err for line in found)
    return found


def inputs():
    manifest = json.loads(Path("loans/taskgraft.json").read_text())
    return list(manifest["recipe"]["data"]["inputs"])


def test_a_table_without_surprises(folder):
    write(loans())
    assert warnings() == []
    assert inputs() == ["amount", "city"]


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("", "the column without a name"),
        ("Unnamed: 0", "'Unnamed: 0'"),
        ("__index_level_0__", "'__index_level_0__'"),
        ("index", "'index'"),
    ],
)
def test_a_saved_index_is_left_out_and_not_needed_to_predict(folder, name, called):
    write(loans(**{name: lambda row, label: row}))
    said = f"Not used as input, since pandas saves the index of a table like this: {called}. {LIST.format('it')}"
    assert warnings() == [said]
    assert inputs() == ["amount", "city"]
    write({key: values for key, values in loans().items() if key != "repaid"}, "new.csv")
    assert typed("predict", "loans", "new.csv", "-o", "out.csv", "-q").code == 0


def test_two_saved_indices(folder):
    write(loans(**{"Unnamed: 0.1": lambda row, label: row, "Unnamed: 0": lambda row, label: 400 - row}))
    said = "Not used as input, since pandas saves the index of a table like this: 'Unnamed: 0.1', 'Unnamed: 0'. "
    assert warnings() == [said + LIST.format("them")]


def test_an_index_that_the_user_lists_is_used(folder):
    write(loans(**{"Unnamed: 0": lambda row, label: row}))
    assert warnings('data.inputs=["Unnamed: 0", "amount"]') == [
        "'Unnamed: 0' has a different value in every training row, as an identifier has. "
        'Leave it out with data.exclude = ["Unnamed: 0"].'
    ]
    assert inputs() == ["Unnamed: 0", "amount"]


def test_a_quiet_fit_has_the_warnings_in_json(folder):
    write(loans(fee=lambda row, label: "14.62"))
    done = typed("fit", "loans.toml", "--json", "-q")
    assert done.err == ""
    assert json.loads(done.out)["warnings"] == [
        "'fee' has the same value in all training rows. Leave it out with data.exclude = [\"fee\"]."
    ]


@pytest.mark.parametrize(
    "make", [lambda row, label: row + 1, lambda row, label: 7 * row % 401, lambda row, label: 90_000 + row]
)
def test_an_identifier(folder, make):
    write(loans(loan=make))
    assert warnings() == [
        "'loan' has a different value in every training row, as an identifier has. "
        'Leave it out with data.exclude = ["loan"].'
    ]
    assert warnings('data.exclude=["loan"]') == []
    assert inputs() == ["amount", "city"]


def test_identifiers_of_different_kinds_are_reported_together(folder):
    columns = {"loan": lambda row, label: row, "customer_id": lambda row, label: 10_007 * row % 1_000_003}
    write(loans(**columns))
    assert warnings() == [
        "'loan', 'customer_id' have a different value in every training row, as an identifier has. "
        'Leave them out with data.exclude = ["loan", "customer_id"].'
    ]


def test_a_column_under_two_names(folder):
    write(loans(a=lambda row, label: row % 7, b=lambda row, label: row % 7))
    assert warnings() == [
        "'b' has the same values as 'a' in all training rows. Leave it out with data.exclude = [\"b\"]."
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda row, label: "1" if label == "yes" else "0",
        lambda row, label: {"yes": "closed", "no": "collected"}[label],
        lambda row, label: "" if label == "no" else f"2026-0{1 + row % 9}-11",
        lambda row, label: f"{(label == 'yes') * 9 + row % 5:.1f}",
    ],
    ids=["copy", "other names", "empty for one class", "score"],
)
def test_a_possible_leak(folder, make):
    write(loans(closed=make))
    assert warnings() == [
        "'closed' alone predicts 'repaid' almost perfectly (AUROC 1.0000 on 320 rows), which may be a leak. "
        'If it is not known when the model predicts, leave it out with data.exclude = ["closed"].'
    ]
    assert warnings("data.exclude=closed") == []


# --- refused


def test_an_excluded_column_that_does_not_exist(folder):
    write(loans())
    assert refused("fit", "loans.toml", "-q", "--set", 'data.exclude=["amont"]') == (
        "data.exclude names 'amont', which loans.csv does not have. Did you mean 'amount'? Columns: amount, city, repaid."
    )


def test_an_excluded_target(folder):
    write(loans())
    assert refused("fit", "loans.toml", "-q", "--set", "data.exclude=repaid") == (
        "data.exclude names 'repaid', which is the target. Take it out of data.exclude."
    )


def test_an_excluded_input(folder):
    write(loans())
    message = refused(
        "fit", "loans.toml", "-q", "--set", "data.exclude=city", "--set", 'data.inputs=["amount", "city"]'
    )
    assert message == "'city' is in data.inputs and in data.exclude. Take it out of one of them."


def test_all_columns_excluded(folder):
    write(loans())
    assert refused("fit", "loans.toml", "-q", "--set", 'data.exclude=["amount", "city"]') == (
        "loans.csv has no input column besides the target, excluded columns and a saved index. "
        "Columns: 'amount', 'city', 'repaid'. List those to read in data.inputs."
    )


def test_an_index_and_a_target_alone(folder):
    columns = loans(**{"Unnamed: 0": lambda row, label: row})
    write({name: columns[name] for name in ("Unnamed: 0", "repaid")})
    assert refused("fit", "loans.toml", "-q") == (
        "loans.csv has no input column besides the target, excluded columns and a saved index. "
        "Columns: 'Unnamed: 0', 'repaid'. List those to read in data.inputs."
    )


def test_a_number_as_an_excluded_column(folder):
    write(loans())
    assert refused("fit", "loans.toml", "-q", "--set", "data.exclude=[1]") == (
        "loans.toml (with data.exclude=[1]): the setting 'data.exclude.0' is 1: input should be a valid string."
    )


def test_a_misspelt_exclude(folder):
    write(loans())
    message = refused("fit", "loans.toml", "-q", "--set", "data.excludes=city")
    said = "'data.excludes=city' cannot be set: a recipe has no 'data.excludes'. Did you mean 'data.exclude'? Keys: "
    assert message.startswith(said)
