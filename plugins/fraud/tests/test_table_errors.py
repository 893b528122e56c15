"""Errors of users with tables, on the command line: the whole message, the exit code, and that no file is left behind."""

import csv
import io
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
NUMBERS_ONLY = 'data.inputs=["amount","visits"]'
BY_TIME = 'data.split={name="time", column="when", %s}'
READER = 'data.reader={name="transactions", time="when", amount="amount", %s}'
AS_FORMAT, AS_EMPTY = "; in another format, write %s", '; if it stands for an empty cell, write data.missing = ["%s"]'
AS_DATE = AS_FORMAT % 'data.dates = "day-first" or data.dates = "month-first"'
TRANSFORMER = 'backbone={name="ft-transformer", feature_size=8%s}'


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A valid recipe, valid rows and a model fitted on them, made once."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "fraud.toml").write_text(RECIPE)
    write(folder / "payments.csv")
    done = typed("fit", folder / "fraud.toml", "-o", folder / "run", "--quiet")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def workdir(template, tmp_path, monkeypatch):
    """The working directory: a copy of the template."""
    monkeypatch.chdir(shutil.copytree(template, tmp_path / "work"))
    return tmp_path / "work"


def write(path, rows=ROWS, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def with_cells(column, values):
    """The rows with some cells of a column replaced (row → value), or all of them by one value."""
    index = HEADER.index(column)
    return [
        [*row[:index], values.get(number, row[index]) if isinstance(values, dict) else values, *row[index + 1 :]]
        for number, row in enumerate(ROWS)
    ]


def refused_fit(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    return refused("fit", "fraud.toml", "-o", "other", "--quiet", *words)


# --- cells


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("amount", "12,5", "the column 'amount' is '12,5', which is not a number" + AS_FORMAT % 'data.decimal = ","'),
        ("amount", "inf", "the column 'amount' is 'inf', which is not a number"),
        ("amount", "NaN", "the column 'amount' is 'NaN', which is not a number" + AS_EMPTY % "NaN"),
        (
            "when",
            "03/04/2024",
            "the column 'when' is '03/04/2024', which is not a time such as 2018-07-25 13:05:00" + AS_DATE,
        ),
        ("when", "2024-02-30", "the column 'when' is '2024-02-30', which is not a time such as 2018-07-25 13:05:00"),
        ("when", "yesterday", "the column 'when' is 'yesterday', which is not a time such as 2018-07-25 13:05:00"),
        ("fraud", "", "the target column 'fraud' is empty"),
    ],
)
def test_an_invalid_cell(workdir, column, value, reason):
    write(workdir / "payments.csv", with_cells(column, {3: value}))
    assert refused_fit() == f"payments.csv, line 5: {reason}.\n{SKIP}"


def test_invalid_cells_are_reported_together(workdir):
    write(workdir / "payments.csv", with_cells("visits", {3: "many", 7: "many"}))
    assert refused_fit("data.split=null", "head=classification") == (
        "payments.csv, line 5: the column 'visits' is 'many', which is not a number. 2 of 60 rows are like this (lines 5, 9).\n"
        f"{SKIP}"
    )


# --- columns


def test_an_empty_column(workdir):
    write(workdir / "payments.csv", with_cells("visits", ""))
    assert refused_fit() == (
        "The column 'visits' cannot be used: it is empty in every training row. Leave it out of data.inputs."
    )


def test_a_column_whose_values_never_repeat(workdir):
    rows = [[f"payment {number}", *row[1:]] for number, row in enumerate(ROWS * 5)]
    write(workdir / "payments.csv", rows)
    assert refused_fit() == (
        "The column 'amount' cannot be used: it has 210 distinct values in 210 rows, so few of them will occur again. "
        'Leave it out of data.inputs, or declare it a category: columns = {amount = "category"}.'
    )


def test_a_column_that_is_declared_as_numbers_and_has_none(workdir):
    assert refused_fit("backbone.columns.shop=number") == (
        "The column 'shop' cannot be used: none of its values is a number. Leave it out of data.inputs."
    )


def test_a_missing_column(workdir):
    write(workdir / "payments.csv", [row[1:] for row in ROWS], HEADER[1:])
    assert refused_fit() == "payments.csv has no column 'amount'. Columns: shop, when, visits, customer, fraud."


def test_a_target_that_is_also_an_input(workdir):
    assert refused_fit('data.inputs=["amount","fraud"]') == (
        "The backbone reads the columns of a table, but the column 'fraud' is the target, so it cannot be an input as well. "
        "Name the columns to read with inputs=…."
    )


def test_the_kind_of_an_unknown_column(workdir):
    assert refused_fit("backbone.columns.shpo=category") == (
        "The setting 'columns' names 'shpo', but the input columns are amount, shop, when, visits."
    )


# --- settings


@pytest.mark.parametrize(
    ("override", "message"),
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
            "backbone 'ft-transformer': feature_size 30 is not a multiple of 8 attention_heads.",
        ),
        ("backbone=mlp-plr:64", "backbone 'mlp-plr': it takes no argument after the colon, but was given '64'."),
        (
            "head.amount=null",
            "head 'fraud': review is the cost of an alert; also set the cost of a missed fraud: amount, a column, or loss, a "
            "number.",
        ),
        (
            "head.threshold=0.4",
            "head 'fraud': review and threshold each choose the threshold; keep one of review, alerts_per_day, threshold.",
        ),
    ],
)
def test_invalid_settings(workdir, override, message):
    assert refused_fit(override) == message


# --- the head


def test_a_missing_column_of_costs(workdir):
    assert refused_fit("head.amount=amuont") == (
        "payments.csv (validation) has no column 'amuont'. Did you mean 'amount'? Columns: amount, shop, when, visits, "
        "customer, fraud."
    )


def test_no_rows_to_tune_a_threshold_on(workdir):
    assert refused_fit("data.split=null") == (
        "'fraud' tunes a temperature and a threshold on validation rows after training, but there are no validation rows. "
        "Give data.validation or data.split."
    )


def test_three_labels(workdir):
    write(workdir / "payments.csv", with_cells("fraud", {2: "maybe", 12: "maybe", 22: "maybe"}))
    assert refused_fit() == (
        "'fraud' predicts two labels, but the target column 'fraud' has 3: '0', '1', 'maybe'. "
        "Choose the head 'classification', or merge labels."
    )


def test_a_positive_label_that_does_not_occur(workdir):
    assert refused_fit("head.positive=yes") == (
        "The label to detect (positive) is 'yes', but the target column 'fraud' has '0', '1'. Name one of these."
    )


def test_a_head_that_reads_a_sequence_on_a_backbone_that_emits_a_vector(workdir):
    assert refused_fit("head=element-classification") == (
        "'element-classification' reads sequence features, but 'mlp-plr' emits vector.\n"
        "Choose a head that reads that (classification, fraud, multi-label, regression), or a backbone that emits sequence."
    )


def test_pretraining_on_a_backbone_without_missing_indicators(workdir):
    """The message ends with the installed heads."""
    message = refused_fit("head=masked-elements", TRANSFORMER % "", "data.target=[]")
    assert message.partition(" (classification, ")[0] == (
        "'masked-elements' predicts masked elements, but 'ft-transformer' does not support masking.\n"
        "Choose a backbone that does (some have a setting for it: taskgraft show NAME), or a head that is trained on a "
        "target column"
    )
    assert "fraud" in message.partition(" (classification, ")[2]


def test_pretraining_with_a_target(workdir):
    assert refused_fit("head=masked-elements", TRANSFORMER % ", hides=true") == (
        "'masked-elements' predicts masked elements of the inputs, so it has no target column, but the target is "
        "'fraud'. Leave the target out; to exclude a column, name the inputs."
    )


# --- splits


def test_a_split_by_a_missing_column(workdir):
    assert refused_fit('data.split={name="time", column="wen", validation=2}') == (
        "payments.csv has no column 'wen'. Did you mean 'when'? Columns: amount, shop, when, visits, customer, fraud."
    )


def test_a_split_that_leaves_no_training_rows(workdir):
    assert refused_fit(BY_TIME % "validation=20") == (
        "The split 'time:when' (from taskgraft-fraud 0.1.0) leaves no row for 'train' (train 0, validation 60, delay 0, "
        "known 0). Choose another split, or change its settings."
    )


def test_a_split_without_a_size(workdir):
    assert refused_fit('data.split={name="time", column="when"}') == (
        "split 'time': set either 'validation', the number of days to hold out, or 'part', a column that names the part."
    )


def write_with_parts(workdir, parts, rows=ROWS):
    write(workdir / "payments.csv", [[*row, part] for row, part in zip(rows, parts, strict=True)], [*HEADER, "part"])


def test_a_customer_in_both_parts(workdir):
    write_with_parts(workdir, ["train"] * 45 + ["validation"] * 15)
    assert refused_fit('data.split={name="customer", column="customer", part="part"}', NUMBERS_ONLY) == (
        "payments.csv, line 2 (train) and line 47 (validation): both belong to customer 'c0'. 15 of 60 rows are like "
        "this (lines 47, 48, 49, 50, 51 and 10 more). Put all rows of a customer in one part."
    )


def test_a_training_row_from_the_future(workdir):
    write_with_parts(workdir, ["validation"] * 15 + ["train"] * 45)
    assert refused_fit(BY_TIME % 'part="part"', NUMBERS_ONLY) == (
        "payments.csv, line 17 (train) and line 2 (validation): the first is from 2024-03-02, but validation starts on "
        "2024-03-01, so the last training day is 2024-02-29. 45 of 60 rows are like this (lines 17, 18, 19, 20, 21 and 40 "
        "more). Remove such rows from training."
    )


def test_a_row_in_both_parts(workdir):
    write_with_parts(workdir, ["train"] * 45 + ["validation"] * 15, [*ROWS[:-1], ROWS[0]])
    assert refused_fit(BY_TIME % 'part="part"', NUMBERS_ONLY) == (
        "payments.csv, line 2 (train) and line 61 (validation): both are the same row. Keep only one of them."
    )


# --- windows


def test_windows_of_labels_without_their_delay(workdir):
    assert refused_fit(READER % 'terminal="shop", label="fraud"') == (
        "reader 'transactions': the windows of 'shop' require 'delay'."
    )


def test_a_missing_customer_column(workdir):
    assert refused_fit(READER % 'customer="costumer"') == (
        "payments.csv has no column 'costumer'. Did you mean 'customer'? Columns: amount, shop, when, visits, customer, fraud."
    )


def test_a_transaction_without_customer(workdir):
    write(workdir / "payments.csv", with_cells("customer", {3: ""}))
    assert refused_fit(READER % 'customer="customer"') == (
        f"payments.csv, line 5: the column 'customer' is empty.\n{SKIP}"
    )


# --- a fitted model


def test_rows_to_predict_without_a_column_of_training(workdir):
    write(workdir / "new.csv", [[row[0], *row[2:4]] for row in ROWS], ["amount", "when", "visits"])
    assert refused("predict", "run", "new.csv") == "new.csv has no column 'shop'. Columns: amount, when, visits."


def test_an_invalid_row_to_predict(workdir):
    write(workdir / "new.csv", with_cells("amount", {3: "twelve"}))
    assert refused("predict", "run", "new.csv") == (
        "new.csv, line 5: the column 'amount' is 'twelve', which is not a number.\n"
        'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
        "leaves them out."
    )


def test_rows_with_new_categories_and_missing_cells_are_predicted_with_a_note(workdir):
    write(workdir / "new.csv", [["", "zoo", *row[2:], "more"] for row in ROWS[:4]], [*HEADER, "unread"])
    done = typed("predict", "run", "new.csv")
    assert (done.code, len(done.out.splitlines())) == (0, 5)
    assert done.err.splitlines() == [
        "'amount' is missing, but never in training, so its mean is used: 4 of 4 rows",
        "'shop' has an unknown or rare category: 4 of 4 rows",
    ]


def test_features_of_a_backbone_that_is_not_fitted(workdir):
    assert refused("features", "ft-transformer", "payments.csv", "-o", "out.npy") == (
        "'ft-transformer' fits its preprocessing to the training rows, so it has no features before a fit. "
        "Fit and save a model with it, then name the artifact as the backbone."
    )


def test_an_unknown_baseline(workdir):
    """The message ends with the installed baselines."""
    lines = refused("evaluate", "run", "payments.csv", "--baseline", "logistic", "--quiet").splitlines()
    assert lines[0] == "No baseline named 'logistic'."
    assert lines[1].startswith("Installed: gradient-boosting, logistic-regression, majority, mean, ")


def test_a_folder_for_figures_that_is_a_file(workdir):
    assert refused("evaluate", "run", "payments.csv", "--figures", "fraud.toml", "--resamples", "0", "--quiet") == (
        "The figures cannot be written to fraud.toml: File exists."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a card",), "a card: there is no such file."),
        (("--text", "a card"), "The model does not read single texts. Pass the path of a file, a DataFrame, an Arrow table, a "
         "Dataset, a dict or a list of dicts."),
        (("new.csv", "newer.csv"), "newer.csv: there is no such file."),
        (("*.csv",), "2 files were given: new.csv, payments.csv. Predict for one file of rows at a time, or join them."),
        (("new.csv", "--reader", "lines"), "new.csv has no column 'amount'. Columns: text."),
    ],
)  # fmt: skip
def test_what_a_table_model_cannot_predict_for(workdir, arguments, message):
    write(workdir / "new.csv", ROWS, HEADER)
    assert refused("predict", "run", *arguments, "-q") == message


def test_standard_input_without_a_header(workdir, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"12.5,3\n7.5,2\n")))
    message = refused("predict", "run", "-", "-q")
    assert message == "standard input has no column 'amount'. Columns: 12.5, 3."
