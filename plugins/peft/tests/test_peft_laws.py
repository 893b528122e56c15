"""The strategies obey the laws of the conformance kit on a real encoder."""

import components
import pytest

import taskgraft as tg
from taskgraft.plugin import StrategySpec
from taskgraft.testing import PluginLaws, StrategyLaws
from taskgraft_peft import plugin

pytestmark = pytest.mark.slow

SMALL = {"lora": {"rank": 2}, "dora": {"rank": 2}, "adalora": {"rank": 2}, "vera": {"rank": 4}}


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "taskgraft_peft.plugin"

    @pytest.fixture
    def configs(self):
        return {}


class TestStrategies(StrategyLaws):
    @pytest.fixture(params=["adalora", "vera", "prefix-tuning", "prompt-tuning"])
    def strategy(self, request):
        spec = next(spec for spec in plugin.taskgraft_strategies() if spec.name == request.param)
        return spec.build(spec.config(**SMALL.get(spec.name, {})))

    @pytest.fixture
    def backbone(self, base):
        reference, _ = base("bert")
        composition = tg.compose(reference, "classification", "linear-probe").composition
        return composition.backbone.spec.build(composition.backbone.config)

    @pytest.fixture
    def inputs(self):
        return {"text": ["lost my card", "parcel is late", "my card", "the parcel please"]}

    @pytest.fixture
    def head(self):
        return components.head("classification")

    @pytest.fixture
    def targets(self):
        return {"label": ["a", "b", "a", "b"]}


def test_every_spec_is_a_strategy_spec():
    assert all(isinstance(spec, StrategySpec) for spec in plugin.taskgraft_strategies())
