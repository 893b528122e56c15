"""The conformance kit over the small backbones, the built-in heads and strategies, and the plugins of both."""

import pytest
from backbones import PAIRS, PICTURES, SMALL, TABLE, WORDS, Small, WordsProcessor
from cells import Cells, CellsProcessor, cells_rows

from taskgraft.builtin.heads.configs import ClassificationConfig, MultiLabelConfig
from taskgraft.builtin.plugin import taskgraft_heads, taskgraft_strategies
from taskgraft.builtin.strategies.fine_tuning import PartialConfig
from taskgraft.builtin.strategies.sequence import StagesConfig
from taskgraft.composition.compose import build_strategy
from taskgraft.composition.resolve import resolve
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.specs import StrategySpec
from taskgraft.discovery.catalog import catalog
from taskgraft.testing import BackboneLaws, HeadLaws, PluginLaws, StrategyLaws

HEADS = {spec.name: spec for spec in taskgraft_heads()}


@pytest.mark.parametrize("small", SMALL, ids=str)
class TestSmallBackbones(BackboneLaws):
    @pytest.fixture
    def backbone(self, small: Small):
        return small.build()

    @pytest.fixture
    def inputs(self, small: Small):
        return small.inputs

    @pytest.fixture
    def spec(self, small: Small):
        return small.spec

    @pytest.fixture
    def config(self, small: Small):
        return small.config


class TestCells(BackboneLaws):
    @pytest.fixture
    def backbone(self):
        return Cells().eval()

    @pytest.fixture
    def inputs(self):
        return cells_rows(6)


LABELS = {"label": ["cat", "dog", "cat", "bird", "dog", "bird"]}
ELEMENTS = {"tags": [row.split() for row in ("O B O O O O O", "O B I", "B", "B I I O O O O", "O O B I O", "I I B")]}
NUMBERS = {"size": ["1.5", "2", "4.0", "-3", "0", "1e2"], "weight": [1, 2, 3, 4, 5, 6]}


HEAD_CASES = (
    ("classification", {}, LABELS),
    ("classification", {"class_weights": "balanced", "label_smoothing": 0.1}, LABELS),
    ("classification", {"class_weights": "balanced", "label_smoothing": 0.1, "focal": 2.0}, LABELS),
    ("classification", {"focal": 0.5}, LABELS),
    ("classification", {}, {"label": [7, 8, 7, 9, 8, 9]}),
    ("multi-label", {}, {"toxic": ["1", "0", "", "1"], "rude": [0, 1, 1, None]}),
    ("multi-label", {"separator": ","}, {"topics": ["a,b", "b", "", "a,c"]}),
    ("regression", {}, NUMBERS),
    ("regression", {}, {"size": NUMBERS["size"]}),
    ("element-classification", {}, ELEMENTS),
    ("element-classification", {"label_smoothing": 0.2}, ELEMENTS),
    ("masked-elements", {"share": 0.15}, WordsProcessor().element_schema),
    ("masked-elements", {"share": 0.5}, CellsProcessor().element_schema),
)


class TestBuiltInHeads(HeadLaws):
    @pytest.fixture(params=HEAD_CASES, ids=lambda case: f"{case[0]}-{'-'.join(case[1] or case[2])}")
    def case(self, request):
        return request.param

    @pytest.fixture
    def spec(self, case):
        return HEADS[case[0]]

    @pytest.fixture
    def config(self, case, spec):
        return spec.config(**case[1])

    @pytest.fixture
    def head(self, spec, config):
        return spec.build(config)

    @pytest.fixture
    def targets(self, case):
        return case[2]


GRAFTS = (
    (WORDS, "classification", LABELS),
    (WORDS, "element-classification", ELEMENTS),
    (PICTURES, "regression", NUMBERS),
    (TABLE, "classification", LABELS),
    (TABLE, "multi-label", {"good": [1, 0, 1, None, 0, 1], "new": [0, 0, 1, 1, 1, 0]}),
    (PAIRS, "regression", NUMBERS),
)


PLANS = (
    "adapters",
    "full",
    "linear-probe",
    "partial:1",
    {"name": "bitfit", "norms": True},
    "gradual",
    "layer-decay",
    "probe-then-tune",
    "average:full",
    "sharpness-aware:full",
    {
        "name": "stages",
        "strategies": ["linear-probe", {"name": "partial", "learn": 2, "epochs": 2, "layer_decay": 0.5}],
    },
)


def test_every_built_in_strategy_is_tried():
    tried = {plan.partition(":")[0] if isinstance(plan, str) else plan["name"] for plan in PLANS}
    by_every_pair = {"distill"}  # it needs a teacher: tests/system/test_matrix.py
    assert tried | by_every_pair == {spec.name for spec in taskgraft_strategies()}


@pytest.mark.slow
class TestBuiltInStrategies(StrategyLaws):
    @pytest.fixture(params=GRAFTS, ids=lambda graft: f"{graft[0]}-{graft[1]}")
    def graft(self, request):
        return request.param

    @pytest.fixture(params=PLANS, ids=lambda one: one if isinstance(one, str) else one["name"])
    def strategy(self, request):
        return build_strategy(resolve(catalog(), StrategySpec, request.param))

    @pytest.fixture
    def backbone(self, graft):
        return graft[0].build()

    @pytest.fixture
    def inputs(self, graft):
        return graft[0].inputs

    @pytest.fixture
    def head(self, graft):
        return HEADS[graft[1]].build(HEADS[graft[1]].config())

    @pytest.fixture
    def targets(self, graft):
        return graft[2]


@pytest.mark.parametrize("module", ["taskgraft.builtin.plugin", "small_plugin"])
class TestPlugins(PluginLaws):
    @pytest.fixture
    def configs(self):
        return {
            "partial": PartialConfig(learn=2),
            "stages": StagesConfig(strategies=(ComponentRef(name="full"), ComponentRef(name="partial:2"))),
            "classification": ClassificationConfig(class_weights={"a": 1.0, "b": 2.0}),
            "multi-label": MultiLabelConfig(threshold=0.3),
            "small-table": TABLE.config,
        }
