import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from taskgraft_fraud.calibration import (
    HIGHEST,
    LOWEST,
    Isotonic,
    Temperature,
    apply_calibration,
    fit_calibration,
    log_odds,
)


def sample(rows: int, temperature: float, seed: int = 0):
    """Sampled labels, and the probabilities of a model whose log-odds are too large by this factor."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-2.0, 1.5, rows)
    positives = rng.random(rows) < 1 / (1 + np.exp(-odds))
    return from_log_odds(odds * temperature), positives


def from_log_odds(odds):
    """Probabilities with these log-odds."""
    return np.stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))], 1).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_an_overconfident_model_is_found(temperature):
    found = fit_calibration("temperature", *sample(100_000, temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibration_improves_the_log_loss_of_unseen_rows(kind):
    found = fit_calibration(kind, *sample(20_000, 3.0))
    probabilities, positives = sample(20_000, 3.0, seed=1)
    before, after = (
        log_loss(positives, one[:, 1].astype(np.float64))
        for one in (probabilities, apply_calibration(probabilities, found))
    )
    best = log_loss(positives, sample(20_000, 1.0, seed=1)[0][:, 1].astype(np.float64))
    assert before - best > 0.1
    assert after - best < 0.01


def test_no_other_temperature_has_a_lower_log_loss():
    probabilities, positives = sample(500, 2.0)
    found = fit_calibration("temperature", probabilities, positives).temperature

    def loss(temperature):
        return log_loss(positives, Temperature(temperature=temperature).positive(probabilities))

    assert loss(found) < min(loss(found * 0.99), loss(found * 1.01))


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibration_is_monotonic(kind):
    probabilities, positives = sample(500, 2.0)
    order = np.argsort(probabilities[:, 1])
    assert (
        np.diff(apply_calibration(probabilities, fit_calibration(kind, probabilities, positives))[order, 1]) >= 0
    ).all()


@pytest.mark.parametrize(("flipped", "bound"), [(False, LOWEST), (True, HIGHEST)])
def test_a_temperature_stays_within_its_bounds(flipped, bound):
    odds = np.array([-3.0, -2.0, 1.0, 4.0])
    positives = (odds < 0) if flipped else (odds > 0)
    found = fit_calibration("temperature", from_log_odds(odds), positives)
    assert found.temperature == pytest.approx(bound)
    assert np.isfinite(apply_calibration(from_log_odds(odds), found)).all()


def test_isotonic_probabilities_stay_away_from_0_and_1():
    odds = np.array([-3.0, -2.0, 1.0, 4.0])
    found = fit_calibration("isotonic", from_log_odds(odds), odds > 0)
    assert apply_calibration(from_log_odds(odds), found)[:, 1].tolist() == pytest.approx([1 / 6, 1 / 6, 5 / 6, 5 / 6])
    assert apply_calibration(from_log_odds(np.array([-50.0, 50.0])), found)[:, 1].tolist() == pytest.approx(
        [1 / 6, 5 / 6]
    )


def test_isotonic_calibration_equals_that_of_scikit_learn():
    from sklearn.isotonic import IsotonicRegression

    probabilities, positives = sample(2_000, 2.0)
    other, _ = sample(500, 2.0, seed=1)
    margin = 1 / 2_002
    line = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    line.fit(probabilities[:, 1].astype(np.float64), positives)
    found = fit_calibration("isotonic", probabilities, positives)
    np.testing.assert_allclose(found.positive(other), line.predict(other[:, 1].astype(np.float64)), atol=1e-12)


def test_log_odds_distinguish_rows_whose_positive_probabilities_round_to_1():
    probabilities = from_log_odds(np.array([-60.0, 30.0, 40.0]))
    assert probabilities[1, 1] == probabilities[2, 1] == 1.0
    assert log_odds(probabilities).tolist() == pytest.approx([-60.0, 30.0, 40.0], abs=1e-5)
    certain = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert log_odds(certain).tolist() == pytest.approx([-87.3, 87.3], abs=0.1)


def test_a_calibration_survives_json():
    for found in (fit_calibration("temperature", *sample(200, 2.0)), fit_calibration("isotonic", *sample(200, 2.0))):
        assert type(found).model_validate_json(found.model_dump_json()) == found
    assert Isotonic(knots=((0.1, 0.2), (0.3, 0.4))).model_dump_json() == '{"knots":[[0.1,0.2],[0.3,0.4]]}'


def test_without_calibration_probabilities_stay_the_same_bits():
    probabilities, positives = sample(10, 2.0)
    assert apply_calibration(probabilities, fit_calibration("none", probabilities, positives)) is probabilities


@pytest.mark.parametrize("shift", [-60.0, -20.0, 0.0, 15.0])
def test_the_temperature_is_that_of_a_reference_for_probabilities_of_any_size(shift):
    rng = np.random.default_rng(4)
    odds = rng.normal(shift, 3.0, 2_000)
    probabilities, positives = from_log_odds(odds), rng.random(2_000) < 1 / (1 + np.exp(-(odds - shift) / 2))
    given = log_odds(probabilities)

    def loss(logarithm):
        return np.mean(np.logaddexp(0, np.where(positives, -given, given) / np.exp(logarithm)))

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12})
    found = fit_calibration("temperature", probabilities, positives).temperature
    assert loss(np.log(found)) <= best.fun * (1 + 1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e-3, 1.0])
def test_the_isotonic_line_is_that_of_scikit_learn_for_probabilities_of_any_size(scale):
    rng = np.random.default_rng(5)
    positive = (rng.integers(1, 200, 500) / 400 * scale).astype(np.float32)
    positives = rng.random(500) < positive / scale
    probabilities = np.stack([1 - positive, positive], 1)
    found = fit_calibration("isotonic", probabilities, positives).positive(probabilities)
    margin = 1 / 502
    reference = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    # by rank: scikit-learn's own answer must not depend on the scale either
    ranks = np.unique(positive, return_inverse=True)[1].astype(float)
    assert found == pytest.approx(reference.fit_transform(ranks, positives.astype(float)), abs=1e-6)
