"""Which label is fraud, on the command line: input that may mean either is refused with the whole message, or said."""

import csv
import json

import pytest
from commands import typed
from refusals import refused

RECIPE = """
backbone = {name = "mlp-plr", feature_size = 8, blocks = 1}
head = "fraud"
strategy = "full"
data = {train = "train.csv", validation = "valid.csv", inputs = "amount", target = "label"}
training = {epochs = 1}
"""
NOT_CLEAR = "'fraud' detects the rarer of two labels, but in the target column 'label' neither is clearly rarer: "
NAME = "Name the label to detect in the head's settings: "


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A recipe, with one fraud in eight rows of each file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fraud.toml").write_text(RECIPE)
    write("train.csv", ["fraud"] * 10 + ["ok"] * 70)
    write("valid.csv", ["fraud"] * 5 + ["ok"] * 35, start=1000)
    return tmp_path


def write(path, labels, start=0):
    with open(path, "w", newline="") as file:
        rows = [(start + 7 * row % 41, row // 8, label) for row, label in enumerate(labels)]
        csv.writer(file).writerows([("amount", "day", "label"), *rows])


def refused_fit(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    return refused("fit", "fraud.toml", "-o", "other", "--quiet", *words)


def fit(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    done = typed("fit", "fraud.toml", "-o", "run", *words)
    assert done.code == 0, done.err
    return done


# --- refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "shares", "settings"),
    [
        (["fraud"] * 52 + ["ok"] * 48, "'fraud' 52 % and 'ok' 48 %", 'positive = "fraud" or positive = "ok"'),
        (["0"] * 50 + ["1"] * 50, "'0' 50 % and '1' 50 %", 'positive = "0" or positive = "1"'),
        (["0"] * 48 + ["1"] * 52, "'0' 48 % and '1' 52 %", 'positive = "0" or positive = "1"'),
        (["no"] * 60 + ["yes"] * 40, "'no' 60 % and 'yes' 40 %", 'positive = "no" or positive = "yes"'),
        (["True"] * 64 + ["False"] * 36, "'False' 36 % and 'True' 64 %", 'positive = "False" or positive = "True"'),
        (["good"] * 66 + ["bad"] * 34, "'bad' 34 % and 'good' 66 %", 'positive = "bad" or positive = "good"'),
    ],
    ids=["undersampled", "half", "more-frauds", "two-fifths", "booleans", "a-little-over-a-third"],
)
def test_a_label_near_balance(workdir, labels, shares, settings):
    write("train.csv", labels)
    write("valid.csv", labels[::2], start=1000)
    assert refused_fit() == f"{NOT_CLEAR}{shares} of 100 training rows. {NAME}{settings}."


@pytest.mark.slow
def test_a_label_that_is_rare_in_training_alone(workdir):
    """Undersampled so far that the honest rows are the rarer ones; the validation rows are as they come."""
    write("train.csv", ["fraud"] * 70 + ["ok"] * 30)
    assert refused_fit() == (
        "'fraud' detects the rarer of two labels: in the training rows that is 'ok' (30 %), but in the validation rows it is "
        f'the commoner one (87.5 %). {NAME}positive = "fraud" or positive = "ok".'
    )


@pytest.mark.slow
def test_a_split_without_customers_of_known_fraud_where_1_is_a_good_payment(workdir):
    write("train.csv", ["1"] * 72 + ["0"] * 8)
    split = 'data.split={name="time", column="day", unit="days", validation=2, known="amount"}'
    assert refused_fit("data.validation=null", split) == (
        "train.csv: 'label' is '1' in 90 % of 80 rows, which is not rare, and 'known' leaves out customers with a fraud. "
        "Name the label of fraud with the split's setting 'positive', also if it is '1'."
    )


@pytest.fixture
def classified(workdir):
    """A model of the head classification, which detects none of its labels."""
    fit("head=classification")
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            {"name": "fraud"},
            "The metric 'fraud' cannot tell which of the labels 'fraud', 'ok' is fraud, since the head detects none of them. "
            'Name it in the metric\'s settings: positive = "fraud" or positive = "ok".',
        ),
        (
            {"name": "fraud", "positive": "stolen"},
            "The positive class of the metric 'fraud' is 'stolen', but the labels are 'fraud', 'ok'. Name one of these.",
        ),
        (
            {"name": "classification", "positive": "1"},
            "The positive class of the metric 'classification' is '1', but the labels are 'fraud', 'ok'. Name one of these.",
        ),
        (
            {"name": "classification", "positiv": "fraud"},
            "metric 'classification': there is no setting 'positiv'. Did you mean 'positive'? Settings: positive.",
        ),
    ],
    ids=["unknown-to-the-metric", "another-label", "another-label-of-classification", "another-setting"],
)
def test_a_metric_of_a_class_that_is_not_known(classified, metric, message):
    assert refused("evaluate", "run", "valid.csv", "-q", "--metrics", json.dumps(metric)) == message


@pytest.mark.slow
def test_a_positive_class_of_three(workdir):
    write("train.csv", ["fraud", "ok", "unclear"] * 20)
    write("valid.csv", ["fraud", "ok", "unclear"] * 10, start=1000)
    fit("head=classification")
    metric = '{"name": "classification", "positive": "fraud"}'
    assert refused("evaluate", "run", "valid.csv", "-q", "--metrics", metric) == (
        "The positive class of the metric 'classification' is 'fraud', but there are 3 classes: 'fraud', 'ok', 'unclear'. "
        "Leave it out."
    )


# --- said


@pytest.mark.slow
def test_the_label_to_detect_is_said_once_before_training_and_at_each_number(workdir):
    done = fit()
    said = (
        "'fraud' detects the label 'fraud', 12.5 % of the training rows: the rarer one. To detect the other, set the head's "
        'positive = "ok".\n'
    )
    assert done.err.count(said) == 1
    assert "average_precision (fraud) 0." in done.err
    assert {"auroc (fraud)", "average_precision (fraud)", "recall_at_100 (fraud)"} <= {
        " ".join(line.split()[:2]) for line in done.out.splitlines()
    }
    found = json.loads(typed("evaluate", "run", "valid.csv", "-q", "--json").out)
    assert {values["positive"] for values in found["metrics"].values()} == {"fraud"}


@pytest.mark.slow
def test_several_seeds_name_the_positive_label(workdir):
    done = typed("fit", "fraud.toml", "-o", "run", "--seeds", "2")
    assert done.code == 0, done.err
    assert [line.split()[:2] for line in done.out.splitlines() if line.startswith("auroc")] == [["auroc", "(fraud)"]]
    assert "seed 0: alerts_share (fraud) " in done.err


@pytest.mark.slow
def test_a_comparison_names_the_positive_label(workdir):
    done = typed("compare", "fraud.toml", "--strategy", "full", "--strategy", "linear-probe", "-o", "compared", "-q")
    assert done.code == 0, done.err
    assert "average_precision (fraud)" in done.out.splitlines()[0]
    compared = json.loads((workdir / "compared" / "comparison.json").read_text())
    assert (compared["metric"], compared["positive"]) == ("average_precision", "fraud")


@pytest.mark.slow
def test_the_metric_classification_names_the_second_of_two_labels_or_the_one_of_its_settings(classified):
    for metric, label in (("classification", "ok"), ('{"name": "classification", "positive": "fraud"}', "fraud")):
        done = typed("evaluate", "run", "valid.csv", "-q", "--metrics", metric)
        assert f"average_precision ({label}) " in done.out
