import json
import shutil

import pytest
import torch
from commands import typed
from planting import OPENING
from small_tasks import (
    Planned,
    assert_same_bits,
    classification,
    fitted,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)
from torch import nn

import taskgraft as tg
from taskgraft.adaptation.guard import WeightGuardError
from taskgraft.builtin.strategies.fine_tuning import Full, FullConfig
from taskgraft.builtin.strategies.sequence import Stages
from taskgraft.contract.config import ConfigError
from taskgraft.contract.descriptions import LayerRole
from taskgraft.contract.plan import HeadSolver, Insertion, Stage
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.discovery.catalog import UnknownComponent
from taskgraft.storage.manifest import InvalidArtifact

PROBE = Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True)
TRAINING = {"batch_size": 8, "epochs": 1}
THREE = {
    "name": "stages",
    "strategies": [
        "linear-probe",
        {"name": "partial", "learn": 2, "epochs": 2, "patience": 1, "layer_decay": 0.5},
        {"name": "stages", "strategies": ["partial:1", "bitfit"]},
    ],
}
ACME = f"""{OPENING}
from typing import ClassVar

from taskgraft.plugin import StrategySpec
from taskgraft.builtin.strategies.fine_tuning import Full, FullConfig


class Trusting(Config):
    needs_consent: ClassVar = frozenset({{"remote_code"}})

    remote_code: bool = False


def build(config):
    return Full(FullConfig())


@hookimpl
def taskgraft_strategies():
    yield StrategySpec(name="trusting", summary="runs what it is given", config=Trusting, build=build)
"""


def composed(*strategies, **settings):
    return tg.compose(words(), classification(), {"name": "stages", "strategies": list(strategies), **settings})


def fit(model, **more):
    return model.fit(sentences(), target="label", training=TRAINING, quiet=True, **more)


class Scaled(nn.Module):
    """Scales the output of a layer, which may be wrapped already."""

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        self.wrapped = wrapped
        self.scale = nn.Parameter(torch.ones(16))

    def forward(self, value):
        return self.wrapped(value) * self.scale


INSERTION = Insertion("scale", ("block-0",), frozenset({LayerRole.QUERY}), Scaled, 1e-2)


def settings_problem(*strategies) -> str:
    with pytest.raises(ConfigError) as caught:
        composed(*strategies)
    return str(caught.value)


# --- plans and training


def test_strategies_run_in_sequence_with_their_own_settings():
    model = tg.compose(words(), classification(), THREE)
    assert [(stage.name, stage.epochs, stage.patience, stage.layer_decay) for stage in model.composition.plan] == [
        ("1-linear-probe", None, None, None),
        ("2-partial", 2, 1, 0.5),
        ("3-1-partial", None, None, None),
        ("4-2-bitfit", None, None, None),
    ]
    run = fit(model, validation=sentences(10, seed=1))
    assert [len(stage.losses) for stage in run.stages] == [1, 2, 1, 1]
    assert [stage.stored_at for stage in run.stages] == [None, 1, 2, None]


def test_overrides_of_all_apply_where_a_strategy_sets_none():
    plan = composed("partial:1", {"name": "full", "epochs": 4}, epochs=2, layer_decay=0.5).composition.plan
    assert [(stage.epochs, stage.layer_decay) for stage in plan] == [(2, 0.5), (4, 0.5)]


def test_strategy_objects_run_in_sequence():
    _, run = fitted(words(), *Stages((Planned(PROBE), Full(FullConfig()))).plan(words().description, HEAD))
    assert [stage.name for stage in run.stages] == ["1-probe", "2-full"]


HEAD = classification().description


def test_a_stage_starts_where_the_previous_one_ended():
    still = training_stage("block-1", rate=0.0, head_learning_rate=0.0, name="still")
    assert_same_bits(weights(trained(words(), PROBE, still)), weights(trained(words(), PROBE)))


def test_a_probe_after_another_stage_gives_the_same_head_as_alone():
    """The penalty of the solver does not depend on the feature scale that gradient descent has set."""
    after = trained(words(), training_stage(name="head alone"), PROBE)
    assert_same_bits(weights(after), weights(trained(words(), PROBE)))


def test_insertions_of_the_same_name_coexist():
    adapting = Planned(training_stage(insertions=(INSERTION,)))
    model = tg.compose(words(), classification(), Stages((adapting, adapting, Planned(training_stage("block-1")))))
    assert [one.name for stage in model.composition.plan for one in stage.insertions] == ["scale", "scale-2"]
    fit(model)
    names = {one.insertion.name for one in model.fitted.inserted}
    assert names == {"scale", "scale-2"}
    learned = {name for name in model.fitted.trained if ":" in name}
    assert learned == {"blocks.0.query:scale.scale", "blocks.0.query:scale-2.scale"}


def test_insertions_of_several_stages_are_saved_and_loaded(tmp_path, small_plugin_installed):
    adapting = Planned(training_stage(insertions=(INSERTION,)))
    strategy = Stages((adapting, Planned(PROBE), adapting))
    model = tg.compose("small-words", classification(), strategy)
    fit(model)
    again = tg.load(model.save(tmp_path / "artifact"), head=classification(), strategy=strategy)
    assert_same_bits(weights(model), weights(again))


def test_a_stage_that_changes_weights_of_an_earlier_one_is_caught():
    def nudge(backbone, step):
        backbone.blocks[0].query.weight.data.add_(0.1)

    plan = Stages(
        (Planned(training_stage("block-0", "block-1")), Planned(training_stage("block-1", on_step_end=nudge)))
    )
    with pytest.raises(WeightGuardError) as caught:
        fit(tg.compose(words(), classification(), plan))
    assert (caught.value.stage, caught.value.faults) == (
        "2-first",
        ("the tensor blocks.0.query.weight is frozen, but changed",),
    )


# --- recipes, artifacts, runs


def test_a_recipe_contains_each_strategy_with_its_distribution_and_all_settings():
    settings = tg.compose(words(), classification(), THREE).recipe.strategy.settings
    first, second, third = settings["strategies"]
    assert (first["name"], first["settings"]) == (
        "taskgraft/linear-probe",
        {"penalty": None, "head_learning_rate": 3e-3},
    )
    assert (second["name"], second["settings"]["layer_decay"]) == ("taskgraft/partial", 0.5)
    assert [one["name"] for one in third["settings"]["strategies"]] == ["taskgraft/partial", "taskgraft/bitfit"]


def test_the_distributions_of_nested_strategies_are_sources(beside_others):
    beside_others.plant(ACME, distribution="acme-trusting")
    model = composed("full", {"name": "stages", "strategies": ["trusting"]})
    assert [source.distribution for source in model.composition.sources()] == ["taskgraft", "acme-trusting"]


def test_an_artifact_is_loaded_with_the_same_bits_and_stages(tmp_path, small_plugin_installed):
    model = tg.compose("small-words", "classification", THREE)
    fit(model, validation=sentences(10, seed=1))
    again = tg.load(model.save(tmp_path / "artifact"))
    assert_same_bits(weights(model), weights(again))
    assert again.predict(sentences()["text"], quiet=True) == model.predict(sentences()["text"], quiet=True)
    assert again.composition.plan == model.composition.plan
    assert again.recipe.strategy == model.recipe.strategy


def test_an_artifact_that_switches_on_a_setting_that_needs_consent_is_rejected_at_any_depth(
    tmp_path, beside_others, small_plugin_installed
):
    beside_others.plant(ACME)
    trusting = {"name": "trusting", "remote_code": True}
    model = tg.compose(
        "small-words",
        "classification",
        {"name": "stages", "strategies": [{"name": "stages", "strategies": [trusting]}]},
    )
    fit(model)
    path = model.save(tmp_path / "artifact")
    with pytest.raises(InvalidArtifact) as caught:
        tg.load(path)
    assert str(caught.value) == (
        f"The artifact {path} cannot be used: it asks for 'remote_code', which only you can grant: "
        'pass strategy={"name": "trusting", "remote_code": True, …} if you trust it.'
    )
    (tmp_path / "train.csv").write_text("text,label\na b,x\n")
    done = typed("fit", str(path), "-q", "--set", f"data.train={tmp_path / 'train.csv'}")
    assert (done.code, done.err.strip()) == (2, f"Error: {caught.value}")


class Stop(Exception):
    pass


@pytest.mark.parametrize("step", [1, 4, 5])
@pytest.mark.slow
def test_a_run_interrupted_in_its_last_stage_ends_with_the_same_bits(tmp_path, step):
    def stages(stops):
        def on_step_end(backbone, now):
            if stops and now == step:
                raise Stop

        last = training_stage("block-1", epochs=2, insertions=(INSERTION,), on_step_end=on_step_end)
        return Stages((Planned(PROBE), Planned(training_stage("block-0", insertions=(INSERTION,))), Planned(last)))

    whole = tg.compose(words(), classification(), stages(False))
    fit(whole)
    with pytest.raises(Stop):
        fit(tg.compose(words(), classification(), stages(True)), run=tmp_path / "run")
    again = tg.compose(words(), classification(), stages(False))
    report = fit(again, run=tmp_path / "run", resume=True)
    assert_same_bits(weights(whole), weights(again))
    assert [stage.name for stage in report.stages] == ["1-probe", "2-first", "3-first"]


def test_a_recipe_file_lists_strategies(tmp_path, monkeypatch, small_plugin_installed):
    monkeypatch.chdir(tmp_path)
    rows = sentences()
    (tmp_path / "train.jsonl").write_text(
        "".join(json.dumps(dict(zip(rows, row, strict=True))) + "\n" for row in zip(*rows.values(), strict=True))
    )
    (tmp_path / "two.toml").write_text(
        'backbone = "small-words"\nhead = "classification"\n\n[strategy]\nname = "stages"\n'
        'strategies = ["linear-probe", {name = "partial", learn = 1, epochs = 2}]\n\n'
        '[data]\ntrain = "train.jsonl"\ninputs = "text"\ntarget = "label"\n'
    )
    done = typed("fit", "two.toml", "-q", "--json")
    assert (done.code, done.err) == (0, "")
    assert [stage.name for stage in tg.load("two").composition.plan] == ["1-linear-probe", "2-partial"]
    shutil.rmtree("two")
    wrong = typed("fit", "two.toml", "-q", "--set", 'strategy.strategies=["linear-prob"]')
    assert wrong.code == 2
    assert wrong.err.startswith("Error: No strategy named 'linear-prob'. Did you mean 'linear-probe' (from taskgraft ")


def test_it_is_shown_with_its_nested_strategies(garden):
    (line,) = [line for line in typed("show", "stages").out.splitlines() if line.startswith("strategies ")]
    assert line.split()[1:7] == ["list", "of", "text", "or", "table", "(required)"]
    assert '"anyOf"' in typed("show", "stages", "--json").out


# --- errors


def test_an_empty_list_of_strategies_is_rejected():
    assert settings_problem() == ("strategy 'stages': the setting 'strategies' is []: name one or more strategies.")
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), Stages(()))
    assert str(caught.value) == "'stages' contains no strategy. Give one or more."


def test_an_unknown_nested_name_is_rejected():
    with pytest.raises(UnknownComponent) as caught:
        composed("full", "partal:1")
    assert str(caught.value).startswith("No strategy named 'partal'. Did you mean 'partial' (from taskgraft ")


def test_invalid_nested_settings_are_rejected():
    assert settings_problem("partial") == (
        "strategy 'partial': the setting 'learn' has no default, so set it "
        "(number of parts that are trained, counted from the output)."
    )
    assert settings_problem({"learn": 2}) == "strategy: the setting 'name' is missing."
    assert settings_problem({"name": "full", "epochs": 0}) == (
        "strategy 'full': the setting 'epochs' is 0: input should be greater than or equal to 1."
    )


def test_a_nested_component_of_another_kind_is_rejected():
    assert settings_problem(5) == ("strategy 'stages': the setting 'strategies.0' is 5: input should be a dict.")
    with pytest.raises(ConfigError) as caught:
        tg.compose(words(), classification(), {"name": "stages", "strategies": "full"})
    assert str(caught.value) == "strategy 'stages': the setting 'strategies' is 'full': input should be a list."


def test_a_nested_strategy_that_does_not_apply_is_rejected():
    with pytest.raises(StrategyNotApplicable) as caught:
        composed("full", "partial:9")
    assert str(caught.value).startswith("'partial' has learn = 9, but the backbone has only 3 parts: ")
