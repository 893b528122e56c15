import csv
import json
import re
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from pyarrow import parquet

from taskgraft import catalog
from taskgraft.plugin import (
    ConfigError,
    InvalidRows,
    ReaderSpec,
    Rows,
    TaskgraftError,
    UnreadableFile,
    parse_config,
    read_file,
)
from taskgraft.testing import ReaderLaws
from taskgraft_fraud.transactions_reader import add_window_columns, read_transaction_columns, read_transactions
from taskgraft_fraud.transactions_settings import TransactionsConfig

COLUMNS = {"time": "when", "customer": "who", "terminal": "shop", "amount": "amount", "label": "fraud", "delay": 7}
ADDED = ["who_count_7d", "who_mean_7d", "shop_count_7d", "shop_risk_7d"]
START = datetime(2018, 4, 1)


def settings(**others):
    return TransactionsConfig(**COLUMNS | {"windows": (7,)} | others)


def transaction(day, who="ann", shop="s1", amount=10.0, fraud=0, hour=12):
    when = START + timedelta(days=day, hours=hour)
    return {"when": when.isoformat(" "), "who": who, "shop": shop, "amount": amount, "fraud": fraud}


def save(path, transactions):
    """Write transactions in the format of the suffix."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(transactions), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(one)}\n" for one in transactions))
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, transactions[0])
            table.writeheader()
            table.writerows(transactions)
    return path


def added(rows):
    return [tuple(row[name] for name in ADDED) for row in rows.table.to_pylist()]


EARLIER = [transaction(0, amount=10.0, fraud=1), transaction(1, amount=20.0), transaction(2, who="bob", amount=1.0)]
LATER = [transaction(8, amount=60.0), transaction(9, who="bob", shop="s2", amount=5.0)]
WINDOWS = [
    (1, 10.0, 0, 0.0),
    (2, 15.0, 0, 0.0),
    (1, 1.0, 0, 0.0),
    (1, 60.0, 2, 0.5),  # ann's second is 7 days ago, outside the window; its label has just arrived
    (1, 5.0, 0, 0.0),
]


class TestLaws(ReaderLaws):
    @pytest.fixture
    def spec(self):
        return next(spec for spec, _ in catalog().specs(ReaderSpec) if spec.name == "transactions")

    @pytest.fixture(params=["file", "folder"])
    def path(self, request, tmp_path):
        if request.param == "file":
            return save(tmp_path / "data.csv", [*EARLIER, {**LATER[0], "amount": "much"}])
        save(tmp_path / "data" / "history.csv", EARLIER)
        save(tmp_path / "data" / "transactions.csv", [*LATER, {**LATER[0], "amount": "much"}])
        return tmp_path / "data"

    @pytest.fixture
    def count(self, path):
        """The rows of a folder are its transactions, without its history."""
        return 4 if path.is_file() else 3

    @pytest.fixture
    def config(self):
        return settings()


# --- rows


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_of_any_format_is_its_own_history(tmp_path, suffix):
    rows = read_transactions(save(tmp_path / f"all.{suffix}", EARLIER + LATER), settings())

    assert added(rows) == WINDOWS
    assert rows.columns == (*EARLIER[0], *ADDED)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_windows_of_a_folder_include_its_history(tmp_path, suffix):
    save(tmp_path / f"history.{suffix}", EARLIER)
    save(tmp_path / f"transactions.{suffix}", LATER)

    rows = read_transactions(tmp_path, settings())

    assert added(rows) == WINDOWS[3:]
    assert (rows.source, rows.folder) == (f"transactions.{suffix}", tmp_path)


def test_history_and_rows_may_have_different_formats(tmp_path):
    save(tmp_path / "history.parquet", [{**one, "who": len(one["who"])} for one in EARLIER])
    save(tmp_path / "transactions.csv", [{**one, "who": "3"} for one in LATER])

    assert read_transactions(tmp_path, settings()).values("who_count_7d") == [2, 2]


def test_rows_to_predict_need_no_labels(tmp_path):
    save(tmp_path / "history.csv", EARLIER)
    save(tmp_path / "transactions.csv", [{name: one[name] for name in one if name != "fraud"} for one in LATER])

    assert added(read_transactions(tmp_path, settings())) == WINDOWS[3:]


def test_rows_have_their_order_lines_and_texts_unchanged(tmp_path):
    path = save(tmp_path / "all.csv", [*LATER, *EARLIER])

    rows = read_transactions(path, settings())

    assert added(rows) == WINDOWS[3:] + WINDOWS[:3]
    assert list(rows.lines) == [2, 3, 4, 5, 6]
    assert rows.values("amount") == ["60.0", "5.0", "10.0", "20.0", "1.0"]


def test_history_later_than_the_rows_is_ignored(tmp_path):
    save(tmp_path / "history.csv", [*EARLIER, transaction(30, fraud=1), transaction(8.5, amount=500.0)])
    save(tmp_path / "transactions.csv", LATER)

    assert added(read_transactions(tmp_path, settings())) == WINDOWS[3:]


def test_customer_windows_need_no_label(tmp_path):
    path = save(tmp_path / "all.csv", [{name: one[name] for name in ("when", "who", "amount")} for one in EARLIER])

    rows = read_transactions(path, TransactionsConfig(time="when", customer="who", amount="amount", windows=(1, 30)))

    assert rows.columns[3:] == ("who_count_1d", "who_mean_1d", "who_count_30d", "who_mean_30d")
    assert rows.values("who_mean_30d") == [10.0, 15.0, 1.0]


def test_terminal_windows_need_no_amount(tmp_path):
    config = TransactionsConfig(time="when", terminal="shop", label="fraud", delay=7, windows=(7,))
    rows = read_transactions(save(tmp_path / "all.csv", EARLIER + LATER), config)

    assert rows.columns[5:] == ("shop_count_7d", "shop_risk_7d")
    assert rows.values("shop_risk_7d") == [0.0, 0.0, 0.0, 0.5, 0.0]


def test_a_transaction_without_terminal_has_empty_windows(tmp_path):
    path = save(tmp_path / "all.csv", [transaction(0, shop=""), transaction(8, shop="")])

    rows = read_transactions(path, settings())

    assert (rows.invalid, rows.values("shop_count_7d")) == ({}, [0, 0])


def test_the_calendar_follows_the_handbook(tmp_path):
    times = [(5, 23), (6, 6), (7, 7), (8, 0)]  # Friday, Saturday, Sunday, Monday
    path = save(tmp_path / "all.csv", [transaction(day, hour=hour) for day, hour in times])

    rows = read_transactions(path, settings(calendar=True))

    assert (rows.values("weekend"), rows.values("night")) == ([0, 1, 1, 0], [0, 1, 0, 1])


def test_times_may_be_seconds(tmp_path):
    dated = read_transactions(save(tmp_path / "dated.csv", EARLIER + LATER), settings(calendar=True))
    in_seconds = [
        {**one, "when": (datetime.fromisoformat(one["when"]) - START).total_seconds()} for one in EARLIER + LATER
    ]
    path = save(tmp_path / "seconds.csv", in_seconds)

    counted = read_transactions(path, settings(calendar=True, since="2018-04-01"))

    for name in (*ADDED, "weekend", "night"):
        assert counted.values(name) == dated.values(name)


def test_the_reader_of_the_files_can_be_configured(tmp_path):
    path = save(tmp_path / "all.csv", EARLIER)
    path.write_text(path.read_text().replace(",", ";"))

    rows = read_transactions(path, settings(reader={"name": "csv", "delimiter": ";"}))

    assert added(rows) == WINDOWS[:3]


def test_rows_in_memory_get_the_same_columns():
    earlier, later = (Rows(pa.Table.from_pylist(some), "the table") for some in (EARLIER, LATER))

    assert added(add_window_columns(later, earlier, settings())) == WINDOWS[3:]


def test_the_reader_is_only_used_if_it_is_named(tmp_path):
    path = save(tmp_path / "all.csv", EARLIER + LATER)
    reader = {"name": "transactions", **COLUMNS, "windows": [7]}

    assert added(read_file(path, reader)) == WINDOWS
    assert read_file(path).columns == tuple(EARLIER[0])


# --- remarks


def test_rows_whose_windows_start_before_the_history_have_a_remark(tmp_path):
    save(tmp_path / "history.csv", EARLIER)
    save(tmp_path / "transactions.csv", [*LATER, transaction(13.9), transaction(14)])

    rows = read_transactions(tmp_path, settings())

    note = "windows reach back 14 days, to before the start of the history at 2018-04-01 12:00:00"
    assert rows.remarks == {note: [0, 1, 2]}


def test_a_label_of_fraud_that_is_not_rare_has_a_remark_unless_it_is_named(tmp_path):
    path = save(tmp_path / "rows.csv", [transaction(day, fraud=day % 2) for day in range(4)])
    note = "'fraud' is '1', which counts as fraud (the reader's setting positive) but is not rare"
    assert read_transactions(path, settings()).remarks[note] == [1, 3]
    assert note not in read_transactions(path, settings(positive=1)).remarks


def test_rows_whose_windows_contain_unlabelled_transactions_have_a_remark(tmp_path):
    save(tmp_path / "history.csv", [transaction(-20), {**EARLIER[1], "fraud": ""}, EARLIER[0]])
    save(tmp_path / "transactions.csv", LATER)

    rows = read_transactions(tmp_path, settings())

    note = "windows contain transactions without a label, which count as not fraud"
    assert {note: count for note, count in rows.notes.items() if count} == {note: 1}
    assert rows.remarks[note] == [0]
    assert rows.values("shop_risk_7d") == [0.5, 0.0]


# --- errors


def test_invalid_rows_are_reported_with_their_lines_and_are_in_no_window(tmp_path):
    bad = [
        {**EARLIER[0], "amount": "much"},
        {**EARLIER[0], "amount": ""},
        {**EARLIER[0], "when": "2018-02-30"},
        {**EARLIER[0], "who": ""},
    ]
    path = save(tmp_path / "all.csv", [*EARLIER, *bad, *LATER])
    path.write_text(path.read_text() + "lost\n")

    rows = read_transactions(path, settings())

    assert [windows for row, windows in enumerate(added(rows)) if row not in rows.invalid] == WINDOWS
    assert [windows for row, windows in enumerate(added(rows)) if row in rows.invalid] == [(None,) * 4] * 5
    assert {row for members in rows.remarks.values() for row in members} == set(range(10)) - {*rows.invalid}
    assert str(InvalidRows(rows, rows.invalid)) == (
        "all.csv, line 5: the column 'amount' is 'much', which is not a number.\n"
        "all.csv, line 6: the column 'amount' is empty.\n"
        "all.csv, line 7: the column 'when' is '2018-02-30', which is not a time such as 2018-07-25 13:05:00.\n"
        "all.csv, line 8: the column 'who' is empty.\n"
        "all.csv, line 11: the row has 1 value, but the header names 5 columns.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def problem(path, **others):
    with pytest.raises(TaskgraftError) as caught:
        read_transactions(path, settings(**others))
    return str(caught.value)


def test_an_invalid_row_of_the_history_is_an_error(tmp_path):
    save(tmp_path / "history.csv", [*EARLIER, {**EARLIER[0], "amount": "much"}])
    save(tmp_path / "transactions.csv", LATER)

    assert problem(tmp_path) == (
        "history.csv, line 5: the column 'amount' is 'much', which is not a number.\n"
        "Fix these rows, or take them out of the data."
    )


def test_a_missing_column_is_an_error_that_suggests_the_closest(tmp_path):
    path = save(tmp_path / "all.csv", EARLIER)

    assert problem(path, amount="amuont") == (
        "all.csv has no column 'amuont'. Did you mean 'amount'? Columns: when, who, shop, amount, fraud."
    )
    assert problem(path, label="fraudulent") == (
        "all.csv has no column 'fraudulent'. Did you mean 'fraud'? Columns: when, who, shop, amount, fraud."
    )


@pytest.mark.parametrize(
    ("files", "problem_text"),
    [
        (["history.csv"], "it must contain exactly one file transactions.SUFFIX, but has nothing."),
        (
            ["history.csv", "history.jsonl", "transactions.csv"],
            "it must contain exactly one file history.SUFFIX, but has history.csv, history.jsonl.",
        ),
    ],
)
def test_a_folder_has_one_history_and_one_file_of_transactions(tmp_path, files, problem_text):
    for name in files:
        save(tmp_path / name, EARLIER)

    assert problem(tmp_path) == (
        f"{tmp_path}: {problem_text} A folder of transactions has history.SUFFIX, earlier transactions with their labels, and "
        "transactions.SUFFIX, those to read."
    )


def test_an_existing_column_is_not_overwritten(tmp_path):
    path = save(tmp_path / "all.csv", [{**one, "who_count_7d": 0} for one in EARLIER])

    assert problem(path) == "all.csv: it already has a column 'who_count_7d'. Rename or remove that column."


def test_labels_without_any_fraud_are_an_error(tmp_path):
    path = save(tmp_path / "all.csv", [{**EARLIER[0], "fraud": "yes"}, {**EARLIER[1], "fraud": "no"}])

    assert problem(path) == (
        "all.csv: the column 'fraud' is never '1'; its values are no, yes. Name the label of fraud with the reader's setting "
        "'positive'."
    )
    assert read_transactions(path, settings(positive="yes")).values("who_count_7d") == [1, 2]


def test_transactions_in_both_history_and_rows_are_an_error(tmp_path):
    save(tmp_path / "history.csv", EARLIER + LATER)
    save(tmp_path / "transactions.csv", [transaction(7), *LATER])

    assert problem(tmp_path) == (
        "history.csv contains 2 of the transactions of transactions.csv (the first: line 3), so they would be counted twice. "
        "Remove them from the history."
    )


def test_two_transactions_may_be_equal(tmp_path):
    save(tmp_path / "history.csv", [*EARLIER, EARLIER[0]])
    save(tmp_path / "transactions.csv", [LATER[0], LATER[0]])

    assert read_transactions(tmp_path, settings()).values("who_count_7d") == [1, 2]


def test_a_column_of_lists_is_an_error(tmp_path):
    path = save(tmp_path / "all.parquet", [{**one, "who": [one["who"]]} for one in EARLIER])

    assert re.fullmatch(
        r"all\.parquet: the column 'who' has the type list<\w+: string>; texts, numbers and times are supported\.",
        problem(path),
    )


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UnreadableFile) as caught:
        read_transactions(tmp_path / "none.csv", settings())
    assert str(caught.value) == f"{tmp_path / 'none.csv'}: there is no such file."


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"time": "t"}, "set 'customer', 'terminal', or both to the names of their columns."),
        ({"time": "t", "customer": "c"}, "the windows of 'c' require 'amount'."),
        ({"time": "t", "terminal": "s", "delay": 7}, "the windows of 's' require 'label'."),
        ({"time": "t", "terminal": "s", "label": "l"}, "the windows of 's' require 'delay'."),
        (
            {"time": "t", "customer": "c", "amount": "a", "windows": [7, 7]},
            "windows must be different numbers of days, from 1 to 3,650.",
        ),
        (
            {"time": "t", "terminal": "s", "label": "l", "delay": 0},
            "the setting 'delay' is 0: input should be greater than or equal to 1.",
        ),
    ],
)
def test_incomplete_settings_are_an_error(chosen, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(TransactionsConfig, chosen, "reader 'transactions'")
    assert str(caught.value) == f"reader 'transactions': {message}"


# --- what the reader of the files advises


def test_a_setting_of_the_files_own_reader_is_named_within_this_one(tmp_path):
    path = save(tmp_path / "rows.csv", [transaction(0, who="josé"), transaction(1, fraud=1)])
    path.write_bytes(path.read_text().encode("cp1252"))
    with pytest.raises(UnreadableFile) as caught:
        read_transactions(path, settings())
    assert str(caught.value) == (
        f'{path}: line 2: the byte 0xe9 is not UTF-8. As cp1252 the line reads "2018-04-01 12:00:00,josé,s1,10.0,0": '
        'data.reader = {name = "transactions", reader = {name = "csv", encoding = "cp1252"}, …}.'
    )
    rows = read_transactions(path, settings(reader={"name": "csv", "encoding": "cp1252"}))
    assert rows.values("who") == ["josé", "ann"]


def test_an_invalid_row_names_the_setting_within_this_one(tmp_path):
    path = save(tmp_path / "rows.csv", [transaction(0), transaction(1, fraud=1)])
    path.write_text(path.read_text().replace("ann", '"an"n', 1))
    rows = read_transactions(path, settings())
    assert rows.invalid == {
        0: "the row cannot be parsed (',' expected after '\"'); if quotation marks are ordinary characters, set "
        'data.reader = {name = "transactions", reader = {name = "csv", quoting = "none"}, …}'
    }


# --- columns alone


def without_labels(transactions):
    return [{name: value for name, value in one.items() if name != "fraud"} for one in transactions]


def test_windows_of_customers_alone_need_no_labels(tmp_path):
    path = save(tmp_path / "bare.csv", without_labels([*EARLIER, *LATER]))
    labelled = save(tmp_path / "labelled.csv", [*EARLIER, *LATER])

    rows = read_transaction_columns(path, settings(), ["amount", "who_count_7d", "who_mean_7d", "shop_count_7d"])

    expected = read_transactions(labelled, settings())
    for name in ("who_count_7d", "who_mean_7d", "shop_count_7d"):
        assert rows.values(name) == expected.values(name)


def test_the_risk_of_a_terminal_needs_the_labels_of_the_past(tmp_path):
    path = save(tmp_path / "bare.csv", without_labels(LATER))

    with pytest.raises(UnreadableFile) as caught:
        read_transaction_columns(path, settings(), ["shop_risk_7d"])

    assert str(caught.value) == (
        "bare.csv: it has no column 'fraud', and the windows of 'shop' need the labels of the past. Give a folder with "
        "history.SUFFIX, earlier transactions with their labels, and transactions.SUFFIX, these."
    )


def test_a_folder_needs_labels_in_its_history_alone(tmp_path):
    save(tmp_path / "history.csv", EARLIER)
    save(tmp_path / "transactions.csv", without_labels(LATER))

    assert added(read_transaction_columns(tmp_path, settings(), ADDED)) == WINDOWS[3:]
