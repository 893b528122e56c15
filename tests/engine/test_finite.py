"""Rows without finite features or output, in every layout; padding and impossible classes are no fault."""

import numpy as np
import pytest
import torch

from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.contract.predictions import Predictions
from taskgraft.engine.finite import features_not_finite, finite_predictions, output_not_finite, predictions_not_finite

NAN, INFINITY = torch.nan, torch.inf
SHAPES = {
    Layout.VECTOR: [(3, 4)],
    Layout.SEQUENCE: [(3, 5, 4)],
    Layout.PAIR: [(3, 5, 5, 2)],
    Layout.GRID: [(3, 4, 6, 6)],
    Layout.PYRAMID: [(3, 2, 8, 8), (3, 4, 4, 4)],
}
LENGTHS = torch.tensor([5, 3, 1])


def features(layout, dtype=torch.float32):
    values = tuple(torch.ones(shape, dtype=dtype) for shape in SHAPES[layout])
    return Features(layout, values, LENGTHS if layout in (Layout.SEQUENCE, Layout.PAIR) else None)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("layout", list(SHAPES))
def test_a_feature_that_is_not_finite_is_found_in_every_layout(layout, value):
    some = features(layout)
    assert features_not_finite(some) == {}
    for level in some.values:
        found = [tensor.clone() for tensor in some.values]
        changed = next(place for place, tensor in enumerate(some.values) if tensor is level)
        found[changed][1].view(-1)[0] = value
        reasons = features_not_finite(Features(layout, tuple(found), some.lengths))
        reason = "its features are not finite: the values of the row are too large to compute with in float32"
        assert reasons == {1: reason}


@pytest.mark.parametrize("layout", [Layout.SEQUENCE, Layout.PAIR])
def test_padding_may_be_anything(layout):
    some = features(layout)
    some.value[1, 3:] = NAN
    some.value[2, 1:] = INFINITY
    assert features_not_finite(some) == {}
    for output in (some.value, some.value[..., 0]):
        assert output_not_finite(output, some) == {}


def test_the_columns_of_pairs_that_are_padding_may_be_anything_too():
    some = features(Layout.PAIR)
    some.value[1, :, 3:] = NAN
    assert features_not_finite(some) == {}
    some.value[1, 0, 0] = NAN
    assert list(features_not_finite(some)) == [1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_the_reason_names_the_wider_one(dtype):
    some = features(Layout.VECTOR, dtype)
    some.value[2, 0] = INFINITY
    name = str(dtype).removeprefix("torch.")
    assert features_not_finite(some)[2].endswith(f"too large to compute with in {name}; float32 has a wider range")


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 4), (3, 4, 6, 6)])
@pytest.mark.parametrize("value", [NAN, INFINITY])
def test_an_output_of_any_form_that_is_not_finite_is_found(shape, value):
    output = torch.zeros(shape)
    assert output_not_finite(output, features(Layout.VECTOR)) == {}
    output[2].view(-1)[-1:].fill_(value) if len(shape) > 1 else output[2:].fill_(value)
    assert list(output_not_finite(output, features(Layout.VECTOR))) == [2]


def test_an_impossible_class_may_have_minus_infinity_but_not_every_class():
    output = torch.tensor([[0.0, -INFINITY], [-INFINITY, 1.0], [-INFINITY, -INFINITY]])
    assert list(output_not_finite(output, features(Layout.VECTOR))) == [2]


def test_an_output_without_numbers_is_no_fault():
    assert output_not_finite(torch.zeros(3, 2, dtype=torch.int64), features(Layout.VECTOR)) == {}
    assert output_not_finite(torch.zeros(3, 0), features(Layout.VECTOR)) == {}


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (["a", 1, True, None], []),
        ([1.0, NAN, -INFINITY, 2.0], [1, 2]),
        ([np.float32(1), np.float32("nan")], [1]),
        ([[1.0, 2.0], [1.0, INFINITY]], [1]),
        ([{"size": 1.0, "colour": "red"}, {"size": NAN, "colour": "red"}, {"size": [1.0, NAN]}], [1, 2]),
        ([np.array([[1, 2]]), np.array([[1.0, NAN]]), np.array(["a"])], [1]),
        ([["a", None], [None]], []),
    ],
)
def test_values_of_every_kind_of_target_are_looked_at(values, wrong):
    assert predictions_not_finite(Predictions(values)) == wrong


def test_a_row_with_a_probability_that_is_not_finite_is_left_out():
    shares = [np.array(row, np.float32) for row in ([0.5, 0.5], [NAN, 0.5], [1.0, 0.0])]
    predictions = Predictions(["a", "b", "a"], shares, ("a", "b"), "b")
    found, reasons = finite_predictions(predictions, torch.zeros(3, 2), features(Layout.VECTOR))
    assert list(reasons) == [1]
    assert (found.values, len(found.probabilities), found.classes, found.positive) == (["a", "a"], 2, ("a", "b"), "b")
