"""What the validation rows chose, so that their scores are a little too kind, is printed and reported."""

import json

import pytest
from commands import typed
from small_recipe import RECIPE, write_rows
from small_tasks import PARTS, Planned, classification, sentences, training_stage, words

import taskgraft as tg
from taskgraft.contract.config import Config
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.contract.targets import TargetDescription
from taskgraft.preparation.validation_choices import chosen_on_validation, selection_note

VALIDATION = sentences(12, seed=1)


def fit(strategy, validation=VALIDATION, **options):
    model = tg.compose(words(), classification(), strategy)
    return model, model.fit(sentences(), validation=validation, target="label", **options)


def test_a_probe_reports_the_penalty_that_the_validation_rows_chose(capfd, tmp_path):
    _, report = fit("linear-probe", run=tmp_path / "run")
    penalty = report.stages[0].penalty
    assert report.chosen == report.stages[0].chosen == {"penalty": penalty}
    lines = capfd.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("linear-probe: training loss "))
    assert ", validation loss " in line
    assert line.endswith(f"; penalty {penalty:.4g}, chosen on the validation rows")
    assert lines[-1] == (
        f"The metrics are of the 12 validation rows, which also chose the penalty {penalty:.4g}: "
        "expect a little less on new rows."
    )
    (logged,) = (json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert logged["penalty"] == penalty
    assert logged["validation_accuracy"] == report.metrics["accuracy"]
    assert logged["validation_loss"] == report.stages[0].validation_losses[0]


def test_a_given_penalty_is_not_chosen(capfd):
    _, report = fit({"name": "linear-probe", "penalty": 1e-3})
    assert report.chosen == {}
    assert report.selection_note == ""
    assert "; penalty 0.001\n" in capfd.readouterr().err


def test_without_validation_rows_the_training_rows_that_chose_the_penalty_are_named(capfd):
    _, report = fit("linear-probe", validation=None)
    assert report.chosen == {}
    assert ", chosen on 5 of 24 training rows\n" in capfd.readouterr().err


def test_stages_are_told_apart():
    probe = Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True)
    _, report = fit(Planned(probe, training_stage(*PARTS, name="tune", patience=2)), quiet=True)
    assert list(report.chosen) == ["probe.penalty", "tune.epoch"]
    assert report.chosen["probe.penalty"] == report.stages[0].penalty


class Threshold(Config):
    value: float
    by: str = "costs"
    cost: float | None = None


class Temperature(Config):
    temperature: float


class Tuned(TargetDescription):
    label: str = "fraud"
    threshold: Threshold = Threshold(value=0.5)
    calibration: Temperature | None = None
    knots: tuple[tuple[float, float], ...] = ()
    bias: float = 0.0


@pytest.mark.parametrize(
    ("tuned", "chosen"),
    [
        (Tuned(), {}),
        (Tuned(threshold=Threshold(value=0.41, cost=12.0)), {"threshold": 0.41}),
        (Tuned(calibration=Temperature(temperature=1.3)), {"temperature": 1.3}),
        (Tuned(bias=2), {"bias": 2.0}),
        (Tuned(knots=((0.0, 0.1), (1.0, 0.9))), {"knots": None}),
    ],
)
def test_what_a_head_tunes_is_found_in_its_target_description(tuned, chosen):
    assert chosen_on_validation([], Tuned(), tuned) == chosen


def test_the_note_names_everything_that_was_chosen():
    assert selection_note({"penalty": 0.03, "threshold": 0.41234567, "knots": None}, 1200) == (
        "The metrics are of the 1,200 validation rows, which also chose the penalty 0.03, the threshold 0.4123, the knots: "
        "expect a little less on new rows."
    )


def test_the_command_prints_the_note_with_the_result_and_in_json(tmp_path, small_plugin_installed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "train.csv", 24, 0)
    write_rows(tmp_path / "valid.csv", 12, 1)
    (tmp_path / "intents.toml").write_text(RECIPE.replace('{name = "linear-probe", penalty = 1e-3}', '"linear-probe"'))
    result = typed("fit", "intents.toml", "-q", "--json", "-o", "one")
    document = json.loads(result.out)
    assert document["metrics_of"] == "validation rows"
    assert list(document["chosen"]) == ["penalty"]
    manifest = json.loads((tmp_path / "one" / "taskgraft.json").read_text())
    assert manifest["chosen"] == document["chosen"]
    assert tg.load("one").fitted.chosen == document["chosen"]
    shown = typed("fit", "intents.toml", "-q", "-o", "two").out
    assert f"which also chose the penalty {document['chosen']['penalty']:.4g}: expect a little less" in shown


def test_an_evaluation_of_rows_that_the_fit_saw_says_so(tmp_path, small_plugin_installed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("train.csv", 0), ("valid.csv", 1), ("test.csv", 2)):
        write_rows(tmp_path / name, 24, seed)
    (tmp_path / "intents.toml").write_text(RECIPE.replace('{name = "linear-probe", penalty = 1e-3}', '"linear-probe"'))
    assert typed("fit", "intents.toml", "-q").code == 0
    penalty = tg.load("intents").fitted.chosen["penalty"]
    said = {name: typed("evaluate", "intents", name).err for name in ("train.csv", "valid.csv", "test.csv")}
    assert (
        "from the file that the model was trained on, so expect less on new rows: 24 of 24 rows\n" in said["train.csv"]
    )
    validated = (
        f"from the validation file, which also chose the penalty {penalty:.4g}, so expect a little less on new rows"
    )
    assert f"{validated}: 24 of 24 rows\n" in said["valid.csv"]
    assert "expect" not in said["test.csv"]
    document = json.loads(typed("evaluate", "intents", "train.csv", "--json", "-q").out)
    assert document["notes"] == {"from the file that the model was trained on, so expect less on new rows": 24}
