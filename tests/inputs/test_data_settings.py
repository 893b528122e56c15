import pytest

from taskgraft.contract.config import ConfigError
from taskgraft.inputs.data_settings import change_data_settings
from taskgraft.recipe import DataConfig, Recipe

DATA = DataConfig(train="train.csv", inputs={"first": "a", "second": "b"}, target=("label",), missing=("NA",))
RECIPE = Recipe(backbone="words", head="classification", strategy="full", data=DATA)


def changed(**settings):
    return change_data_settings(RECIPE, settings, "a prediction").data


@pytest.mark.parametrize(
    ("inputs", "columns"),
    [
        (["x", "y"], {"first": "x", "second": "y"}),
        ({"second": "y"}, {"first": "a", "second": "y"}),
        ({"first": "b", "second": "a"}, {"first": "b", "second": "a"}),
    ],
)
def test_inputs_have_other_columns(inputs, columns):
    assert changed(inputs=inputs).columns == columns


def test_other_settings_are_replaced_and_the_rest_stays():
    data = changed(missing="?", reader="lines", target="intent")
    assert (data.missing, data.reader.name, data.target, data.columns) == (("?",), "lines", ("intent",), DATA.inputs)
    assert change_data_settings(RECIPE, {}, "a prediction") is RECIPE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": "a.csv"}, "data: 'train' belongs to a fit, not to a prediction."),
        ({"split": "fraction:0.1"}, "data: 'split' belongs to a fit, not to a prediction."),
        ({"inputs": "x"}, "data: inputs: 1 columns for the inputs first, second."),
        ({"inputs": {"third": "x"}}, "data: inputs: the model has no input 'third'. Inputs: first, second."),
        ({"target": ["a", "b"]}, "data: 'target' names 2 columns, but the model predicts 1."),
    ],
)
def test_what_does_not_fit_the_model_is_rejected(settings, message):
    with pytest.raises(ConfigError) as caught:
        changed(**settings)
    assert str(caught.value) == message


def test_an_unknown_setting_is_rejected():
    with pytest.raises(ConfigError, match=r"there is no setting 'mising'\. Did you mean 'missing'"):
        changed(mising="?")
