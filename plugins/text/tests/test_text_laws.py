"""The conformance kit over the text plugin: tiny checkpoints of each kind, and the plugin module itself."""

import components
import pytest

from taskgraft.plugin import LayerRole, Stage, Strategy, Unfreeze
from taskgraft.testing import BackboneLaws, PluginLaws, StrategyLaws
from taskgraft_text import plugin
from taskgraft_text.backbone import TextBackbone
from taskgraft_text.settings import TextConfig

pytestmark = pytest.mark.slow

TEXTS = [
    "where is my parcel please?",
    "help",
    "the card is lost, my money is late late late",
    "lost card",
    "is it the card",
    "late",
]
OTHERS = ["late", "the parcel, help", "money", "where is my card?", "my card", "help"]
WORDS = [
    ["where", "is", "my", "parcel"],
    ["help"],
    ["zebra", "card"],
    ["my", "money", "late"],
    ["lost", "card"],
    ["late", "help"],
]

(HF_TEXT,) = plugin.taskgraft_backbones()


class TextLaws(BackboneLaws):
    settings: dict[str, object] = {}
    family = "bert"

    @pytest.fixture
    def config(self, saved):
        return TextConfig(checkpoint=str(saved(self.family)), **self.settings)

    @pytest.fixture
    def backbone(self, config):
        return TextBackbone(config)

    @pytest.fixture
    def spec(self):
        return HF_TEXT

    @pytest.fixture
    def inputs(self):
        return {"text": TEXTS}


class TestBert(TextLaws):
    pass


class TestModernBert(TextLaws):
    family = "modernbert"


class TestDeberta(TextLaws):
    family = "deberta-v3"


class TestGpt2(TextLaws):
    family = "gpt2"


class TestLlama(TextLaws):
    family = "llama"


class TestT5(TextLaws):
    family = "t5"


class TestUntil(TextLaws):
    family = "gpt2"
    settings = {"until": "block.1"}


class TestWords(TextLaws):
    @pytest.fixture
    def inputs(self):
        return {"text": WORDS}


class TestPairsTogether(TextLaws):
    settings = {"pair": "together"}

    @pytest.fixture
    def inputs(self):
        return {"text": TEXTS, "text_pair": OTHERS}


class TestPairsApart(TestPairsTogether):
    settings = {"pair": "apart", "normalize": True}


class Queries(Strategy):
    """Trains the query layers of all blocks, fused ones included."""

    def plan(self, backbone, head):
        every = tuple(part.name for part in backbone.parts)
        queries = Unfreeze(every, 1e-3, roles=frozenset({LayerRole.QUERY, LayerRole.FUSED}))
        return (Stage("queries", (queries,), head_learning_rate=1e-3),)


STRATEGIES = {
    "full": lambda: components.strategy("full"),
    "partial": lambda: components.strategy("partial", learn=1),
    "linear-probe": lambda: components.strategy("linear-probe"),
    "queries": Queries,
}


@pytest.mark.parametrize("family", ["bert", "modernbert", "gpt2", "t5"])
@pytest.mark.parametrize("name", list(STRATEGIES))
class TestStrategiesOnText(StrategyLaws):
    @pytest.fixture
    def strategy(self, name):
        return STRATEGIES[name]()

    @pytest.fixture
    def backbone(self, saved, family):
        return TextBackbone(TextConfig(checkpoint=str(saved(family))))

    @pytest.fixture
    def inputs(self):
        return {"text": TEXTS}

    @pytest.fixture
    def head(self):
        return components.head("classification")

    @pytest.fixture
    def targets(self):
        return {"label": ["a", "b", "a", "b", "a", "b"]}


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self):
        return "taskgraft_text.plugin"

    @pytest.fixture
    def configs(self, saved):
        return {"hf-text": TextConfig(checkpoint=str(saved("bert")))}
