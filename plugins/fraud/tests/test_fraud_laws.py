"""The conformance kit over the plugin itself."""

import numpy as np
import pytest
from small_tables import SMALL, fitted

from taskgraft.plugin import Config, Predictions, TargetKind
from taskgraft.testing import LabelledRows, PluginLaws
from taskgraft_fraud.metric_settings import FraudMetricConfig

pytestmark = pytest.mark.slow


def transactions(size: int = 40) -> LabelledRows:
    """Transactions of a few customers on four days, with equal scores among them, and some without customer."""
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(size), 1)
    both = np.stack([1 - scores, scores], axis=1).astype(np.float32)
    predictions = Predictions(["01"[int(score > 0.5)] for score in scores], list(both), ("0", "1"))
    customers = [None if row % 9 == 4 else f"customer {rng.integers(8)}" for row in range(size)]
    columns = {
        "number": list(range(size)),
        "customer": customers,
        "time": (rng.integers(0, 4, size) * 86_400).tolist(),
        "amount": rng.exponential(50, size).tolist(),
    }
    return LabelledRows(TargetKind.CATEGORY, predictions, ["01"[row % 3 == 0] for row in range(size)], columns)


class TestPlugin(PluginLaws):
    @pytest.fixture
    def module(self) -> str:
        return "taskgraft_fraud.plugin"

    @pytest.fixture
    def configs(self) -> dict[str, Config]:
        metric = FraudMetricConfig(k=5, customer="customer", time="time", amount="amount", review=2.0)
        return {name: fitted(config) for name, config in SMALL.items()} | {"metric fraud": metric}

    @pytest.fixture
    def labelled(self) -> dict[str, LabelledRows]:
        return {"fraud": transactions()}
