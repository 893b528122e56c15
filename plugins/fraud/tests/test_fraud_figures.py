import subprocess
import sys

import numpy as np
import pytest

from taskgraft.plugin import Predictions
from taskgraft_fraud import figures
from taskgraft_fraud.errors import FraudError
from taskgraft_fraud.figures import draw
from taskgraft_fraud.metric_settings import FraudMetricConfig

PNG = b"\x89PNG\r\n\x1a\n"


def rows(rate: float, size: int = 400):
    """Calibrated predictions with a mean probability of about `rate`, and the truth."""
    rng = np.random.default_rng(0)
    scores = rng.beta(0.5, 0.5 / rate - 0.5, size)
    truth = np.where(rng.random(size) < scores, "1", "0").tolist()
    both = np.stack([1 - scores, scores], axis=1).astype(np.float32)
    return Predictions(["01"[int(score > 0.5)] for score in scores], list(both), ("0", "1")), truth


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.02, 0.4])
def test_two_figures_are_drawn(tmp_path, rate):
    paths = draw(*rows(rate), FraudMetricConfig(), tmp_path)
    assert [path.name for path in paths] == ["reliability.png", "precision_recall.png"]
    assert all(path.read_bytes().startswith(PNG) and path.stat().st_size > 10_000 for path in paths)


def test_a_point_of_the_reliability_diagram_is_the_mean_probability_and_the_share_of_fraud_of_a_bin():
    scores, fraud = np.repeat([0.1, 0.8], 50), np.tile([True, False, False, False, False], 20)
    axes, below = figures._reliability(scores, fraud, "1").axes
    assert axes.get_title() == "Reliability of the probability of '1'"
    assert axes.lines[1].get_xdata() == pytest.approx([0.1, 0.8])
    assert axes.lines[1].get_ydata() == pytest.approx([0.2, 0.2])
    assert axes.get_legend().get_texts()[1].get_text() == "2 bins of 50 rows, with 95 % intervals"
    assert sum(bar.get_height() for bar in below.patches) == 100


def test_the_intervals_of_bins_are_wilson_intervals():
    low, high = figures._wilson_interval(np.array([0.0, 0.2]), np.array([50, 50]))
    assert low == pytest.approx([0.0, 0.1124], abs=1e-4)
    assert high == pytest.approx([0.0713, 0.3304], abs=1e-4)


def test_the_alerts_are_at_their_precision_and_recall():
    scores, fraud = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, True])
    (axes,) = figures._precision_recall(scores, fraud, scores > 0.5, "stolen").axes
    curve, _, alerts = axes.lines
    assert axes.get_title() == "Precision and recall of 'stolen', 3 of 4 rows"
    assert axes.get_ylabel() == "precision: share of 'stolen' above the threshold"
    assert curve.get_xdata().tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.get_ydata().tolist() == pytest.approx([1, 1, 1 / 2, 2 / 3, 3 / 4])
    assert (alerts.get_xdata()[0], alerts.get_ydata()[0]) == pytest.approx((2 / 3, 2 / 3))


def test_figures_need_probabilities_and_both_classes(tmp_path):
    predictions, truth = rows(0.4)
    with pytest.raises(FraudError) as caught:
        draw(Predictions(predictions.values, None, ("0", "1")), truth, FraudMetricConfig(), tmp_path)
    assert str(caught.value) == (
        "The metric 'fraud' cannot draw figures: the predictions have no probabilities. Evaluate without figures, or on other "
        "rows."
    )
    with pytest.raises(FraudError, match="all rows are of one class"):
        draw(predictions, ["0"] * len(truth), FraudMetricConfig(), tmp_path)


def test_without_matplotlib_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FraudError) as caught:
        draw(*rows(0.4), FraudMetricConfig(), tmp_path)
    assert (
        str(caught.value) == "Figures need matplotlib, which is not installed: pip install 'taskgraft-fraud[figures]'."
    )


def test_evaluating_without_figures_does_not_import_matplotlib():
    code = "import sys, taskgraft_fraud.figures, taskgraft_fraud.fraud_metric; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
