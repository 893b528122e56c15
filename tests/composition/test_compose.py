import pytest
from backbones import PAIRS, TABLE, WORDS
from small_tasks import Planned, classification, pictures, training_stage, words

import taskgraft as tg
from taskgraft.composition.compose import compose_components
from taskgraft.composition.resolve import CompositionError, GivenObject, ResolvedComponent
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.plan import HeadSolver
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.discovery.catalog import UnknownComponent, catalog
from taskgraft.discovery.names import InvalidName

LAST = "linear-probe"


def settings_problem(backbone=None, head="classification", strategy=LAST) -> str:
    with pytest.raises(ConfigError) as caught:
        tg.compose(backbone or words(), head, strategy)
    return str(caught.value)


# --- components that fit


def test_names_and_objects_may_be_mixed():
    composition = compose_components(catalog(), words(), "classification", Planned(training_stage("block-1")))
    assert isinstance(composition.backbone, GivenObject)
    assert isinstance(composition.head, ResolvedComponent)
    assert composition.layout == Layout.VECTOR
    assert [stage.name for stage in composition.plan] == ["first"]


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


def test_a_name_may_include_its_distribution():
    assert (
        tg.compose(words(), "taskgraft/classification", "taskgraft/partial:1").composition.strategy.label == "partial:1"
    )


def test_an_object_is_recorded_by_its_class():
    recipe = tg.compose(words(), classification(), Planned(training_stage("block-1"))).recipe
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


# --- errors


def test_a_head_that_reads_no_layout_of_the_backbone_is_rejected():
    with pytest.raises(CompositionError) as caught:
        tg.compose(pictures(), "element-classification", LAST)
    assert str(caught.value) == (
        "'element-classification' reads sequence features, but 'Pictures' emits vector and grid and pyramid.\n"
        "Choose a head that reads one of those (classification, fraud, multi-label, regression, segmentation), "
        "or a backbone that emits sequence."
    )


def test_a_mismatch_names_the_backbone_by_its_name(small_plugin_installed):
    with pytest.raises(CompositionError) as caught:
        tg.compose("small-table", "element-classification", LAST)
    assert str(caught.value) == (
        "'element-classification' reads sequence features, but 'small-table' emits vector.\n"
        "Choose a head that reads that (classification, fraud, multi-label, regression), or a backbone that emits sequence."
    )


def test_a_strategy_that_does_not_apply_to_the_backbone_is_rejected():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), "classification", "partial:9")
    assert str(caught.value) == (
        "'partial' has learn = 9, but the backbone has only 3 parts: embedding, block-0, block-1. "
        "Choose learn = 3 or less."
    )


def test_an_unknown_setting_is_rejected_with_the_closest_match():
    assert settings_problem(head={"name": "classification", "label_smooting": 0.1}) == (
        "head 'classification': there is no setting 'label_smooting'. Did you mean 'label_smoothing'? "
        "Settings: class_weights, label_smoothing, focal."
    )


def test_a_required_setting_is_named():
    assert settings_problem(strategy="partial") == (
        "strategy 'partial': the setting 'learn' has no default, so set it "
        "(number of parts that are trained, counted from the output)."
    )


def test_a_setting_out_of_range_is_rejected_with_its_value():
    assert settings_problem(strategy="partial:0") == (
        "strategy 'partial': the setting 'learn' is '0': input should be greater than or equal to 1."
    )


def test_an_argument_that_is_not_a_number_is_rejected():
    assert settings_problem(strategy="partial:two").startswith("strategy 'partial': the setting 'learn' is 'two': ")


def test_an_argument_for_a_head_without_one_is_rejected():
    assert settings_problem(head="classification:7") == (
        "head 'classification': it takes no argument after the colon, but was given '7'."
    )


def test_settings_without_a_name_are_rejected():
    assert settings_problem(head={"label_smoothing": 0.1}) == "head: the setting 'name' is missing."


def test_an_unknown_name_is_rejected_with_the_closest_match():
    with pytest.raises(UnknownComponent) as caught:
        tg.compose(words(), "clasification", LAST)
    assert str(caught.value).startswith("No head named 'clasification'. Did you mean 'classification' (from taskgraft ")


def test_a_text_outside_the_grammar_of_names_is_rejected():
    with pytest.raises(InvalidName):
        tg.compose(words(), "Classification!", LAST)


@pytest.mark.parametrize(
    ("axis", "value", "given"), [("backbone", 5, "5, of the type int"), ("head", None, "None, of the type NoneType")]
)
def test_a_reference_that_is_neither_name_nor_object_is_rejected(axis, value, given):
    chosen = {"backbone": words(), "head": "classification", "strategy": "full"} | {axis: value}
    with pytest.raises(CompositionError) as caught:
        tg.compose(**chosen)
    assert str(caught.value) == (
        f"The {axis} is {given}. Give a name, a dict with 'name' and settings, or an object of the class "
        f"taskgraft.{axis.capitalize()}."
    )
