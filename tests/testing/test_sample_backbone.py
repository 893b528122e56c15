"""The sample backbone and the sample targets of the kit keep the laws themselves."""

import pytest

from taskgraft.builtin.plugin import taskgraft_heads
from taskgraft.contract.descriptions import TargetKind
from taskgraft.testing import SAMPLE_INPUTS, SAMPLE_TARGETS, BackboneLaws, HeadLaws, SampleBackbone

HEADS = {spec.describe(spec.config()).target: spec for spec in taskgraft_heads()}


class TestSampleBackbone(BackboneLaws):
    @pytest.fixture
    def backbone(self):
        return SampleBackbone()

    @pytest.fixture
    def inputs(self):
        return SAMPLE_INPUTS


class TestTargets(HeadLaws):
    @pytest.fixture(params=SAMPLE_TARGETS, ids=str)
    def kind(self, request):
        return request.param

    @pytest.fixture
    def spec(self, kind):
        return HEADS[kind]

    @pytest.fixture
    def config(self, spec):
        return spec.config()

    @pytest.fixture
    def head(self, spec, config):
        return spec.build(config)

    @pytest.fixture
    def targets(self, kind):
        return SAMPLE_TARGETS[kind]


def test_there_are_targets_of_every_kind_but_those_with_a_label_per_position_or_pair():
    assert set(TargetKind) - set(SAMPLE_TARGETS) == {TargetKind.GRID_CATEGORIES, TargetKind.PAIR_CATEGORIES}
