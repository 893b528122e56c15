import pytest
from backbones import WORDS
from commands import typed
from killed_runs import Bottleneck
from planting import OPENING
from small_tasks import (
    PARTS,
    Planned,
    assert_same_bits,
    classification,
    copied,
    fitted,
    sentences,
    training_stage,
    weights,
    words,
)

import taskgraft as tg
from taskgraft.adaptation.trainable import resolve_trainable
from taskgraft.composition.strategy_overrides import OverriddenStrategy, StrategyOverrides, config_with_overrides
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import Insertion, Stage, Unfreeze
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.optimization.optimizer import parameter_groups
from taskgraft.preparation.errors import ValidationRequired
from taskgraft.recipe import TrainingConfig

THIRD_PARTY = f"""{OPENING}
from taskgraft.plugin import Stage, Strategy, StrategySpec, Unfreeze


class Own(Config):
    epochs: int = 2


class Acme(Strategy):
    def __init__(self, config):
        assert type(config) is Own
        self.epochs = config.epochs

    def plan(self, backbone, head):
        every = tuple(part.name for part in backbone.parts)
        return (Stage("acme", (Unfreeze(every, 1e-2),), head_learning_rate=1e-2, epochs=self.epochs),)


@hookimpl
def taskgraft_strategies():
    yield StrategySpec(name="acme", summary="a third party's", config=Own, build=Acme)
"""


def rates(stage, backbone=None, inserted=()):
    """The learning rate of each trainable tensor of a stage, as passed to the optimizer."""
    model = fitted(words(), training_stage())[0].fitted.task
    backbone = backbone or words()
    trainable = resolve_trainable(stage, backbone, model.layout, model.head, inserted)
    names = {id(tensor): name for name, tensor in trainable.tensors().items()}
    groups = parameter_groups(trainable, TrainingConfig())
    return {names[id(tensor)]: group["lr"] for group in groups for tensor in group["params"]}


def error_of(strategy) -> str:
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), "classification", strategy)
    return str(caught.value)


def settings_problem(strategy) -> str:
    with pytest.raises(ConfigError) as caught:
        tg.compose(words(), "classification", strategy)
    return str(caught.value)


# --- layer decay


def test_each_part_has_a_lower_rate_than_the_one_after_it():
    found = rates(Stage("falling", (Unfreeze(PARTS, 1.0),), layer_decay=0.5, head_learning_rate=0.1))
    assert found["embedding.weight"] == 0.25
    assert found["blocks.0.query.weight"] == found["blocks.0.query.bias"] == 0.5
    assert found["blocks.1.query.weight"] == found["norm.weight"] == 1.0
    assert found["head.readout.weight"] == 0.1


def test_the_last_part_has_the_stated_rate_whichever_parts_are_trained():
    found = rates(Stage("falling", (Unfreeze(("block-0",), 1.0),), layer_decay=0.5))
    assert set(found.values()) == {0.5}


def test_an_insertion_has_the_rate_of_its_part():
    from taskgraft.adaptation.insertion import insert_modules

    backbone = words()
    insertion = Insertion("low-rank", PARTS, frozenset({LayerRole.QUERY}), Bottleneck, 1.0)
    stage = Stage("falling", insertions=(insertion,), layer_decay=0.5)
    found = rates(stage, backbone, insert_modules(backbone, stage.insertions))
    assert found["blocks.0.query:low-rank.up.weight"] == 0.5
    assert found["blocks.1.query:low-rank.up.weight"] == 1.0


def test_a_selection_that_matches_nothing_in_some_part_still_accepts_layer_decay():
    found = rates(Stage("falling", (Unfreeze(PARTS, 1.0, roles=frozenset({LayerRole.QUERY})),), layer_decay=0.5))
    assert set(found.values()) == {0.5, 1.0}


def test_a_lower_part_changes_less():
    moved = {}
    for decay in (None, 0.01):
        model = fitted(words(), training_stage(*PARTS, rate=1e-3, layer_decay=decay))[0]
        before, now = copied(words()), copied(model.fitted.task.backbone)
        moved[decay] = float((now["embedding.weight"] - before["embedding.weight"]).abs().max())
    assert 0 < moved[0.01] < 0.01 * moved[None]


@pytest.mark.slow
def test_rates_too_small_to_change_a_low_part_are_accepted():
    fitted(words(), training_stage(*PARTS, rate=1e-3, layer_decay=1e-9))


# --- overrides


@pytest.mark.parametrize("strategy", ["full", "partial:2", "bitfit", "probe-then-tune"])
def test_every_strategy_accepts_layer_decay_epochs_and_patience(strategy):
    settings = {"name": strategy, "layer_decay": 0.5, "epochs": 7, "patience": 2}
    model = tg.compose(words(), "classification", settings)
    stage = model.composition.plan[-1]
    assert (stage.layer_decay, stage.epochs, stage.patience) == (0.5, 7, 2)
    assert model.recipe.strategy.name == f"taskgraft/{strategy.partition(':')[0]}"
    assert {key: model.recipe.strategy.settings[key] for key in ("layer_decay", "epochs", "patience")} == {
        "layer_decay": 0.5,
        "epochs": 7,
        "patience": 2,
    }
    again = tg.compose(words(), "classification", model.recipe.strategy)
    assert again.recipe.strategy == model.recipe.strategy
    assert again.composition.plan == model.composition.plan


def test_a_recipe_without_overrides_contains_none():
    settings = tg.compose(words(), "classification", "partial:2").recipe.strategy.settings
    assert set(settings) == {"learn", "learning_rate", "head_learning_rate"}


def test_a_third_party_strategy_accepts_overrides_and_keeps_its_own_setting_of_the_same_name(beside_others):
    beside_others.plant(THIRD_PARTY)
    model = tg.compose(words(), "classification", {"name": "acme", "layer_decay": 0.5, "epochs": 3})
    (stage,) = model.composition.plan
    assert (stage.layer_decay, stage.epochs) == (0.5, 3)
    assert model.recipe.strategy.settings == {"epochs": 3, "layer_decay": 0.5}


def test_a_strategy_object_accepts_overrides():
    strategy = OverriddenStrategy(
        Planned(training_stage("block-1", epochs=None)), StrategyOverrides(epochs=5, layer_decay=0.9)
    )
    (stage,) = tg.compose(words(), classification(), strategy).composition.plan
    assert (stage.epochs, stage.layer_decay) == (5, 0.9)


def test_a_value_set_by_a_stage_is_not_replaced():
    stages = (training_stage("block-1", epochs=1, name="own"), training_stage("block-1", epochs=None, name="none"))
    plan = OverriddenStrategy(Planned(*stages), StrategyOverrides(epochs=5)).plan(
        WORDS.build().description, classification().description
    )
    assert [stage.epochs for stage in plan] == [1, 5]


def test_artifacts_with_overrides_are_loaded_with_the_same_bits(tmp_path, small_plugin_installed):
    model = tg.compose("small-words", "classification", {"name": "full", "layer_decay": 0.5, "epochs": 1})
    model.fit(sentences(), target="label", quiet=True)
    again = tg.load(model.save(tmp_path / "artifact"))
    assert again.recipe.strategy.settings["layer_decay"] == 0.5
    assert_same_bits(weights(model), weights(again))


def test_a_strategy_is_shown_with_the_overrides(garden):
    names = [line.split()[0] for line in typed("show", "partial").out.splitlines() if line]
    assert names[-4:-1] == ["layer_decay", "epochs", "patience"]
    assert '"layer_decay"' in typed("show", "partial", "--json").out
    assert "epochs without" not in typed("show", "classification").out


def test_only_strategies_accept_overrides():
    assert config_with_overrides(WORDS.spec) is WORDS.spec.config


# --- errors


def test_a_factor_out_of_range_is_rejected():
    assert settings_problem({"name": "full", "layer_decay": 1.5}) == (
        "strategy 'full': the setting 'layer_decay' is 1.5: input should be less than or equal to 1."
    )
    assert settings_problem("layer-decay:0") == (
        "strategy 'layer-decay': the setting 'layer_decay' is '0': input should be greater than 0."
    )


def test_a_misspelt_setting_is_rejected_with_the_closest_match():
    assert settings_problem({"name": "full", "layer_decoy": 0.5}) == (
        "strategy 'full': there is no setting 'layer_decoy'. Did you mean 'layer_decay'? "
        "Settings: learning_rate, head_learning_rate, layer_decay, epochs, patience."
    )


def test_a_setting_without_effect_is_rejected():
    assert error_of({"name": "linear-probe", "layer_decay": 0.5}) == (
        "The setting layer_decay = 0.5 would have no effect: this strategy trains no part of the backbone, or sets the rates "
        "itself. Leave it out."
    )
    assert error_of({"name": "linear-probe", "epochs": 3}) == (
        "The setting epochs = 3 would have no effect: this strategy solves for the head, or sets the number of epochs "
        "itself. Leave it out."
    )
    assert error_of({"name": "linear-probe", "patience": 3}) == (
        "The setting patience = 3 would have no effect: this strategy solves for the head, or sets its own early stopping. "
        "Leave it out."
    )


def test_patience_without_validation_rows_is_rejected():
    model = tg.compose(words(), "classification", {"name": "full", "patience": 2})
    with pytest.raises(ValidationRequired) as caught:
        model.fit(sentences(), target="label", quiet=True)
    assert str(caught.value) == (
        "The stage 'full' stops training after 2 epochs without a lower validation loss, but there are no validation rows. "
        "Give data.validation or data.split."
    )


def test_a_stage_stops_early_by_its_own_patience():
    stage = training_stage("block-1", rate=0.0, head_learning_rate=0.0, epochs=50, patience=1)
    _, run = fitted(words(), stage, validation=sentences(10, seed=1))
    assert len(run.stages[0].losses) == 2
