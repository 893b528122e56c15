from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from taskgraft.text_table import TextTable, shorten_middle

SETTINGS = [
    ("learning_rate", "number", "0.001", "peak rate of the trained parameters, per step"),
    ("on", "true or false", "", "whether it is on"),
]
NUMBERS = TextTable(
    ["metric", "value", "95 % interval", "majority", "logistic-regression"],
    [["average_precision (fraud)", "0.1234", "0.1000 to 0.1500", "0.0840", "0.1100"]],
)


def printed(table, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width, markup=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_a_table_that_fits_is_printed_as_it_is():
    assert (
        printed(NUMBERS, 86)
        == """\
metric                       value      95 % interval   majority   logistic-regression
──────────────────────────────────────────────────────────────────────────────────────
average_precision (fraud)   0.1234   0.1000 to 0.1500     0.0840                0.1100"""
    )


def test_numbers_that_do_not_fit_continue_below_with_the_names_repeated():
    assert (
        printed(NUMBERS, 80)
        == """\
metric                       value      95 % interval   majority
────────────────────────────────────────────────────────────────
average_precision (fraud)   0.1234   0.1000 to 0.1500     0.0840

metric                      logistic-regression
───────────────────────────────────────────────
average_precision (fraud)                0.1100"""
    )


def test_a_header_wraps_between_words():
    table = TextTable(["strategy", "trainable parameters"], [["full", "1,234"]])
    assert (
        printed(table, 21)
        == "            trainable\nstrategy   parameters\n─────────────────────\nfull            1,234"
    )


def test_texts_wrap_between_words_in_the_columns_that_may():
    table = TextTable(["setting", "type", "default", "description"], SETTINGS, 4, ("description",))
    assert (
        printed(table, 70)
        == """\
setting         type            default   description
──────────────────────────────────────────────────────────────────────
learning_rate   number          0.001     peak rate of the trained
                                          parameters, per step
on              true or false             whether it is on"""
    )


def test_texts_become_a_list_where_no_table_fits():
    table = TextTable(["setting", "type", "default", "description"], SETTINGS, 4, ("description",))
    assert (
        printed(table, 50)
        == """\
learning_rate
    type: number; default: 0.001
    peak rate of the trained parameters, per step
on
    type: true or false
    whether it is on"""
    )


def test_names_are_shortened_in_the_middle_rather_than_continued_below_only_where_allowed():
    table = TextTable(["class", "f1", "support"], [["card_payment_fee_charged_abroad", "0.5000", "40"]])
    short = TextTable(table.columns, table.rows, shorten=True)
    assert printed(short, 53) == printed(table, 53)
    assert printed(short, 42).splitlines()[-1] == "card_paymen…rged_abroad   0.5000        40"
    assert printed(table, 42).splitlines()[-1] == "card_payment_fee_charged_abroad        40"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100])
@pytest.mark.parametrize("shorten", [True, False])
def test_no_line_is_wider_than_the_terminal(width, shorten):
    wide = TextTable(
        ["class", "precision", "recall", "f1", "support"],
        [["ein_sehr_langer_name_" * 4, "1.0000", "0.5000", "0.6667", "12,345"], ["短い名前" * 9, "–", "–", "–", "1"]],
        shorten=shorten,
    )
    assert max(map(cell_len, printed(wide, width).splitlines())) <= width


def test_the_middle_of_a_text_gives_way():
    assert shorten_middle("abcdefghij", 10) == "abcdefghij"
    assert shorten_middle("abcdefghij", 9) == "abcd…ghij"
    assert shorten_middle("abcdefghij", 4) == "ab…j"
    assert cell_len(shorten_middle("日本語日本語日本語", 9)) <= 9
