"""Every metric equals scikit-learn's, or exact arithmetic, over scales from 1e-30 to 1e30 and offsets to 1e12."""

import pytest
from attacks import Tally
from metric_cases import CASES, OFFSETS, SCALES, check_metrics

from taskgraft.contract.specs import MetricSpec
from taskgraft.discovery.catalog import catalog


def test_every_metric_that_is_installed_has_a_case():
    assert set(CASES) == {spec.name for spec, _ in catalog().specs(MetricSpec)}


@pytest.mark.parametrize("name", CASES)
def test_a_metric_equals_its_reference_at_a_few_scales(name):
    tally = Tally(f"metric {name}")
    for scale, offset in ((1e-30, 0.0), (1e-3, 1e10), (1.0, -1e12), (1e30, 1e12)):
        check_metrics(name, scale, offset, 0, tally)
    tally.check()


@pytest.mark.attack
@pytest.mark.parametrize("name", CASES)
def test_a_metric_equals_its_reference_over_all_scales_and_offsets(name):
    tally = Tally(f"metric {name}")
    for seed in range(1, 6):
        for scale in SCALES:
            for offset in OFFSETS:
                check_metrics(name, scale, offset, seed, tally)
    tally.check()
