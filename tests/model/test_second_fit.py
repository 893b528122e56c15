"""A second fit that fails leaves the fitted model as it was, bit for bit."""

import pytest
import torch
from small_tasks import PARTS, Planned, assert_same_bits, classification, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import Insertion
from taskgraft.contract.rows import InvalidRows, MissingColumn
from taskgraft.preparation.errors import ValidationRequired

TEXTS = ["where is my card", "why so slow", "rain"]


class Scaled(torch.nn.Module):
    """Scales the output of the layer it wraps."""

    def __init__(self, wrapped):
        super().__init__()
        self.wrapped, self.factor = wrapped, torch.nn.Parameter(torch.ones(()))

    def forward(self, value):
        return self.wrapped(value) * self.factor


def merged(scaled):
    """Multiply the weights of the wrapped layer."""
    with torch.no_grad():
        for parameter in scaled.wrapped.parameters():
            parameter *= scaled.factor
    return scaled.wrapped


INSERTIONS = (Insertion("scale", PARTS[1:], frozenset({LayerRole.QUERY}), Scaled, 1e-2, merged),)


class Stops(Exception):
    """The failure of a later fit."""


class Failing:
    """Fails at a step of the second fit, after steps that changed weights."""

    def __init__(self):
        self.armed = False

    def __call__(self, backbone, step):
        if self.armed and step == 3:
            raise Stops


def fit(model, rows=None, **options):
    return model.fit(rows or sentences(), target="label", quiet=True, **options)


def fitted(stage_of=training_stage, **settings):
    failing = Failing()
    model = tg.compose(words(), classification(), Planned(stage_of(on_step_end=failing, **settings)))
    fit(model)
    failing.armed = True
    return model


def state_of(model):
    return model.predict_proba(TEXTS, quiet=True), weights(model), model.recipe, model.composition


def assert_unchanged(model, before):
    probabilities, tensors, recipe, composition = before
    assert_same_bits(weights(model), tensors)
    assert model.predict_proba(TEXTS, quiet=True) == probabilities
    assert (model.recipe, model.composition) == (recipe, composition)


@pytest.mark.parametrize("parts", [(), PARTS[2:], PARTS])
def test_a_fit_that_stops_in_the_middle_leaves_the_fitted_model(parts):
    model = fitted(lambda **settings: training_stage(*parts, **settings))
    before = state_of(model)
    with pytest.raises(Stops):
        fit(model, sentences(40, seed=5))
    assert_unchanged(model, before)


def test_inserted_modules_are_put_back():
    model = fitted(lambda **settings: training_stage(insertions=INSERTIONS, **settings))
    before = state_of(model)
    assert any("wrapped" in name for name in before[1])
    with pytest.raises(Stops):
        fit(model, sentences(40, seed=5))
    assert_unchanged(model, before)


def test_a_merged_model_is_left_as_it_was():
    model = fitted(lambda **settings: training_stage(insertions=INSERTIONS, **settings))
    model.merge()
    before = state_of(model)
    with pytest.raises(Stops):
        fit(model, sentences(40, seed=5))
    assert_unchanged(model, before)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rows": {"text": ["a", "b"], "label": ["x", None]}}, InvalidRows),
        ({"rows": {"text": ["a", "b"], "labels": ["x", "y"]}}, MissingColumn),
        ({"training": {"patience": 2}}, ValidationRequired),
    ],
)
def test_rows_or_settings_that_are_refused_leave_the_fitted_model(options, error):
    model = fitted()
    before = state_of(model)
    with pytest.raises(error):
        fit(model, **options)
    assert_unchanged(model, before)


def test_a_named_backbone_is_left_as_well(small_plugin_installed):
    model = tg.compose("small-words", "classification", "adapters")
    fit(model)
    before = state_of(model)
    with pytest.raises(InvalidRows):
        fit(model, {"text": ["a", ""], "label": ["x", "y"]})
    assert_unchanged(model, before)


def test_a_failure_after_training_leaves_nothing_inserted(monkeypatch):
    def fails(*arguments):
        raise Stops

    backbone = words()
    keys = list(backbone.state_dict())
    model = tg.compose(backbone, classification(), Planned(training_stage(insertions=INSERTIONS)))
    monkeypatch.setattr("taskgraft.training.fit._fit_baselines", fails)
    with pytest.raises(Stops):
        fit(model)
    assert list(backbone.state_dict()) == keys
    assert model.fitted is None


def test_after_a_failure_a_fit_starts_over():
    model = fitted(lambda **settings: training_stage(insertions=INSERTIONS, **settings))
    with pytest.raises(Stops):
        fit(model, sentences(40, seed=5))
    model.composition.strategy.value.stages[0].on_step_end.armed = False
    fit(model)
    assert isinstance(model.fitted.task.backbone.blocks[0].query.wrapped, torch.nn.Linear)
