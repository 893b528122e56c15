"""The conformance kit over timm models: convolutional, transformer and hybrid, small and with random weights."""

import pytest
from sample_images import encoded_images, randomize_weights

import taskgraft as tg
from taskgraft.testing import BackboneLaws
from taskgraft_vision import timm_backbone
from taskgraft_vision.plugin import taskgraft_backbones
from taskgraft_vision.settings import TimmConfig

pytestmark = pytest.mark.slow

TIMM = next(spec for spec in taskgraft_backbones() if spec.name == "timm")

MODELS = {
    "cait_xxs24_224": {"depth": 2, "embed_dim": 16, "num_heads": 2},
    "convnext_atto": {"depths": [1, 1, 2, 1], "dims": [8, 12, 16, 24]},
    "deit_tiny_patch16_224": {"depth": 3, "embed_dim": 24, "num_heads": 2},
    "hrnet_w18_small": {},
    "mobilenetv3_small_050": {},
    "regnetx_002": {},
    "hiera_tiny_224": {"embed_dim": 12, "stages": [1, 1, 1, 1]},
    "resnet18": {"layers": [1, 1, 1, 1]},
    "swin_tiny_patch4_window7_224": {"window_size": 2, "embed_dim": 12, "depths": [1, 1, 2, 1]},
    "tinynet_e": {},
    "vit_tiny_patch16_224": {"depth": 3, "embed_dim": 24, "num_heads": 2},
    "xcit_nano_12_p16_224": {"depth": 2, "embed_dim": 16, "num_heads": 2},
}


class TimmLaws(BackboneLaws):
    settings: dict = {}

    @pytest.fixture
    def config(self, name):
        return TimmConfig(model=name, weights="random", image_size=64, arguments=MODELS[name], **self.settings)

    @pytest.fixture
    def backbone(self, config):
        return randomize_weights(timm_backbone.build(config))

    @pytest.fixture
    def spec(self):
        return TIMM

    @pytest.fixture
    def inputs(self):
        return {"image": encoded_images()}


@pytest.mark.parametrize("name", MODELS)
class TestTimm(TimmLaws):
    pass


UNTIL = {
    "convnext_atto": "stages.2.blocks.0",
    "hiera_tiny_224": "blocks.2",
    "mobilenetv3_small_050": "blocks.2.0",
    "resnet18": "layer3.0",
    "swin_tiny_patch4_window7_224": "layers.2.blocks.0",
    "vit_tiny_patch16_224": "blocks.1",
}
"""The last part of truncated models, of which each has a cut."""


@pytest.mark.parametrize("name", UNTIL)
class TestTruncatedTimm(TimmLaws):
    @pytest.fixture
    def config(self, name):
        settings = {"image_size": 64, "until": UNTIL[name]}
        return TimmConfig(model=name, weights="random", arguments=MODELS[name], **settings)


ADAPTER = {"name": "adapters", "last": 1}
STRATEGIES = ["partial:1", "gradual", "probe-then-tune", ADAPTER, "full", "bitfit"]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("name", UNTIL)
def test_strategies_train_a_truncated_model_and_cache_what_is_frozen(name, strategy):
    settings = {"weights": "random", "image_size": 64, "arguments": MODELS[name], "until": UNTIL[name]}
    model = tg.compose({"name": f"timm:{name}"} | settings, head="classification", strategy=strategy)
    rows = {"image": encoded_images(4), "label": ["a", "b", "a", "b"]}
    report = model.fit(rows, target="label", training={"epochs": 1, "batch_size": 4}, quiet=True)

    assert len(model.composition.backbone_description.cuts) > 1
    assert report.stages[0].stored_at is not None or strategy not in ("partial:1", ADAPTER)
    assert len(model.predict(rows)) == 4


CUTS = {
    "cait_xxs24_224": (24, "blocks_token_only.0"),
    "xcit_nano_12_p16_224": (12, "cls_attn_blocks.0"),
    "hrnet_w18_small": (4, None),
}
"""Models that fail or give wrong features if their first blocks are simply skipped: the number of cuts, and the first part
without a cut before it, since it reads more than the output of the previous block."""


@pytest.mark.parametrize("name", CUTS)
def test_models_that_break_when_cut_naively_have_only_valid_cuts(name):
    cuts, first_without = CUTS[name]
    description = timm_backbone.describe(TimmConfig(model=name, weights="random"))

    assert description.cuts == tuple(range(cuts))
    assert [part.name for part in description.parts][cuts : cuts + 1] == ([first_without] if first_without else [])
