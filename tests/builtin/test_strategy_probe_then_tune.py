import pytest
from small_tasks import (
    PARTS,
    assert_same_bits,
    changed,
    classification,
    copied,
    sentences,
    trained,
    weights,
    words,
)

import taskgraft as tg
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.contract.strategy import StrategyNotApplicable

TRAINING = {"batch_size": 8, "epochs": 2}
PROBE = Stage("probe", head_learning_rate=3e-3, solve=HeadSolver.CONVEX, cache_features=True)


def fit(strategy, backbone=None):
    backbone = backbone or words()
    model = tg.compose(backbone, classification(), strategy)
    return model, model.fit(sentences(), target="label", training=TRAINING, quiet=True)


def test_the_head_is_solved_for_and_then_everything_is_trained():
    backbone = words()
    before = copied(backbone)
    model, run = fit("probe-then-tune", backbone)
    assert [(stage.solve, stage.unfreeze[0].parts if stage.unfreeze else ()) for stage in model.composition.plan] == [
        (HeadSolver.CONVEX, ()),
        (HeadSolver.DESCENT, PARTS),
    ]
    assert [stage.name for stage in run.stages] == ["linear-probe", "tune"]
    assert changed(backbone, before) == {name for name in before if name != "frequencies"}


def test_fine_tuning_continues_from_the_fitted_head():
    still = {"name": "probe-then-tune", "learning_rate": 0.0, "head_learning_rate": 0.0, "penalty": None}
    assert_same_bits(weights(fit(still)[0]), weights(trained(words(), PROBE)))


def test_a_head_whose_loss_is_not_convex_is_fitted_by_gradient_descent():
    model = tg.compose(words(), {"name": "classification", "focal": 2.0}, "probe-then-tune")
    assert [stage.solve for stage in model.composition.plan] == [HeadSolver.DESCENT, HeadSolver.DESCENT]


def test_only_the_last_parts_can_be_trained_on_cached_features():
    model, run = fit("probe-then-tune:1")
    assert model.composition.plan[1].unfreeze[0].parts == ("block-1",)
    assert run.stages[1].stored_at == 2


def test_the_penalty_of_the_probe_can_be_set():
    assert fit("probe-then-tune")[1].stages[0].penalty == 1e-4
    assert fit({"name": "probe-then-tune", "penalty": 0.25})[1].stages[0].penalty == 0.25


def test_more_parts_than_exist_are_rejected():
    with pytest.raises(StrategyNotApplicable) as caught:
        tg.compose(words(), classification(), "probe-then-tune:9")
    assert str(caught.value) == (
        "'probe-then-tune' has learn = 9, but the backbone has only 3 parts: embedding, block-0, block-1. "
        "Choose learn = 3 or less."
    )
