"""Arguments that cannot be used, and texts and names that UTF-8 cannot hold: one sentence each."""

import numpy as np
import pytest

import taskgraft as tg

HALF = "b\udcff"
ROWS = [{"text": text, "label": label} for text, label in zip("abcdef" * 2, "xy" * 6, strict=True)]
ADVICE = "Correct the cell, the setting or the name of the column or file."

pytestmark = pytest.mark.usefixtures("small_plugin_installed")


def fitted(rows=ROWS, **given):
    model = tg.compose("small-words", "classification", {"name": "linear-probe", "penalty": 1e-3})
    model.fit(rows, **{"inputs": "text", "target": "label", "quiet": True} | given)
    return model


def test_rows_settings_and_columns_with_half_a_surrogate_pair_are_one_sentence(tmp_path):
    model = fitted()
    for predict in (
        lambda: model.predict(HALF, quiet=True),
        lambda: model.predict(["a", HALF], quiet=True),
        lambda: model.predict(np.array([HALF]), quiet=True),
        lambda: model.predict({"text": [HALF]}, quiet=True),
        lambda: model.predict([{"text": "a", HALF: "b"}], quiet=True),
        lambda: model.predict_to(ROWS, tmp_path / "p.csv", keep=[HALF], quiet=True),
        lambda: fitted([*ROWS, {"text": "a", "label": HALF}]),
    ):
        with pytest.raises(tg.TaskgraftError) as caught:
            predict()
        assert str(caught.value) == f"'b\\udcff' is not valid UTF-8: it has a lone surrogate. {ADVICE}"


def test_settings_with_half_a_surrogate_pair_are_refused_before_anything_is_read(tmp_path):
    for key, given in (
        ("inputs", {"inputs": HALF}),
        ("target", {"target": HALF}),
        ("missing", {"data": {"missing": HALF}}),
    ):
        with pytest.raises(tg.TaskgraftError) as caught:
            fitted(**given)
        assert str(caught.value).startswith(f"data: the setting '{key}")
        assert str(caught.value).endswith("input should be UTF-8 text.")


def test_a_path_that_no_recipe_can_hold_is_refused_before_training(tmp_path):
    path = tmp_path / f"{HALF}.csv"
    path.write_text("text,label\n" + "a,x\nb,y\n" * 6)
    with pytest.raises(tg.TaskgraftError) as caught:
        fitted(path)
    assert str(caught.value).startswith("data: the setting 'train' is ")
    assert str(caught.value).endswith("input should be UTF-8 text.")


def test_artifacts_data_and_output_may_have_names_of_any_bytes(tmp_path):
    folder = fitted().save(tmp_path / HALF)
    data = tmp_path / f"{HALF}.csv"
    data.write_text("text\na\nb\n")
    output = tmp_path / f"out{HALF}.jsonl"
    assert tg.load(folder).predict_to(data, output, quiet=True) == 2
    assert len(output.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": 5}, "data is 5, not a dict of settings, such as {'missing': ['NA']}."),
        (
            {"training": {"batch_size": 9_999_999_999}},
            "training: the setting 'batch_size' is 9999999999: input should be less than or equal to 1000000.",
        ),
        (
            {"training": {"memory": 2**60}},
            f"training: the setting 'memory' is {2**60}: input should be less than or equal to {2**50}.",
        ),
    ],
)
def test_absurd_settings_of_a_fit(given, message):
    with pytest.raises(tg.TaskgraftError) as caught:
        fitted(**given)
    assert str(caught.value) == message


def test_settings_of_a_prediction_that_are_no_dict():
    with pytest.raises(tg.TaskgraftError) as caught:
        fitted().predict(["a"], settings=5, quiet=True)
    assert str(caught.value) == "data: the settings are 5, not a dict."


def test_wrong_arguments_of_predict_to(tmp_path):
    model = fitted()
    for given, message in (
        ({"form": "xml"}, "form is 'xml'. Choose 'csv', 'jsonl'."),
        ({"top": -1}, "top is -1, not a number of classes."),
        ({"top": "all"}, "top is 'all', not a number of classes."),
        ({"keep": [5]}, "keep has 5, which is not a column name."),
        ({"output": 5}, "The output is 5, neither a path nor an open text stream."),
        ({"output": "\0.csv"}, "The predictions cannot be written to \\u0000.csv: its name has a null character."),
    ):
        with pytest.raises(tg.TaskgraftError) as caught:
            model.predict_to(**{"data": ROWS, "output": tmp_path / "p.csv", "quiet": True} | given)
        assert str(caught.value) == message
    assert model.predict_to(ROWS, tmp_path / "p.csv", keep="text", quiet=True) == len(ROWS)
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "text,prediction"
