import pytest
from backbones import PAIRS, TABLE, WORDS
from small_tasks import Planned, classification, learns, pictures, words

import taskgraft as tg
from taskgraft.composition.compose import (
    GivenObject,
    InvalidReference,
    LayoutMismatch,
    ResolvedComponent,
    compose_components,
)
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.plan import HeadSolver
from taskgraft.contract.recipe import ComponentRef
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.discovery.catalog import UnknownComponent, catalog
from taskgraft.discovery.names import InvalidName

LAST = "linear-probe"


def settings_problem(backbone=None, head="classification", strategy=LAST) -> str:
    with pytest.raises(ConfigError) as caught:
        tg.compose(backbone or words(), head, strategy)
    return str(caught.value)


# --- what fits


def test_names_and_objects_may_be_mixed():
    found = compose_components(catalog(), words(), "classification", Planned(learns("block-1")))
    assert isinstance(found.backbone, GivenObject)
    assert isinstance(found.head, ResolvedComponent)
    assert found.layout == Layout.VECTOR
    assert [stage.name for stage in found.plan] == ["first"]


def test_a_name_and_its_settings_may_be_one_dict():
    model = tg.compose(words(), {"name": "classification", "label_smoothing": 0.1}, {"name": "partial", "learn": 2})
    assert model.recipe.head == ComponentRef(
        name="taskgraft/classification", settings={"class_weights": "none", "label_smoothing": 0.1, "focal": 0.0}
    )
    assert model.recipe.strategy.settings["learn"] == 2


def test_an_argument_after_the_colon_is_a_setting():
    model = tg.compose(words(), "classification", "partial:2")
    assert model.recipe.strategy.settings["learn"] == 2
    assert model.composition.strategy.label == "partial:2"
    assert model.composition.plan[0].unfreeze[0].parts == ("block-0", "block-1")


def test_a_name_may_say_its_distribution():
    assert (
        tg.compose(words(), "taskgraft/classification", "taskgraft/partial:1").composition.strategy.label == "partial:1"
    )


def test_an_object_is_written_down_by_its_class():
    recipe = tg.compose(words(), classification(), Planned(learns("block-1"))).recipe
    assert recipe.backbone == ComponentRef(object="backbones.Words")
    assert recipe.head == ComponentRef(object="taskgraft.builtin.heads.classification.Classification")
    assert recipe.strategy == ComponentRef(object="small_tasks.Planned")


def test_a_named_backbone_is_composed_without_being_built(small_plugin_installed, monkeypatch):
    import backbones

    def built(config: object) -> None:
        raise AssertionError("a backbone was built")

    monkeypatch.setattr(backbones, "Words", built)
    model = tg.compose({"name": "small-words", "blocks": 3}, "classification", "partial:1")
    assert model.composition.plan[0].unfreeze[0].parts == ("block-2",)
    assert [source.distribution for source in model.composition.sources()] == ["taskgraft-small", "taskgraft"]


@pytest.mark.parametrize(
    ("small", "head", "layout"),
    [
        (WORDS, "classification", Layout.VECTOR),
        (WORDS, "element-classification", Layout.SEQUENCE),
        (TABLE, "regression", Layout.VECTOR),
        (PAIRS, "multi-label", Layout.VECTOR),
    ],
    ids=str,
)
def test_the_layout_is_the_first_that_the_head_reads_and_the_backbone_emits(small, head, layout):
    assert compose_components(catalog(), small.build(), head, LAST).layout == layout


def test_a_head_with_a_convex_loss_is_solved_for():
    assert tg.compose(words(), "classification", "linear-probe").composition.plan[0].solve == HeadSolver.CONVEX


def test_full_trains_every_part():
    (stage,) = tg.compose(words(), "classification", "full").composition.plan
    assert stage.unfreeze[0].parts == ("embedding", "block-0", "block-1")


# --- what does not


def test_a_head_that_reads_nothing_the_backbone_emits_is_refused():
    with pytest.raises(LayoutMismatch) as caught:
        tg.compose(pictures(), "element-classification", LAST)
    assert str(caught.value) == (
        "'element-classification' reads sequence features, but 'Pictures' emits vector and grid and pyramid.\n"
        "Choose a head that reads one of those (classification, fraud, multi-label, regression, segmentation), "
        "or a backbone that emits sequence."
    )


def test_a_mismatch_names_backbones_as_they_were_named(small_plugin_installed):
    with pytest.raises(LayoutMismatch) as caught:
        tg.compose("small-table", "element-classification", LAST)
    assert str(caught.value) == (
        "'element-classification' reads sequence features, but 'small-table' emits vector.\n"
        "Choose a head that reads that (classification, fraud, multi-label, regression), or a backbone that emits sequence."
    )


def test_a_strategy_that_the_backbone_cannot_take_is_refused():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), "classification", "partial:9")
    assert str(caught.value) == (
        "'partial' is to train the last 9 parts, but the backbone has 3: embedding, block-0, block-1. "
        "Choose learn = 3 or less."
    )


def test_an_unknown_setting_is_refused_with_the_nearest():
    said = settings_problem(head={"name": "classification", "label_smooting": 0.1})
    assert said == (
        "head 'classification': there is no setting 'label_smooting'. Did you mean 'label_smoothing'? "
        "Settings: class_weights, label_smoothing, focal."
    )


def test_a_setting_that_must_be_decided_is_named():
    assert settings_problem(strategy="partial") == (
        "strategy 'partial': the setting 'learn' has no default, so decide it "
        "(how many parts learn, counted from the output)."
    )


def test_a_setting_out_of_range_is_refused_with_its_value():
    assert settings_problem(strategy="partial:0") == (
        "strategy 'partial': the setting 'learn' is '0': input should be greater than or equal to 1."
    )


def test_an_argument_that_is_no_number_is_refused():
    assert settings_problem(strategy="partial:two").startswith("strategy 'partial': the setting 'learn' is 'two': ")


def test_an_argument_for_what_takes_none_is_refused():
    assert settings_problem(head="classification:7") == (
        "head 'classification': it takes no argument after the colon, but was given '7'."
    )


def test_settings_without_a_name_are_refused():
    assert settings_problem(head={"label_smoothing": 0.1}) == "head: the setting 'name' is missing."


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownComponent) as caught:
        tg.compose(words(), "clasification", LAST)
    assert str(caught.value).startswith("No head named 'clasification'. Did you mean 'classification' (from taskgraft ")


def test_a_text_outside_the_grammar_of_names_is_refused():
    with pytest.raises(InvalidName):
        tg.compose(words(), "Classification!", LAST)


@pytest.mark.parametrize(
    ("axis", "value", "said"), [("backbone", 5, "5, of the type int"), ("head", None, "None, of the type NoneType")]
)
def test_what_is_neither_name_nor_object_is_refused(axis, value, said):
    chosen = {"backbone": words(), "head": "classification", "strategy": "full"} | {axis: value}
    with pytest.raises(InvalidReference) as caught:
        tg.compose(**chosen)
    assert str(caught.value) == (
        f"The {axis} is {said}. Give a name, a dict with 'name' and settings, or an object of the class "
        f"taskgraft.{axis.capitalize()}."
    )
