import numpy as np
import pytest
from sklearn.metrics import log_loss

from taskgraft_fraud.calibration import HIGHEST, LOWEST, Isotonic, Temperature, calibrated, fit, log_odds


def drawn(rows: int, temperature: float, seed: int = 0):
    """Labels drawn with probabilities that a model gives as if its log-odds were so many times as large."""
    chance = np.random.default_rng(seed)
    odds = chance.normal(-2.0, 1.5, rows)
    truth = chance.random(rows) < 1 / (1 + np.exp(-odds))
    return chances_of(odds * temperature), truth


def chances_of(odds):
    """Chances with these log-odds."""
    return np.stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))], 1).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_by_which_a_model_is_too_sure_is_found(temperature):
    found = fit("temperature", *drawn(100_000, temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibration_improves_the_log_loss_of_rows_it_did_not_see(kind):
    found = fit(kind, *drawn(20_000, 3.0))
    chances, truth = drawn(20_000, 3.0, seed=1)
    before, after = (log_loss(truth, one[:, 1].astype(np.float64)) for one in (chances, calibrated(chances, found)))
    best = log_loss(truth, drawn(20_000, 1.0, seed=1)[0][:, 1].astype(np.float64))
    assert before - best > 0.1
    assert after - best < 0.01


def test_no_other_temperature_has_a_lower_log_loss():
    chances, truth = drawn(500, 2.0)
    found = fit("temperature", chances, truth).temperature

    def loss(temperature):
        return log_loss(truth, Temperature(temperature=temperature).positive(chances))

    assert loss(found) < min(loss(found * 0.99), loss(found * 1.01))


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_a_likelier_row_stays_at_least_as_likely(kind):
    chances, truth = drawn(500, 2.0)
    order = np.argsort(chances[:, 1])
    assert (np.diff(calibrated(chances, fit(kind, chances, truth))[order, 1]) >= 0).all()


@pytest.mark.parametrize(("turned", "bound"), [(False, LOWEST), (True, HIGHEST)])
def test_a_temperature_stays_within_its_bounds_where_the_best_is_none(turned, bound):
    odds = np.array([-3.0, -2.0, 1.0, 4.0])
    truth = (odds < 0) if turned else (odds > 0)
    found = fit("temperature", chances_of(odds), truth)
    assert found.temperature == pytest.approx(bound)
    assert np.isfinite(calibrated(chances_of(odds), found)).all()


def test_isotonic_probabilities_stay_away_from_0_and_1():
    odds = np.array([-3.0, -2.0, 1.0, 4.0])
    found = fit("isotonic", chances_of(odds), odds > 0)
    assert calibrated(chances_of(odds), found)[:, 1].tolist() == pytest.approx([1 / 6, 1 / 6, 5 / 6, 5 / 6])
    assert calibrated(chances_of(np.array([-50.0, 50.0])), found)[:, 1].tolist() == pytest.approx([1 / 6, 5 / 6])


def test_isotonic_is_that_of_scikit_learn_between_its_bounds():
    from sklearn.isotonic import IsotonicRegression

    chances, truth = drawn(2_000, 2.0)
    other, _ = drawn(500, 2.0, seed=1)
    edge = 1 / 2_002
    line = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip")
    line.fit(chances[:, 1].astype(np.float64), truth)
    found = fit("isotonic", chances, truth)
    np.testing.assert_allclose(found.positive(other), line.predict(other[:, 1].astype(np.float64)), atol=1e-12)


def test_log_odds_tell_rows_apart_that_one_probability_alone_would_round_together():
    chances = chances_of(np.array([-60.0, 30.0, 40.0]))
    assert chances[1, 1] == chances[2, 1] == 1.0
    assert log_odds(chances).tolist() == pytest.approx([-60.0, 30.0, 40.0], abs=1e-5)
    certain = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert log_odds(certain).tolist() == pytest.approx([-87.3, 87.3], abs=0.1)


def test_a_calibration_is_json():
    for found in (fit("temperature", *drawn(200, 2.0)), fit("isotonic", *drawn(200, 2.0))):
        assert type(found).model_validate_json(found.model_dump_json()) == found
    assert Isotonic(knots=((0.1, 0.2), (0.3, 0.4))).model_dump_json() == '{"knots":[[0.1,0.2],[0.3,0.4]]}'


def test_without_calibration_chances_stay_bit_for_bit():
    chances, truth = drawn(10, 2.0)
    assert calibrated(chances, fit("none", chances, truth)) is chances
