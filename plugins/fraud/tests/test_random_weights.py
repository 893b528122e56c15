"""A backbone with random weights, of which a strategy trains nothing."""

import pytest
from backbones import Table
from small_plugin import TableConfig

import taskgraft as tg

ROWS = {"amount": [float(row) for row in range(12)], "label": ["low"] * 6 + ["high"] * 6}
MLP = {"name": "mlp-plr", "feature_size": 8, "blocks": 1}
ADVICE = (
    "the head reads random features. Choose pretrained weights, or a strategy that trains the backbone, such as full."
)


def warnings(backbone, strategy):
    model = tg.compose(backbone, "classification", strategy)
    return [line for line in model.fit(ROWS, target="label", training={"epochs": 1}).warnings if "random" in line]


def test_a_linear_probe_over_random_weights_is_said_before_training(capsys):
    message = f"The backbone 'mlp-plr' has random weights, and 'linear-probe' trains none of them: {ADVICE}"
    assert warnings(MLP, "linear-probe") == [message]
    assert f"{message}\n" in capsys.readouterr().err


def test_inserted_modules_over_random_weights_are_said():
    assert warnings(MLP, "lora") == [
        f"The backbone 'mlp-plr' has random weights, and 'lora:8' trains only what it inserts: {ADVICE}"
    ]


@pytest.mark.parametrize("strategy", ["full", "partial:1", "probe-then-tune"])
def test_a_strategy_that_trains_the_backbone_is_not_mentioned(strategy):
    assert warnings(MLP, strategy) == []


def test_the_weights_of_an_object_are_its_owners_business():
    table = Table(TableConfig(columns=("amount",), means=(0.0,), scales=(1.0,)))
    assert warnings(table, "linear-probe") == []
