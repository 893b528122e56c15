"""The conformance kit over the protein plugin: tiny checkpoints of each family, and the plugin module itself."""

import components
import numpy as np
import pytest
from contact_maps import symmetric_map
from families import families

from taskgraft.plugin import Predictions, TargetKind
from taskgraft.testing import BackboneLaws, LabelledRows, PluginLaws, StrategyLaws
from taskgraft_protein import plugin
from taskgraft_protein.backbone import ProteinBackbone
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig

pytestmark = pytest.mark.slow

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
    "full": lambda: components.strategy("full"),
    "partial": lambda: components.strategy("partial", learn=1),
    "linear-probe": lambda: components.strategy("linear-probe"),
}


@pytest.mark.parametrize("family", ["esm2", "protbert", "prott5"])
@pytest.mark.parametrize("name", list(STRATEGIES))
class TestStrategiesOnProteins(StrategyLaws):
    @pytest.fixture
    def strategy(self, name):
        return STRATEGIES[name]()

    @pytest.fixture
    def backbone(self, saved, family):
        return ProteinBackbone(ProteinConfig(checkpoint=str(saved(family))))

    @pytest.fixture
    def inputs(self):
        return {"sequence": SEQUENCES}

    @pytest.fixture
    def head(self):
        return components.head("classification")

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

    @pytest.fixture(params=["proteins", "rows of the kit"])
    def labelled(self, request):
        return {} if request.param == "rows of the kit" else labelled_proteins()


def labelled_proteins() -> dict[str, LabelledRows]:
    """Give sequences with labels per residue, with numbers, and with contact maps."""
    sequences, numbers = ["MKVLA", "GG", "ACDEFGH"] * 4, np.arange(12.0).tolist()
    labels = [["H" if letter in "MKA" else "C" for letter in sequence] for sequence in sequences]
    aligned, _ = families(12, 1, 9, 0.0)
    maps = [(symmetric_map(length, length) > 0.6).astype(np.int8) for length in (30, 40, 26, 12)]
    contacts = [symmetric_map(len(true_map), 9) for true_map in maps]
    probabilities = [np.stack([1 - contact, contact], -1) for contact in contacts]
    return {
        "one-hot-window": LabelledRows(
            TargetKind.ELEMENT_CATEGORIES, Predictions(labels), labels, {"sequence": sequences}
        ),
        "one-hot-ridge": LabelledRows(TargetKind.NUMBERS, Predictions(numbers), numbers, {"sequence": aligned}),
        "contacts": LabelledRows(TargetKind.PAIR_CATEGORIES, Predictions(maps, probabilities, (0, 1)), maps, {}),
    }
