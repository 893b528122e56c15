"""The conformance kit over the protein plugin: tiny checkpoints of each family, and the plugin module itself."""

import pytest

from taskgraft.builtin.strategies.full import Full, FullConfig
from taskgraft.builtin.strategies.linear_probe import LinearProbe, LinearProbeConfig
from taskgraft.builtin.strategies.partial import Partial, PartialConfig
from taskgraft.testing import BackboneLaws, PluginLaws, StrategyLaws
from taskgraft_protein import plugin
from taskgraft_protein.backbone import ProteinBackbone
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig

SEQUENCES = ["MKTAYIAKQRQISFVK", "GAVLI", "MSTNPKPQRKTKRNTNRRPQDV", "WYFHC", "ACDUX"]

PROTEIN, NEW_ESM = plugin.taskgraft_backbones()


class ProteinLaws(BackboneLaws):
    settings: dict[str, object] = {}
    family = "esm2"

    @pytest.fixture
    def config(self, saved):
        return ProteinConfig(checkpoint=str(saved(self.family)), **self.settings)

    @pytest.fixture
    def backbone(self, config):
        return ProteinBackbone(config)

    @pytest.fixture
    def spec(self):
        return PROTEIN

    @pytest.fixture
    def inputs(self):
        return {"sequence": SEQUENCES}


class TestEsm2(ProteinLaws):
    pass


class TestEsm1b(ProteinLaws):
    family = "esm1b"


class TestProtbert(ProteinLaws):
    family = "protbert"


class TestPrott5(ProteinLaws):
    family = "prott5"


class TestAnkh(ProteinLaws):
    family = "ankh"


class TestUntil(ProteinLaws):
    settings = {"until": "block.1"}


class TestWindows(ProteinLaws):
    settings = {"long": "windows", "max_length": 7, "overlap": 3}


class TestWindowsOfT5(ProteinLaws):
    family = "prott5"
    settings = {"long": "windows", "max_length": 6}


class TestNewEsm(ProteinLaws):
    @pytest.fixture
    def config(self):
        return NewEsmConfig(blocks=2, feature_size=16, heads=2)

    @pytest.fixture
    def spec(self):
        return NEW_ESM


STRATEGIES = {
    "full": lambda: Full(FullConfig()),
    "partial": lambda: Partial(PartialConfig(learn=1)),
    "linear-probe": lambda: LinearProbe(LinearProbeConfig()),
}


@pytest.mark.parametrize("family", ["esm2", "protbert", "prott5"])
@pytest.mark.parametrize("way", list(STRATEGIES))
class TestStrategiesOnProteins(StrategyLaws):
    @pytest.fixture
    def strategy(self, way):
        return STRATEGIES[way]()

    @pytest.fixture
    def backbone(self, saved, family):
        return ProteinBackbone(ProteinConfig(checkpoint=str(saved(family))))

    @pytest.fixture
    def inputs(self):
        return {"sequence": SEQUENCES}

    @pytest.fixture
    def head(self):
        from taskgraft.builtin.heads.classification import Classification
        from taskgraft.builtin.heads.configs import ClassificationConfig

        return Classification(ClassificationConfig())

    @pytest.fixture
    def targets(self):
        return {"label": ["a", "b", "a", "b", "a"]}


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "taskgraft_protein.plugin"

    @pytest.fixture
    def configs(self, saved):
        return {"protein": ProteinConfig(checkpoint=str(saved("esm2"))), "new-esm": NewEsmConfig(blocks=1)}
