import json

import numpy as np
import pytest
from cautious import Cautious
from commands import typed
from planting import OPENING
from small_tasks import Planned, assert_same_bits, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.contract.rows import InvalidRows, MissingColumn
from taskgraft.preparation.errors import ValidationRequired

PLUGIN = f"""{OPENING}
from taskgraft.builtin.heads.configs import ClassificationConfig


def _describe(config):
    from cautious import Cautious

    return Cautious(config).description


def _build(config):
    from cautious import Cautious

    return Cautious(config)


@hookimpl
def taskgraft_heads():
    yield HeadSpec(name="cautious", summary="says little", config=ClassificationConfig, describe=_describe, build=_build)
"""


def rows(count=24, seed=0, **columns):
    return sentences(count, seed) | {"amount": [1.0 + row % 5 for row in range(count)]} | columns


def composed(on_step_end=None):
    return tg.compose(words(), Cautious(), Planned(training_stage("block-1", on_step_end=on_step_end)))


def fitted(held=None, on_step_end=None, **how):
    model = composed(on_step_end)
    settings = {"target": "label", "training": {"batch_size": 8}, "quiet": True} | how
    run = model.fit(sentences(), validation=held or rows(10, seed=1), **settings)
    return model, run


def test_a_head_completes_its_target_description_by_validation_rows():
    model, _ = fitted()
    held = rows(10, seed=1)
    sure = [max(row.values()) for row in model.predict_proba(held, quiet=True)]
    assert model.fitted.target.floor == pytest.approx(np.average(sure, weights=held["amount"]), abs=1e-6)


def test_the_tuned_head_is_evaluated():
    model, run = fitted()
    assert dict(run.metrics) == dict(model.evaluate(rows(10, seed=1), quiet=True))
    settled = model.predict(rows(10, seed=1), quiet=True)
    likeliest = [max(row, key=row.get) for row in model.predict_proba(rows(10, seed=1), quiet=True)]
    assert settled != likeliest  # the floor turns some answers


def test_tuning_leaves_the_weights_of_a_head_that_does_not_tune():
    model, _ = fitted()
    plain = tg.compose(words(), "classification", Planned(training_stage("block-1")))
    plain.fit(
        sentences(), validation=rows(10, seed=1), inputs="text", target="label", training={"batch_size": 8}, quiet=True
    )
    assert_same_bits(weights(model), weights(plain))


def test_without_validation_rows_nothing_is_trained():
    with pytest.raises(ValidationRequired) as caught:
        composed().fit(sentences(), target="label", quiet=True)
    assert str(caught.value) == (
        "'Cautious' tunes a floor on validation rows after training, but there are no validation rows. "
        "Give data.validation or data.split."
    )


def refuse(backbone, step):
    raise AssertionError("something was trained")


def test_a_column_that_the_head_tunes_on_must_be_there():
    with pytest.raises(MissingColumn) as caught:
        fitted(sentences(10, seed=1) | {"amounts": [1.0] * 10}, refuse)
    assert str(caught.value) == (
        "the validation data has no column 'amount'. Did you mean 'amounts'? Columns: text, label, amounts."
    )


def test_a_row_that_the_head_cannot_tune_on_is_reported_before_training():
    with pytest.raises(InvalidRows) as caught:
        fitted(rows(4, amount=[1.0, 0.0, 2.0, -3.0]), refuse)
    assert str(caught.value) == (
        "the validation data, row 1: the amount is 0.0.\n"
        "the validation data, row 3: the amount is -3.0.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_a_row_that_the_head_cannot_tune_on_may_be_skipped():
    model, run = fitted(rows(10, seed=1, amount=[1.0] * 9 + [0.0]), on_bad_row="skip")
    kept = {name: values[:9] for name, values in rows(10, seed=1).items()}
    sure = [max(row.values()) for row in model.predict_proba(kept, quiet=True)]
    assert run.metrics.rows == 9
    assert model.fitted.target.floor == pytest.approx(np.mean(sure), abs=1e-6)


def test_what_was_tuned_is_saved_and_loaded(tmp_path):
    model, _ = fitted()
    path = model.save(tmp_path / "artifact")
    again = tg.load(path, backbone=words(), head=Cautious(), strategy=model.composition.strategy.value)
    assert again.fitted.target == model.fitted.target
    assert json.loads((path / "taskgraft.json").read_text())["target"]["floor"] == model.fitted.target.floor
    assert again.predict(rows(), quiet=True) == model.predict(rows(), quiet=True)


class Stop(Exception):
    pass


def test_a_resumed_run_tunes_as_one_that_was_not_interrupted(tmp_path):
    def stop(backbone, step):
        if step == 5:
            raise Stop

    with pytest.raises(Stop):
        fitted(on_step_end=stop, run=tmp_path / "run", resume=True)
    resumed, _ = fitted(run=tmp_path / "run", resume=True)
    whole, _ = fitted()
    assert resumed.fitted.target == whole.fitted.target
    assert_same_bits(weights(resumed), weights(whole))


RECIPE = """
backbone = "small-words"
head = "cautious"
strategy = {name = "linear-probe", penalty = 1e-3}
data = {train = "train.jsonl", validation = "valid.jsonl", inputs = "text", target = "label"}
"""


def test_an_artifact_is_fitted_again_and_tunes_the_same(beside_others, tmp_path, monkeypatch):
    beside_others.plant(None, distribution="small", entry_points="main = small_plugin")
    beside_others.plant(PLUGIN)
    monkeypatch.chdir(tmp_path)
    for name, table in (("train", rows()), ("valid", rows(10, seed=1))):
        lines = [json.dumps(dict(zip(table, values, strict=True))) for values in zip(*table.values(), strict=True)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    assert typed("fit", "recipe.toml", "-o", "first", "--quiet").err == ""
    assert typed("fit", "first", "-o", "second", "--quiet").err == ""
    first, second = (json.loads((tmp_path / name / "taskgraft.json").read_text()) for name in ("first", "second"))
    assert first["target"]["floor"] > 0
    assert second["target"] == first["target"]


def test_show_names_what_a_head_tunes(beside_others):
    beside_others.plant(PLUGIN)
    assert "Tunes a floor on validation rows and their amount.\n" in typed("show", "cautious").out
    about = json.loads(typed("show", "cautious", "--json").out)["x-taskgraft"]["description"]
    assert (about["settles"], about["columns"]) == ("a floor", ["amount"])
