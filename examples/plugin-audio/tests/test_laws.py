"""The conformance kit over everything that the plugin provides."""

import pytest
from taskgraft.testing import BackboneLaws, PluginLaws, ReaderLaws

import plugin_audio
from plugin_audio.backbone import MelNetwork
from plugin_audio.generate import write_sounds
from plugin_audio.settings import MelNetworkConfig

(BACKBONE,) = plugin_audio.taskgraft_backbones()
(READER,) = plugin_audio.taskgraft_readers()
AUGMENTED = {"gain": 6.0, "shift": 0.1, "noise": 0.05, "masks": 0.2}


@pytest.mark.parametrize("augmentation", [{}, AUGMENTED], ids=["plain", "augmented"])
class TestMelNetwork(BackboneLaws):
    @pytest.fixture
    def config(self, augmentation):
        return MelNetworkConfig(feature_size=16, heads=2, **augmentation)

    @pytest.fixture
    def backbone(self, config):
        return MelNetwork(config)

    @pytest.fixture
    def spec(self):
        return BACKBONE

    @pytest.fixture
    def inputs(self):
        return BACKBONE.example.rows


class TestWavFolder(ReaderLaws):
    @pytest.fixture
    def spec(self):
        return READER

    @pytest.fixture
    def path(self, tmp_path):
        write_sounds(tmp_path / "sounds", per_label=2)
        (tmp_path / "sounds" / "tone" / "notes.txt").write_text("not a sound")
        return tmp_path / "sounds"

    @pytest.fixture
    def count(self):
        return 7


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "plugin_audio"
