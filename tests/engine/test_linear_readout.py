import pytest
import torch

from taskgraft.contract.descriptions import Layout, vector
from taskgraft.contract.features import Features
from taskgraft.engine.linear_readout import LinearReadout, mean_of_members, per_member


def test_the_scale_is_the_root_mean_square_of_the_features():
    readout = LinearReadout(vector(4), 2)
    readout.calibrate(Features(Layout.VECTOR, (torch.full((3, 4), -5.0),)))
    assert float(readout.scale) == 5


def test_padding_does_not_change_the_scale():
    value = torch.full((2, 3, 4), 2.0)
    value[0, 1:] = 1e9
    readout = LinearReadout(vector(4), 2)
    readout.calibrate(Features(Layout.SEQUENCE, (value,), torch.tensor([1, 3])))
    assert float(readout.scale) == 2


def test_features_that_are_all_zero_keep_the_scale_one():
    readout = LinearReadout(vector(4), 2)
    readout.calibrate(Features(Layout.VECTOR, (torch.zeros(3, 4),)))
    assert float(readout.scale) == 1


@pytest.mark.parametrize("members", [None, 3])
def test_features_of_another_scale_give_the_same_output_once_calibrated(members):
    value = torch.randn(5, 4) if members is None else torch.randn(5, members, 4)
    readout, outputs = LinearReadout(vector(4, members), 2), []
    for factor in (1.0, 100.0):
        readout.calibrate(Features(Layout.VECTOR, (value * factor,)))
        outputs.append(readout(value * factor))
    torch.testing.assert_close(*outputs)


def test_the_scale_is_saved_but_not_trained():
    assert "scale" in LinearReadout(vector(4), 2).state_dict()
    assert "scale" not in dict(LinearReadout(vector(4), 2).named_parameters())


def test_without_members_there_is_nothing_to_average_or_repeat():
    value = torch.randn(2, 3)
    assert mean_of_members(value, None) is value
    assert per_member(value, None) is value


def test_a_target_is_repeated_for_each_member():
    assert per_member(torch.tensor([1, 2]), 3).tolist() == [[1, 1, 1], [2, 2, 2]]
