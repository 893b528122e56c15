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
    learns,
    sentences,
    weights,
    words,
)

import taskgraft as tg
from taskgraft.adaptation.trainable import resolve_trainable
from taskgraft.composition.strategy_overrides import OverriddenStrategy, StrategyOverrides, config_with_overrides
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import Insertion, Stage, Unfreeze
from taskgraft.contract.recipe import TrainingConfig
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.training.fit import NoValidation
from taskgraft.training.train_step import parameter_groups

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
    yield StrategySpec(name="acme", summary="a stranger's", config=Own, build=Acme)
"""


def rates(stage, backbone=None, inserted=()):
    """The rate of each tensor that learns in a stage, as the optimizer gets it."""
    model = fitted(words(), learns())[0].fitted.task
    backbone = backbone or words()
    learning = resolve_trainable(stage, backbone, model.layout, model.head, inserted)
    names = {id(tensor): name for name, tensor in learning.tensors().items()}
    groups = parameter_groups(learning, TrainingConfig())
    return {names[id(tensor)]: group["lr"] for group in groups for tensor in group["params"]}


def refusal(strategy) -> str:
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), "classification", strategy)
    return str(caught.value)


def settings_problem(strategy) -> str:
    with pytest.raises(ConfigError) as caught:
        tg.compose(words(), "classification", strategy)
    return str(caught.value)


# --- rates that fall


def test_each_part_learns_slower_than_the_one_after_it():
    found = rates(Stage("falling", (Unfreeze(PARTS, 1.0),), layer_decay=0.5, head_learning_rate=0.1))
    assert found["embedding.weight"] == 0.25
    assert found["blocks.0.query.weight"] == found["blocks.0.query.bias"] == 0.5
    assert found["blocks.1.query.weight"] == found["norm.weight"] == 1.0
    assert found["head.readout.weight"] == 0.1


def test_the_last_part_learns_at_the_rate_stated_whichever_parts_learn():
    found = rates(Stage("falling", (Unfreeze(("block-0",), 1.0),), layer_decay=0.5))
    assert set(found.values()) == {0.5}


def test_what_is_inserted_learns_at_the_rate_of_its_part():
    from taskgraft.adaptation.insertion import insert_modules

    backbone = words()
    insertion = Insertion("low-rank", PARTS, frozenset({LayerRole.QUERY}), Bottleneck, 1.0)
    stage = Stage("falling", insertions=(insertion,), layer_decay=0.5)
    found = rates(stage, backbone, insert_modules(backbone, stage.insertions))
    assert found["blocks.0.query:low-rank.up.weight"] == 0.5
    assert found["blocks.1.query:low-rank.up.weight"] == 1.0


def test_a_choice_that_fits_nothing_in_some_part_still_takes_rates_that_fall():
    found = rates(Stage("falling", (Unfreeze(PARTS, 1.0, roles=frozenset({LayerRole.QUERY})),), layer_decay=0.5))
    assert set(found.values()) == {0.5, 1.0}


def test_a_lower_part_moves_less():
    moved = {}
    for decay in (None, 0.01):
        model = fitted(words(), learns(*PARTS, rate=1e-3, layer_decay=decay))[0]
        before, now = copied(words()), copied(model.fitted.task.backbone)
        moved[decay] = float((now["embedding.weight"] - before["embedding.weight"]).abs().max())
    assert 0 < moved[0.01] < 0.01 * moved[None]


def test_rates_too_small_to_move_a_low_part_are_no_fault_of_the_strategy():
    fitted(words(), learns(*PARTS, rate=1e-3, layer_decay=1e-9))


# --- what any strategy takes


@pytest.mark.parametrize("strategy", ["full", "partial:2", "bitfit", "probe-then-tune"])
def test_any_strategy_takes_rates_that_fall_and_epochs_and_patience(strategy):
    said = {"name": strategy, "layer_decay": 0.5, "epochs": 7, "patience": 2}
    model = tg.compose(words(), "classification", said)
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


def test_a_recipe_holds_nothing_of_it_where_nothing_was_said():
    settings = tg.compose(words(), "classification", "partial:2").recipe.strategy.settings
    assert set(settings) == {"learn", "learning_rate", "head_learning_rate"}


def test_a_strangers_strategy_takes_it_without_knowing_and_keeps_settings_of_its_own(beside_others):
    beside_others.plant(THIRD_PARTY)
    model = tg.compose(words(), "classification", {"name": "acme", "layer_decay": 0.5, "epochs": 3})
    (stage,) = model.composition.plan
    assert (stage.layer_decay, stage.epochs) == (0.5, 3)
    assert model.recipe.strategy.settings == {"epochs": 3, "layer_decay": 0.5}


def test_an_object_takes_it_too():
    strategy = OverriddenStrategy(Planned(learns("block-1", epochs=None)), StrategyOverrides(epochs=5, layer_decay=0.9))
    (stage,) = tg.compose(words(), classification(), strategy).composition.plan
    assert (stage.epochs, stage.layer_decay) == (5, 0.9)


def test_what_a_stage_says_itself_stays():
    stages = (learns("block-1", epochs=1, name="own"), learns("block-1", epochs=None, name="none"))
    plan = OverriddenStrategy(Planned(*stages), StrategyOverrides(epochs=5)).plan(
        WORDS.build().description, classification().description
    )
    assert [stage.epochs for stage in plan] == [1, 5]


def test_artifacts_with_it_are_loaded_with_the_same_bits(tmp_path, small_plugin_installed):
    model = tg.compose("small-words", "classification", {"name": "full", "layer_decay": 0.5, "epochs": 1})
    model.fit(sentences(), target="label", quiet=True)
    again = tg.load(model.save(tmp_path / "artifact"))
    assert again.recipe.strategy.settings["layer_decay"] == 0.5
    assert_same_bits(weights(model), weights(again))


def test_a_strategy_is_shown_with_what_any_takes(garden):
    names = [line.split()[0] for line in typed("show", "partial").out.splitlines() if line]
    assert names[-4:-1] == ["layer_decay", "epochs", "patience"]
    assert '"layer_decay"' in typed("show", "partial", "--json").out
    assert "epochs without" not in typed("show", "classification").out


def test_only_strategies_take_it():
    assert config_with_overrides(WORDS.spec) is WORDS.spec.config


# --- what is refused


def test_a_factor_out_of_range_is_refused():
    assert settings_problem({"name": "full", "layer_decay": 1.5}) == (
        "strategy 'full': the setting 'layer_decay' is 1.5: input should be less than or equal to 1."
    )
    assert settings_problem("layer-decay:0") == (
        "strategy 'layer-decay': the setting 'layer_decay' is '0': input should be greater than 0."
    )


def test_a_misspelt_setting_is_refused_with_the_nearest():
    assert settings_problem({"name": "full", "layer_decoy": 0.5}) == (
        "strategy 'full': there is no setting 'layer_decoy'. Did you mean 'layer_decay'? "
        "Settings: learning_rate, head_learning_rate, layer_decay, epochs, patience."
    )


def test_a_setting_that_would_change_nothing_is_refused():
    assert refusal({"name": "linear-probe", "layer_decay": 0.5}) == (
        "The setting layer_decay = 0.5 would change nothing: this strategy lets no part of the backbone learn, or says at "
        "which rates itself. Leave it out."
    )
    assert refusal({"name": "linear-probe", "epochs": 3}) == (
        "The setting epochs = 3 would change nothing: this strategy solves for the head, or says how many epochs itself. "
        "Leave it out."
    )
    assert refusal({"name": "linear-probe", "patience": 3}) == (
        "The setting patience = 3 would change nothing: this strategy solves for the head, or says itself when to stop. "
        "Leave it out."
    )


def test_patience_of_a_stage_without_validation_rows_is_refused():
    model = tg.compose(words(), "classification", {"name": "full", "patience": 2})
    with pytest.raises(NoValidation) as caught:
        model.fit(sentences(), target="label", quiet=True)
    assert str(caught.value) == (
        "Training is to stop after 2 epochs without a lower validation loss (the stage 'full'), but there are no validation "
        "rows. Give data.validation or data.split."
    )


def test_a_stage_stops_by_its_own_patience():
    stage = learns("block-1", rate=0.0, head_learning_rate=0.0, epochs=50, patience=1)
    _, run = fitted(words(), stage, validation=sentences(10, seed=1))
    assert len(run.stages[0].losses) == 2
