import pytest
import torch

from taskgraft.contract.batch import Batch, collate, length_mask


def two_examples() -> Batch:
    """Two examples of 2 and 3 elements, with a matrix over pairs of elements and one number each."""
    return Batch(
        {
            "values": torch.tensor([[1, 2, 0], [3, 4, 5]]),
            "pairs": torch.tensor([[[1, 2, 0], [3, 4, 0], [0, 0, 0]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]]),
            "number": torch.tensor([0.5, 1.5]),
        },
        {"values": ("element",), "pairs": ("element", "element")},
        {"element": torch.tensor([2, 3])},
    )


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other[name].dtype
        assert torch.equal(tensor, other[name]), name
    for axis, lengths in one.lengths.items():
        assert torch.equal(lengths, other.lengths[axis])


def test_the_mask_is_true_at_real_positions_only():
    assert two_examples().mask("element").tolist() == [[True, True, False], [True, True, True]]


def test_a_mask_may_be_longer_than_the_longest_example():
    assert length_mask(torch.tensor([1]), 3).tolist() == [[True, False, False]]


def test_selected_rows_are_in_the_order_asked_for():
    assert two_examples().select([1, 0])["number"].tolist() == [1.5, 0.5]


def test_taking_rows_strips_the_padding_that_none_of_them_needs():
    alone = two_examples().select([0])
    assert alone["values"].tolist() == [[1, 2]]
    assert alone["pairs"].tolist() == [[[1, 2], [3, 4]]]


def test_splitting_and_collating_gives_the_same_batch():
    assert_equal(collate(two_examples().unbind()), two_examples())


def test_collating_to_a_greater_length_pads_on_the_right_with_zero():
    padded = collate(two_examples().unbind(), {"element": 4})
    assert padded["values"].tolist() == [[1, 2, 0, 0], [3, 4, 5, 0]]
    assert padded["pairs"].shape == (2, 4, 4)
    assert padded["pairs"][:, 3].sum() == padded["pairs"][:, :, 3].sum() == 0


def test_collating_never_cuts_off_what_the_longest_example_needs():
    assert_equal(collate(two_examples().unbind(), {"element": 1}), two_examples())


def test_padding_that_no_example_needs_does_not_survive_collating():
    wide = collate(two_examples().unbind(), {"element": 9})
    assert_equal(collate([wide]), two_examples())


def test_a_padded_tensor_is_asked_for_its_longest_length_before_the_lengths_are():
    wide = collate(two_examples().unbind(), {"element": 9})
    assert wide.longest("element") == 9
    assert wide.mask("element").shape == (2, 9)


def test_an_axis_that_pads_no_tensor_is_as_long_as_its_longest_example():
    assert Batch({"a": torch.zeros(2)}, lengths={"element": torch.tensor([4, 7])}).longest("element") == 7


def test_moving_a_batch_moves_its_lengths_too():
    moved = two_examples().to("meta")
    assert moved["values"].device.type == moved.lengths["element"].device.type == "meta"


def test_tensors_with_different_numbers_of_rows_are_rejected():
    with pytest.raises(ValueError, match=r"must have the same number of rows, not .'a': 2, 'b': 3"):
        Batch({"a": torch.zeros(2), "b": torch.zeros(3)})


def test_a_padded_axis_without_lengths_is_rejected():
    with pytest.raises(ValueError, match="tensor 'a' is padded along element, which has no lengths"):
        Batch({"a": torch.zeros(2, 3)}, {"a": ("element",)})
