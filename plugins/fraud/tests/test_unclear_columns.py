"""Columns of a table that are well-formed and can mean something else: refused with the setting to write, or said once."""

import csv
import random

import pytest
from commands import typed
from refusals import refused

RECIPE = """
strategy = "full"

[backbone]
name = "mlp-plr"
feature_size = 8
blocks = 1

[head]
name = "classification"

[data]
train = "rows.csv"
inputs = ["x", "y"]
target = "late"

[training]
epochs = 1
"""

CHANCE = random.Random(0)
ROWS = [(CHANCE.gauss(0, 1), CHANCE.choice(["yes", "no"])) for _ in range(40)]
CATEGORY = 'If it is a category, write columns = {x = "category"}.'


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """The working directory, with a recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.toml").write_text(RECIPE)
    return tmp_path


def write(folder, values, name="rows.csv", column="x"):
    """Write 40 rows in which a column repeats some values."""
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        rows = [(values[row % len(values)], f"{y:.3f}", late) for row, (y, late) in enumerate(ROWS)]
        csv.writer(file).writerows([(column, "y", "late"), *rows])


def with_sets(overrides):
    return [word for text in overrides for word in ("--set", text)]


def refused_fit(*overrides):
    return refused("fit", "late.toml", "-o", "run", "-q", *with_sets(overrides))


def fit(*overrides):
    done = typed("fit", "late.toml", "-o", "run", "--overwrite", *with_sets(overrides))
    assert done.code == 0, done.err
    return done.err


NUMBERS = ["12.5", "3", "4.25", "-7"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [*NUMBERS, "NA"],
            "numbers, such as '12.5', in 32 of 40 cells, and 'NA' in 8. If 'NA' stands for an empty cell, write "
            f'data.missing = ["NA"]. {CATEGORY}',
        ),
        (
            [*NUMBERS, *NUMBERS, "?", "unknown"],
            "numbers, such as '12.5', in 32 of 40 cells, and '?' in 4, 'unknown' in 4. If '?', 'unknown' stand for an empty "
            f'cell, write data.missing = ["?", "unknown"]. {CATEGORY}',
        ),
        (
            ["12,5", "3", "4,25", "-7"],
            f"numbers, such as '12,5', in all 40 cells. For this format write data.decimal = \",\". {CATEGORY}",
        ),
        (
            ["12,5", "3", "4,25", "-7", "k.A."],
            "numbers, such as '12,5', in 32 of 40 cells, and 'k.A.' in 8. For this format write data.decimal = \",\". "
            f"If 'k.A.' stands for an empty cell, write data.missing = [\"k.A.\"]. {CATEGORY}",
        ),
        (
            ["1.234,50", "3,00", "14.250,75", "-7,10"],
            "numbers, such as '1.234,50', in all 40 cells. For this format write data.decimal = \",\" and "
            f'data.thousands = ".". {CATEGORY}',
        ),
        (
            ["1,234.50", "3.00", "14,250.75", "-7.10"],
            f"numbers, such as '1,234.50', in all 40 cells. For this format write data.thousands = \",\". {CATEGORY}",
        ),
        (
            ["1 234,50", "3,00", "14 250,75", "-7,10"],
            "numbers, such as '1 234,50', in all 40 cells. For this format write data.decimal = \",\" and "
            f'data.thousands = " ". {CATEGORY}',
        ),
        (
            ["1'234.50", "3.00", "14'250.75", "-7.10"],
            f'numbers, such as "1\'234.50", in all 40 cells. For this format write data.thousands = "\'". {CATEGORY}',
        ),
        (
            ["1,234", "3,500", "14,250", "7,100"],
            "numbers, such as '1,234', in all 40 cells. '1,234' can mean two things: write data.thousands = \",\" (1234) or "
            f'data.decimal = "," (1.234). {CATEGORY}',
        ),
        (
            ["12 %", "3.5 %", "7 %", "8 %"],
            "numbers, such as '12 %', in all 40 cells. For this format write data.units = [\"%\"], which drops the unit and "
            f"converts nothing. {CATEGORY}",
        ),
        (
            ["$12.50", "€3.50", "-$7", "8"],
            'numbers, such as \'$12.50\', in all 40 cells. For this format write data.units = ["$", "€"], which drops the '
            f"unit and converts nothing. {CATEGORY}",
        ),
        (
            ["S", "38", "40", "42", "44"],
            "numbers, such as '38', in 32 of 40 cells, and 'S' in 8. If 'S' stands for an empty cell, write "
            f'data.missing = ["S"]. {CATEGORY}',
        ),
        (
            ["12,5", "3.5", "4,25", "7.5", "1,5"],
            "numbers, such as '12,5', in 24 of 40 cells, and '3.5' in 8, '7.5' in 8. For this format write "
            f'data.decimal = ",". {CATEGORY}',
        ),
        (
            ["30.11.2026", "01.12.2026", "02.12.2026", "03.12.2026"],
            f"dates, such as '30.11.2026', in all 40 cells. For this format write data.dates = \"day-first\". {CATEGORY}",
        ),
        (
            ["11/30/2026", "12/01/2026", "12/02/2026 5:30 PM", "12/03/2026"],
            f"dates, such as '11/30/2026', in all 40 cells. For this format write data.dates = \"month-first\". {CATEGORY}",
        ),
        (
            ["03/04/2026", "05/04/2026", "06/04/2026", "07/04/2026"],
            "dates, such as '03/04/2026', in all 40 cells. '03/04/2026' can mean two things: write data.dates = \"day-first\" "
            f'(2026-04-03) or data.dates = "month-first" (2026-03-04). {CATEGORY}',
        ),
        (
            ["2026-04-03", "2026-04-05", "2026-04-06", "soon"],
            "dates, such as '2026-04-03', in 30 of 40 cells, and 'soon' in 10. If 'soon' stands for an empty cell, write "
            f'data.missing = ["soon"]. {CATEGORY}',
        ),
    ],
)
def test_a_column_that_resembles_numbers_or_dates_is_never_made_a_category(workdir, values, message):
    write(workdir, values)
    assert refused_fit() == f"The column 'x' holds {message}"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["30.11.26", "01.12.26"], "it holds dates with a year of two digits; write four"),
        (["30 Nov 2026", "1 December 2026"], "it holds dates with names of months; write them as 2026-11-30"),
        (["Nov 30, 2026", "Dec 1, 2026"], "it holds dates with names of months; write them as 2026-11-30"),
        (["13:05", "07:30:15", "7:30"], "it holds times of day; make numbers of them, such as hours"),
        (["1 days 02:00:00", "0 days 00:30:00"], "it holds durations; make numbers of them, such as seconds"),
    ],
)
def test_times_that_no_setting_reads_are_refused(workdir, values, problem):
    write(workdir, values)
    assert refused_fit() == (
        f"The column 'x' cannot be used: {problem}. Leave it out of data.inputs, or declare it a category: "
        'columns = {x = "category"}.'
    )


def test_lists_are_refused(workdir):
    write(workdir, ["[1, 2]", "[3]"])
    assert refused_fit() == (
        "The column 'x' cannot be used: it holds lists or structures. Leave it out of data.inputs."
    )


def test_all_unclear_columns_are_reported_together(workdir):
    with (workdir / "rows.csv").open("w", newline="") as file:
        rows = [("12,5", "NA" if row % 4 == 0 else "3", late) for row, (_, late) in enumerate(ROWS)]
        csv.writer(file).writerows([("x", "y", "late"), *rows])
    assert refused_fit() == (
        "The column 'x' holds numbers, such as '12,5', in all 40 cells. For this format write data.decimal = \",\". "
        f"{CATEGORY}\n"
        "The column 'y' holds numbers, such as '3', in 30 of 40 cells, and 'NA' in 10. If 'NA' stands for an empty cell, "
        'write data.missing = ["NA"]. If it is a category, write columns = {y = "category"}.'
    )


def test_a_name_that_is_no_bare_key_is_quoted(workdir):
    write(workdir, ["12,5"], column="net price")
    assert refused_fit('data.inputs=["net price"]').endswith('write columns = {"net price" = "category"}.')


@pytest.mark.parametrize(
    ("values", "settings", "kind"),
    [
        (
            [*NUMBERS, "NA", "?"],
            ['data.missing=["NA","?"]'],
            "number, mean 3.1875, standard deviation 6.92228, may be missing",
        ),
        (
            ["1.234,50", "7,50"],
            ['data.decimal=","', 'data.thousands="."'],
            "number, mean 621, standard deviation 613.5",
        ),
        (["1,234", "3,500"], ['data.thousands=","'], "number, mean 2367, standard deviation 1133"),
        (["1,234", "3,500"], ['data.decimal=","'], "number, mean 2.367, standard deviation 1.133"),
        (["12 %", "14 %"], ["data.units=%"], "number, mean 13, standard deviation 1"),
        (["03/04/2026", "05/04/2026"], ["data.dates=day-first"], "time since 2026-04-03T00:00:00+00:00"),
        (["03/04/2026", "05/04/2026"], ["data.dates=month-first"], "time since 2026-03-04T00:00:00+00:00"),
        ([*NUMBERS, "NA"], ['backbone.columns={x="category"}'], "category, 5 values (-7, 12.5, 3, …)"),
        (["007", "12", "A"], [], "category, 3 values (007, 12, A)"),
        (["10115", "80331"], [], "number, mean 45223, standard deviation 35108"),
        (["18-25", "26-40"], [], "category, 2 values (18-25, 26-40)"),
        (["2026/11/30", "2026/12/01"], [], "time since 2026-11-30T00:00:00+00:00"),
    ],
)
def test_with_the_setting_the_column_has_its_kind(workdir, values, settings, kind):
    write(workdir, values)
    assert f"x: {kind}" in fit(*settings, "data.inputs=x")


def test_fit_evaluate_and_predict_read_the_same_numbers_and_keep_copies_the_cells(workdir):
    plain, german = ["1234.5", "7.5", "", "12.25"], ["1.234,50 €", "7,50 €", "k.A.", "12,25 €"]
    formats = ['data.decimal=","', 'data.thousands="."', 'data.units=["€"]', 'data.missing=["k.A."]']
    results = []
    for values, settings in ((plain, []), (german, formats)):
        write(workdir, values)
        fit(*settings, "data.inputs=x")
        evaluated = typed("evaluate", "run", "rows.csv", "--json", "--baseline", "logistic-regression", "-q")
        predicted = typed("predict", "run", "rows.csv", "--probabilities", "--keep", "x")
        assert (evaluated.code, predicted.code) == (0, 0), evaluated.err + predicted.err
        kept, *predictions = zip(*csv.reader(predicted.out.splitlines()), strict=True)
        assert kept[1:5] == tuple(values)
        results.append((evaluated.out, predictions))
    assert results[0] == results[1]


def test_a_mark_that_predict_meets_first_is_reported_with_its_setting(workdir):
    write(workdir, NUMBERS)
    fit()
    write(workdir, ["12.5", "NA"], "new.csv")
    message = refused("predict", "run", "new.csv").splitlines()[0]
    assert message == (
        "new.csv, line 3: the column 'x' is 'NA', which is not a number; if it stands for an empty cell, write "
        'data.missing = ["NA"]. 20 of 40 rows are like this (lines 3, 5, 7, 9, 11 and 15 more).'
    )
    done = typed("predict", "run", "new.csv", "--set", 'data.missing=["NA"]')
    assert (done.code, len(done.out.splitlines())) == (0, 41), done.err


def test_numbers_that_may_have_a_point_between_thousands_are_reported_once(workdir):
    write(workdir, ["1.234", "12.500"])
    said = (
        "All numbers in 'x' have three digits after the point: '1.234' is read as 1.234. If the point is between thousands, "
        'write data.decimal = "," and data.thousands = ".".'
    )
    assert fit("data.inputs=x").count(said) == 1
    assert said not in fit("data.inputs=x", 'data.decimal=","', 'data.thousands="."')


def test_an_unclear_point_is_refused_and_a_clear_one_is_said(workdir):
    write(workdir, ["12,5", "1.234"])
    assert refused_fit('data.decimal=","', "data.inputs=x").splitlines()[0] == (
        "rows.csv, line 3: the column 'x' has a number with a point, such as '1.234', which is 1234 if the point is between "
        'thousands, or 1.234 although data.decimal is ","; in the first case, write data.thousands = ".". 20 of 40 rows are '
        "like this (lines 3, 5, 7, 9, 11 and 15 more)."
    )
    write(workdir, ["12,5", "3.25"])
    assert "'x' has a decimal point, although data.decimal is ',': 20 of 40 training rows" in fit(
        'data.decimal=","', "data.inputs=x"
    )


def test_a_time_split_and_a_regression_target_use_the_formats(workdir):
    with (workdir / "rows.csv").open("w", newline="") as file:
        rows = [(f"{1 + row // 2:02}.11.2026", f"{1000 + row}", f"1.0{row:02},50") for row in range(40)]
        csv.writer(file).writerows([("x", "y", "late"), *rows])
    formats = ['data.decimal=","', 'data.thousands="."', "data.dates=day-first"]
    fit(*formats, "head=regression", "data.inputs=y", 'data.split={name="time", column="x", validation=5}')
    done = typed("predict", "run", "rows.csv")
    assert 1000 < float(done.out.splitlines()[1].split(",")[-1]) < 1100
    message = refused("fit", "late.toml", "-o", "other", "-q", *with_sets(["head=regression", "data.inputs=y"]))
    assert message.splitlines()[0].startswith(
        "rows.csv, line 2: the target column 'late' is '1.000,50', not a number; in another format, write "
        'data.decimal = "," and data.thousands = ".".'
    )


def test_the_reader_of_transactions_parses_cells_in_the_formats_of_the_data(workdir):
    """It parses times and amounts itself, before the rows are formatted."""
    reader = 'data.reader={name="transactions", time="x", amount="y", customer="c", windows=[7]}'
    formats = ['data.decimal=","', 'data.thousands="."', "data.dates=day-first", 'data.missing=["NA"]']
    header, kept = ("x", "y", "c", "late"), []
    for german in (False, True):
        days = [f"{1 + row // 2:02}.11.2026" if german else f"2026-11-{1 + row // 2:02}" for row in range(40)]
        amounts = [f"1.0{row:02},50" if german else f"10{row:02}.50" for row in range(40)]
        with (workdir / "rows.csv").open("w", newline="") as file:
            rows = zip(days, amounts, [f"c{row % 3}" for row in range(40)], [late for _, late in ROWS], strict=True)
            csv.writer(file).writerows([header, *rows])
        changes = [reader, 'data.inputs=["y","c_count_7d","c_mean_7d"]', *(formats if german else ())]
        said = fit(*changes)
        done = typed("predict", "run", "rows.csv", "--probabilities")
        evaluated = typed("evaluate", "run", "rows.csv", "--json", "-q")
        assert (done.code, evaluated.code) == (0, 0), done.err + evaluated.err
        kept.append((said.splitlines()[:3], done.out, evaluated.out))
    assert kept[0] == kept[1]
    message = refused("fit", "late.toml", "-o", "other", "-q", *with_sets([reader, "data.inputs=y"]))
    assert message.splitlines()[0] == (
        "rows.csv, line 2: the column 'x' is '01.11.2026', which is not a time such as 2018-07-25 13:05:00; in another format, "
        'write data.dates = "day-first" or data.dates = "month-first". 2 of 40 rows are like this (lines 2, 3).'
    )
