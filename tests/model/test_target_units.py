"""A regression in any unit: the same model, the same R², and errors in that unit."""

import numpy as np
import pytest

import taskgraft as tg

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_plugin_installed")]

CHANCE = np.random.default_rng(0)
NUMBERS = CHANCE.normal(size=(200, 2))
PLANTED = NUMBERS @ [1.0, -0.5] + 0.5 * CHANCE.normal(size=200)
"""5/6 of its variance, 1.25 of 1.5, comes from the columns."""


def rows(scale=1.0, offset=0.0, some=slice(None)):
    columns = {name: column.tolist() for name, column in zip("ab", NUMBERS[some].T, strict=True)}
    return columns | {"label": (PLANTED[some] * scale + offset).tolist()}


def fitted(scale=1.0, offset=0.0):
    model = tg.compose({"name": "small-table", "members": 8}, "regression", "linear-probe")
    model.fit(rows(scale, offset), inputs=["a", "b"], target="label", quiet=True)
    return model


@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-30, 0.0), (1e-3, 1e4), (1.0, 1e7), (1.0, -1e10), (1e30, 0.0), (1e30, 1e35)]
)
def test_a_planted_share_of_the_variance_is_found_in_any_unit(scale, offset):
    expected, found = (fitted(*unit).evaluate(rows(*unit), quiet=True) for unit in ((1.0, 0.0), (scale, offset)))
    rounding = max(1e-4, 100 * abs(offset) / scale * np.finfo(float).eps)
    assert found["r2"] == pytest.approx(expected["r2"], abs=rounding)
    assert 0.5 < found["r2"] < 0.9
    assert found["mean_absolute_error"] / scale == pytest.approx(expected["mean_absolute_error"], rel=rounding)
    assert found.baselines["mean"]["r2"] == pytest.approx(0.0, abs=rounding)


@pytest.mark.parametrize("offset", [1e8, 1e10, 1e12])
def test_rows_far_from_those_of_training_keep_their_digits(offset):
    """The truth was rounded to float32, in deviations of the training rows: at 1e10 to the next thousand."""
    model = fitted()
    near, far = (model.evaluate(rows(1.0, one), quiet=True) for one in (0.0, offset))
    assert far["pearson"] == pytest.approx(near["pearson"], abs=offset * 1e-15)
    assert far["spearman"] == pytest.approx(near["spearman"], abs=offset * 1e-15)
    assert far["mean_absolute_error"] == pytest.approx(
        offset + np.mean(PLANTED) - np.mean(model.predict(rows(), quiet=True))
    )
