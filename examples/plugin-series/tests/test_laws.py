"""The conformance kit over everything that the plugin provides."""

import math

import pytest
from taskgraft.testing import BackboneLaws, PluginLaws, ReaderLaws

import plugin_series
from plugin_series.backbone import PatchTST
from plugin_series.generate import write_series
from plugin_series.processor import fit_config
from plugin_series.settings import LongTableConfig, PatchTSTSettings

(BACKBONE,) = plugin_series.taskgraft_backbones()
(READER,) = plugin_series.taskgraft_readers()
TABLE = LongTableConfig(id="sensor", time="second", values=("x", "y"), step=1)
INPUTS = {
    "x": [[float(step % (3 + row)) for step in range(length)] for row, length in enumerate((20, 40, 33, 12))],
    "y": [[math.sin(step + row) for step in range(length)] for row, length in enumerate((20, 40, 33, 12))],
}
SETTINGS = [{"scaling": "training"}, {"norm": "layernorm", "stride": 5}]


@pytest.mark.parametrize("more", SETTINGS, ids=["training", "layernorm"])
class TestPatchTST(BackboneLaws):
    @pytest.fixture
    def config(self, more):
        sizes = {"context_length": 32, "patch_length": 8, "feature_size": 8, "heads": 2, "blocks": 2}
        return fit_config(PatchTSTSettings(channels=("x", "y"), **sizes, **more), INPUTS)

    @pytest.fixture
    def backbone(self, config):
        return PatchTST(config)

    @pytest.fixture
    def spec(self):
        return BACKBONE

    @pytest.fixture
    def inputs(self):
        return INPUTS


class TestLongTable(ReaderLaws):
    @pytest.fixture
    def spec(self):
        return READER

    @pytest.fixture
    def config(self):
        return TABLE

    @pytest.fixture
    def path(self, tmp_path):
        write_series(tmp_path / "series.csv", per_label=1)
        return tmp_path / "series.csv"

    @pytest.fixture
    def count(self):
        return 4


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "plugin_series"

    @pytest.fixture
    def configs(self):
        return {"long-table": TABLE}
