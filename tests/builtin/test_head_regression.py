import pytest
import torch

from taskgraft.builtin.heads.configs import RegressionConfig
from taskgraft.builtin.heads.regression import Regression, RegressionTarget
from taskgraft.contract.descriptions import Layout, vector
from taskgraft.contract.features import Features
from taskgraft.contract.targets import InvalidTargets

HEAD = Regression(RegressionConfig())
ONE = {"price": ["10", 20, 30.0]}
TWO = {"price": [10, 20, 30], "weight": [0.1, 0.1, 0.4]}

UNREAD = Features(Layout.VECTOR, (torch.zeros(1, 5),))
"""Passed as features where they are not read."""


def built(targets, members: int | None = None):
    return HEAD.build_module(vector(5, members), HEAD.fit_targets(targets))


def test_mean_and_standard_deviation_are_in_the_columns_unit():
    learned = HEAD.fit_targets(ONE)
    assert learned.columns == ("price",)
    assert learned.means == (20.0,)
    assert learned.scales == pytest.approx((8.16496580927726,))


def test_the_target_description_is_json():
    learned = HEAD.fit_targets(TWO)
    assert RegressionTarget.model_validate_json(learned.model_dump_json()) == learned


def test_targets_are_standardised():
    numbers = HEAD.encode(TWO, HEAD.fit_targets(TWO))["numbers"]
    torch.testing.assert_close(numbers.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(numbers.std(0, correction=0), torch.ones(2))


def test_a_constant_column_keeps_its_unit():
    learned = HEAD.fit_targets({"price": [5, 5]})
    assert learned.scales == (1.0,)
    assert HEAD.decode_targets(HEAD.encode({"price": [5, 7]}, learned), learned) == [5.0, 7.0]


@pytest.mark.parametrize("rows", [7, 500])
def test_a_constant_column_has_scale_1_whatever_its_deviation(rows):
    learned = HEAD.fit_targets({"price": [14.62] * rows})
    assert (learned.means, learned.scales) == ((14.62,), (1.0,))


def test_decoded_numbers_are_in_the_columns_unit():
    learned = HEAD.fit_targets(ONE)
    assert HEAD.decode_targets(HEAD.encode(ONE, learned), learned) == pytest.approx([10.0, 20.0, 30.0])


def test_numbers_that_are_large_relative_to_their_deviation_are_decoded_exactly():
    seconds = {"when": [1_700_000_000, 1_700_000_001, 1_700_000_002]}
    learned = HEAD.fit_targets(seconds)
    assert HEAD.decode_targets(HEAD.encode(seconds, learned), learned) == pytest.approx(
        seconds["when"], abs=1e-5, rel=0
    )


def test_several_columns_are_decoded_as_lists():
    learned = HEAD.fit_targets(TWO)
    assert HEAD.decode_targets(HEAD.encode(TWO, learned), learned)[2] == pytest.approx([30.0, 0.4])


def test_a_prediction_is_in_the_columns_unit_without_probabilities():
    found = built(ONE).predict(torch.tensor([[0.0], [1.0]]), UNREAD)
    assert found.values == pytest.approx([20.0, 28.16496580927726])
    assert found.probabilities is None


def test_members_are_averaged_as_numbers():
    output = torch.tensor([[[0.0], [2.0]]])
    assert built(ONE, members=2).predict(output, UNREAD).values == pytest.approx([28.16496580927726])


def test_the_loss_is_the_mean_squared_error_of_standardised_numbers():
    encoded, output = HEAD.encode(TWO, HEAD.fit_targets(TWO)), torch.randn(3, 2)
    loss = built(TWO).loss(output, encoded, UNREAD)
    torch.testing.assert_close(loss.total / loss.weight, ((output - encoded["numbers"]) ** 2).mean())


def test_the_loss_of_members_is_their_mean_loss():
    encoded, output = HEAD.encode(TWO, HEAD.fit_targets(TWO)), torch.randn(3, 4, 2)
    loss = built(TWO, members=4).loss(output, encoded, UNREAD)
    torch.testing.assert_close(loss.total / loss.weight, ((output - encoded["numbers"][:, None]) ** 2).mean())


def test_soft_labels_are_the_teachers_standardised_numbers_at_any_temperature():
    module, teacher, output = built(TWO), torch.randn(4, 2), torch.randn(4, 2)
    soft = module.soft_labels(teacher, UNREAD, 5.0)
    loss = module.distillation_loss(output, soft, UNREAD, 5.0)
    torch.testing.assert_close(loss.total / loss.weight, ((output - teacher) ** 2).mean())


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty"),
        (None, "is empty"),
        ("ten", "is 'ten', not a number"),
        ("inf", "is 'inf', not a finite number"),
        ([1], "is [1], not a number"),
    ],
)
def test_a_value_that_is_not_a_number_is_reported_with_its_row(value, problem):
    with pytest.raises(InvalidTargets) as caught:
        HEAD.fit_targets({"price": [1, value]})
    assert str(caught.value) == f"row 1: the target column 'price' {problem}"


@pytest.mark.parametrize("value", [1e12 + 0.125, -1e12, 1e99, 5e-324, 0.1])
def test_the_truth_of_metrics_is_exact(value):
    learned = HEAD.fit_targets({"price": [1.0, 2.0, value]})
    assert HEAD.decode_targets(HEAD.encode({"price": [value, "0.3"]}, learned), learned) == [value, 0.3]


def test_the_truth_of_several_columns_is_exact():
    rows = {"price": [1e12, 1e12 + 1], "weight": [1e-30, 3e-30]}
    learned = HEAD.fit_targets(rows)
    assert HEAD.decode_targets(HEAD.encode(rows, learned), learned) == [[1e12, 1e-30], [1e12 + 1, 3e-30]]


@pytest.mark.parametrize(("scale", "offset"), [(1e-30, 0.0), (1e-3, 1e6), (1.0, 1e12), (1e30, 0.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_predictions_are_moved_to_the_original_unit_in_float64(scale, offset, dtype):
    rows = [offset + scale * number for number in (-1.0, 0.0, 1.0, 2.0)]
    learned = HEAD.fit_targets({"price": rows})
    output = torch.tensor([[-1.5], [0.0], [0.25]], dtype=dtype)
    found = HEAD.build_module(vector(5), learned).predict(output, UNREAD).values
    expected = [learned.means[0] + learned.scales[0] * number for number in (-1.5, 0.0, 0.25)]
    assert found == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("value", ["1e19", -1e30, 1e99])
def test_a_target_too_far_from_those_of_training_is_invalid(value):
    learned = HEAD.fit_targets({"price": [1.0, 3.0], "weight": [1.0, 3.0]})
    with pytest.raises(InvalidTargets) as caught:
        HEAD.encode({"price": [1.0, 2.0], "weight": [2.0, value]}, learned)
    assert str(caught.value) == (
        f"row 1: the target column 'weight' is {value!r}, more than 1e+18 standard deviations (1) from the mean of the "
        "training split (2)"
    )


def test_targets_within_the_limit_have_a_finite_loss():
    learned = HEAD.fit_targets({"price": [1.0, 3.0]})
    encoded = HEAD.encode({"price": [9e17, -9e17]}, learned)
    loss = HEAD.build_module(vector(5), learned).loss(torch.zeros(2, 1), encoded, UNREAD)
    assert bool(torch.isfinite(loss.total))
