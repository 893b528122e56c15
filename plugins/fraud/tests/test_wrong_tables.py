"""What a person reads who makes a mistake with tables: the whole text, the exit code, and that nothing is left behind."""

import csv
import random
import shutil

import pytest
from commands import typed
from refusals import SKIP, refused

RECIPE = """
strategy = "full"

[backbone]
name = "mlp-plr"
feature_size = 8
blocks = 1

[head]
name = "fraud"
review = 2.0
amount = "amount"

[data]
train = "payments.csv"
inputs = ["amount", "shop", "when", "visits"]
target = "fraud"
split = "fraction:0.3"

[training]
epochs = 1
"""

HEADER = ["amount", "shop", "when", "visits", "customer", "fraud"]
_CHANCE = random.Random(0)
ROWS = [
    [
        f"{_CHANCE.random() * 90:.2f}",
        _CHANCE.choice(["food", "books"]),
        f"2024-03-{1 + row // 10:02}T{_CHANCE.randrange(24):02}:15:00",
        _CHANCE.randrange(5),
        f"c{row % 9}",
        int(row % 5 == 0),
    ]
    for row in range(60)
]
PLAIN = 'data.inputs=["amount","visits"]'
BY_TIME = 'data.split={name="time", column="when", %s}'
READER = 'data.reader={name="transactions", time="when", amount="amount", %s}'
TRANSFORMER = 'backbone={name="ft-transformer", feature_size=8%s}'


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A right recipe and right rows, and a model that was fitted with them: made once."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "fraud.toml").write_text(RECIPE)
    write(folder / "payments.csv")
    done = typed("fit", folder / "fraud.toml", "-o", folder / "run", "--quiet")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def place(shelf, tmp_path, monkeypatch):
    """The working directory, with a right recipe, right rows and a fitted model."""
    monkeypatch.chdir(shutil.copytree(shelf, tmp_path / "work"))
    return tmp_path / "work"


def write(path, rows=ROWS, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def changed(column, values):
    """The rows with some cells of a column changed: row → value; or all of them to one value."""
    at = HEADER.index(column)
    return [
        [*row[:at], values.get(number, row[at]) if isinstance(values, dict) else values, *row[at + 1 :]]
        for number, row in enumerate(ROWS)
    ]


def refused_fit(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    return refused("fit", "fraud.toml", "-o", "other", "--quiet", *words)


# --- cells


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("amount", "12,5", "the column 'amount' is '12,5', which is no number"),
        ("amount", "inf", "the column 'amount' is 'inf', which is no number"),
        ("amount", "NaN", "the column 'amount' is 'NaN', which is no number"),
        ("when", "2024-02-30", "the column 'when' is '2024-02-30', which is no time like 2018-07-25 13:05:00"),
        ("when", "yesterday", "the column 'when' is 'yesterday', which is no time like 2018-07-25 13:05:00"),
        ("fraud", "", "the target column 'fraud' is empty"),
    ],
)
def test_a_cell_that_cannot_be_read(place, column, value, said):
    write(place / "payments.csv", changed(column, {3: value}))
    assert refused_fit() == f"payments.csv, line 5: {said}.\n{SKIP}"


def test_cells_that_cannot_be_read_are_told_together(place):
    write(place / "payments.csv", changed("visits", {3: "many", 7: "many"}))
    assert refused_fit("data.split=null", "head=classification") == (
        "payments.csv, line 5: the column 'visits' is 'many', which is no number. 2 of 60 rows are like this (lines 5, 9).\n"
        f"{SKIP}"
    )


# --- columns


def test_a_column_that_is_empty_throughout(place):
    write(place / "payments.csv", changed("visits", ""))
    assert refused_fit() == (
        "The column 'visits' cannot be read: it is empty in every training row. Leave it out of data.inputs."
    )


def test_a_column_whose_values_never_repeat(place):
    rows = [[f"payment {number}", *row[1:]] for number, row in enumerate(ROWS * 5)]
    write(place / "payments.csv", rows)
    assert refused_fit() == (
        "The column 'amount' cannot be read: it has 210 different values in 210 rows, so few of them will occur again. "
        'Leave it out of data.inputs, or say that it is a category all the same: columns = {amount = "category"}.'
    )


def test_a_column_that_is_said_to_hold_numbers_and_does_not(place):
    assert refused_fit("backbone.columns.shop=number") == (
        "The column 'shop' cannot be read: none of its values is a number. Leave it out of data.inputs."
    )


def test_a_column_that_is_not_there(place):
    write(place / "payments.csv", [row[1:] for row in ROWS], HEADER[1:])
    assert refused_fit() == "payments.csv has no column 'amount'. Columns: shop, when, visits, customer, fraud."


def test_a_target_that_is_named_as_an_input(place):
    assert refused_fit('data.inputs=["amount","fraud"]') == (
        "The backbone reads the columns of a table, but the column 'fraud' is to be predicted, so it cannot be read as well. "
        "Say which columns to read with inputs=…."
    )


def test_a_kind_of_column_for_one_that_is_not_read(place):
    assert refused_fit("backbone.columns.shpo=category") == (
        "The setting 'columns' names 'shpo', which is not read. The columns that are read: amount, shop, when, visits."
    )


# --- settings


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "backbone.columns.shop=text",
            "backbone 'mlp-plr': the setting 'columns.shop' is 'text': input should be 'number', 'category' or 'time'.",
        ),
        (
            "backbone.scaling=log",
            "backbone 'mlp-plr': the setting 'scaling' is 'log': input should be 'standard', 'quantile' or 'none'.",
        ),
        (
            'backbone={name="ft-transformer", feature_size=30}',
            "backbone 'ft-transformer': feature_size is 30, which 8 attention_heads do not divide.",
        ),
        ("backbone=mlp-plr:64", "backbone 'mlp-plr': it takes no argument after the colon, but was given '64'."),
        (
            "head.amount=null",
            "head 'fraud': review is the price of an alert; say too what a missed fraud costs: amount, a column, or loss, a "
            "number.",
        ),
        (
            "head.threshold=0.4",
            "head 'fraud': review and threshold each choose the threshold; keep one of review, alerts_per_day, threshold.",
        ),
    ],
)
def test_settings_that_are_none(place, override, said):
    assert refused_fit(override) == said


# --- the head


def test_a_column_of_costs_that_is_not_there(place):
    assert refused_fit("head.amount=amuont") == (
        "payments.csv (validation) has no column 'amuont'. Did you mean 'amount'? Columns: amount, shop, when, visits, "
        "customer, fraud."
    )


def test_no_rows_to_choose_a_threshold_by(place):
    assert refused_fit("data.split=null") == (
        "'fraud' chooses a temperature and a threshold by validation rows after training, but there are none. "
        "Give data.validation or data.split."
    )


def test_three_labels(place):
    write(place / "payments.csv", changed("fraud", {2: "maybe", 12: "maybe", 22: "maybe"}))
    assert refused_fit() == (
        "'fraud' tells two labels apart, but the target column 'fraud' has 3: '0', '1', 'maybe'. "
        "Choose the head 'classification', or merge labels."
    )


def test_a_label_to_find_that_does_not_occur(place):
    assert refused_fit("head.positive=yes") == (
        "'fraud' is to find the label 'yes' (positive), but the target column 'fraud' has '0', '1'. Name one of these."
    )


def test_a_head_that_reads_a_sequence_on_a_backbone_that_emits_a_vector(place):
    assert refused_fit("head=element-classification") == (
        "'element-classification' reads sequence features, but 'mlp-plr' emits vector.\n"
        "Choose a head that reads that (classification, fraud, multi-label, regression), or a backbone that emits sequence."
    )


def test_pretraining_on_a_backbone_without_signs_for_what_is_missing(place):
    """The end lists the heads that are installed."""
    said = refused_fit("head=masked-elements", TRANSFORMER % "", "data.target=[]")
    assert said.partition(" (classification, ")[0] == (
        "'masked-elements' recovers elements that are hidden from the backbone, but 'ft-transformer' cannot hide any.\n"
        "Choose a backbone that hides elements (some do by a setting: taskgraft show NAME), or a head that learns from a "
        "target column"
    )
    assert "fraud" in said.partition(" (classification, ")[2]


def test_pretraining_with_a_target(place):
    assert refused_fit("head=masked-elements", TRANSFORMER % ", hides=true") == (
        "'masked-elements' recovers what the backbone reads, so there is no target column, but the target is named as 'fraud'. "
        "Leave the target out; to keep a column from being read, name the inputs."
    )


# --- splits


def test_a_split_by_a_time_that_is_not_there(place):
    assert refused_fit('data.split={name="time", column="wen", validation=2}') == (
        "payments.csv has no column 'wen'. Did you mean 'when'? Columns: amount, shop, when, visits, customer, fraud."
    )


def test_a_split_that_leaves_nothing_to_learn_from(place):
    assert refused_fit(BY_TIME % "validation=20") == (
        "The split 'time:when' (from taskgraft-fraud 0.1.0) leaves no row for 'train' (train 0, validation 60, delay 0, "
        "known 0). Choose another split, or other settings of it."
    )


def test_a_split_that_is_not_said(place):
    assert refused_fit('data.split={name="time", column="when"}') == (
        "split 'time': give either 'validation', how many days are held out, or 'part', a column that says it already."
    )


def parted(place, parts, rows=ROWS):
    write(place / "payments.csv", [[*row, part] for row, part in zip(rows, parts, strict=True)], [*HEADER, "part"])


def test_a_customer_on_both_sides(place):
    parted(place, ["train"] * 45 + ["validation"] * 15)
    assert refused_fit('data.split={name="customer", column="customer", part="part"}', PLAIN) == (
        "payments.csv, line 2 (learned from) and line 47 (judged by): both are of the customer 'c0'. 15 of 60 rows are like "
        "this (lines 47, 48, 49, 50, 51 and 10 more). Put all rows of a customer on one side."
    )


def test_a_row_from_the_future_in_training(place):
    parted(place, ["validation"] * 15 + ["train"] * 45)
    assert refused_fit(BY_TIME % 'part="part"', PLAIN) == (
        "payments.csv, line 17 (learned from) and line 2 (judged by): the one is of 2024-03-02, but judging begins on "
        "2024-03-01, so the last day to learn from is 2024-02-29. 45 of 60 rows are like this (lines 17, 18, 19, 20, 21 and 40 "
        "more). Leave such rows out of what is learned from."
    )


def test_a_row_on_both_sides(place):
    parted(place, ["train"] * 45 + ["validation"] * 15, [*ROWS[:-1], ROWS[0]])
    assert refused_fit(BY_TIME % 'part="part"', PLAIN) == (
        "payments.csv, line 2 (learned from) and line 61 (judged by): both are the same row. Keep one of the two."
    )


# --- history


def test_windows_of_labels_without_their_delay(place):
    assert refused_fit(READER % 'terminal="shop", label="fraud"') == (
        "reader 'transactions': the windows of 'shop' need 'delay'."
    )


def test_a_customer_column_that_is_not_there(place):
    assert refused_fit(READER % 'customer="costumer"') == (
        "payments.csv has no column 'costumer'. Did you mean 'customer'? Columns: amount, shop, when, visits, customer, fraud."
    )


def test_a_transaction_without_customer(place):
    write(place / "payments.csv", changed("customer", {3: ""}))
    assert refused_fit(READER % 'customer="customer"') == (
        f"payments.csv, line 5: the column 'customer' is empty.\n{SKIP}"
    )


# --- a fitted model


def test_rows_to_predict_without_a_column_of_training(place):
    write(place / "new.csv", [[row[0], *row[2:4]] for row in ROWS], ["amount", "when", "visits"])
    assert refused("predict", "run", "new.csv") == "new.csv has no column 'shop'. Columns: amount, when, visits."


def test_a_row_to_predict_that_cannot_be_read(place):
    write(place / "new.csv", changed("amount", {3: "twelve"}))
    assert refused("predict", "run", "new.csv") == (
        "new.csv, line 5: the column 'amount' is 'twelve', which is no number.\nFix these rows, or take them out of the data."
    )


def test_categories_that_are_new_and_cells_that_are_missing_are_told_and_predicted_for(place):
    write(place / "new.csv", [["", "zoo", *row[2:], "more"] for row in ROWS[:4]], [*HEADER, "unread"])
    done = typed("predict", "run", "new.csv")
    assert (done.code, len(done.out.splitlines())) == (0, 5)
    assert done.err.splitlines() == [
        "'amount' is missing, as in no training row, so its mean is taken: 4 of 4 rows",
        "'shop' is no category that training rows often have: 4 of 4 rows",
    ]


def test_features_of_a_backbone_that_has_seen_no_table(place):
    assert refused("features", "ft-transformer", "payments.csv", "-o", "out.npy") == (
        "'ft-transformer' learns from the training rows of a fit how to read rows, so it has no features before one. "
        "Fit a model with it, save that, and name the artifact as the backbone."
    )


def test_a_baseline_that_nobody_provides(place):
    """The end lists the baselines that are installed."""
    said = refused("evaluate", "run", "payments.csv", "--baseline", "logistic", "--quiet").splitlines()
    assert said[0] == "No baseline named 'logistic'."
    assert said[1].startswith("Installed: gradient-boosting, logistic-regression, majority, mean, ")


def test_figures_where_a_file_is(place):
    assert refused("evaluate", "run", "payments.csv", "--figures", "fraud.toml", "--resamples", "0", "--quiet") == (
        "The figures cannot be written to fraud.toml: File exists."
    )
