"""The conformance kit over everything that the plugin provides."""

import pyarrow as pa
import pytest
from taskgraft.plugin import Predictions, Rows, TargetKind
from taskgraft.testing import BackboneLaws, LabelledRows, PluginLaws, SplitLaws

import plugin_molecule
from plugin_molecule.backbone import SmilesTransformer
from plugin_molecule.settings import MorganForestConfig, ScaffoldConfig, SmilesTransformerConfig
from plugin_molecule.tokens import fit_config

SMILES = [
    "OC(=O)c1ccccc1",
    "CCO",
    "C[C@@H](N)C(=O)[O-].[Na+]",
    "c1ccc2ncccc2c1",
    "FC(F)(F)Cl",
    "CCN",
    "CC(=O)Oc1ccccc1C(=O)O",
]

(BACKBONE,) = plugin_molecule.taskgraft_backbones()
(SPLIT,) = plugin_molecule.taskgraft_splits()


def small(**settings):
    return fit_config(SmilesTransformerConfig(blocks=2, feature_size=16, heads=2, **settings), {"smiles": SMILES})


@pytest.mark.parametrize("randomised", [False, True])
class TestSmilesTransformer(BackboneLaws):
    @pytest.fixture
    def config(self, randomised):
        return small(randomised=randomised)

    @pytest.fixture
    def backbone(self, config):
        return SmilesTransformer(config)

    @pytest.fixture
    def spec(self):
        return BACKBONE

    @pytest.fixture
    def inputs(self):
        return {"smiles": SMILES}


class TestScaffold(SplitLaws):
    @pytest.fixture
    def spec(self):
        return SPLIT

    @pytest.fixture
    def config(self):
        return ScaffoldConfig(validation=0.3, test=0.2)

    @pytest.fixture
    def rows(self):
        return Rows(pa.table({"smiles": SMILES, "label": list("aabbaba")}), "molecules")

    @pytest.fixture
    def targets(self):
        return ("label",)


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "plugin_molecule"

    @pytest.fixture
    def configs(self):
        return {
            "smiles-transformer": small(),
            "scaffold": ScaffoldConfig(validation=0.3),
            "morgan-forest": MorganForestConfig(trees=5, bits=64),
        }

    @pytest.fixture
    def labelled(self):
        truth = [-1.0, 0.5, 0.25, -3.0, 2.0, 1.5, 1.0]
        return {"morgan-forest": LabelledRows(TargetKind.NUMBERS, Predictions(truth), truth, {"smiles": SMILES})}
