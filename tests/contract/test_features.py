import pytest
import torch

from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features, GridGeometry, batch_to_features, features_to_batch

LENGTHS = torch.tensor([2, 3])
GEOMETRY = GridGeometry(torch.randn(2, 2, 3), torch.tensor([[8, 9], [10, 11]]))


def words() -> Features:
    return Features(Layout.SEQUENCE, (torch.randn(2, 3, 4),), LENGTHS)


def test_the_mask_of_a_sequence_is_true_at_real_elements():
    assert words().mask.tolist() == [[True, True, False], [True, True, True]]


def test_a_vector_has_no_mask():
    with pytest.raises(ValueError, match="vector features have no elements, so no mask"):
        _ = Features(Layout.VECTOR, (torch.zeros(2, 4),)).mask


def test_the_value_of_a_pyramid_is_its_coarsest_level():
    pyramid = Features(Layout.PYRAMID, (torch.zeros(1, 2, 8, 8), torch.ones(1, 4, 4, 4)))
    assert pyramid.value.shape == (1, 4, 4, 4)


@pytest.mark.parametrize(
    "features",
    [
        Features(Layout.VECTOR, (torch.randn(2, 4),)),
        Features(Layout.VECTOR, (torch.randn(2, 3, 4),)),
        Features(Layout.SEQUENCE, (torch.randn(2, 3, 4),), LENGTHS),
        Features(Layout.PAIR, (torch.randn(2, 3, 3, 4),), LENGTHS),
        Features(Layout.GRID, (torch.randn(2, 4, 5, 5),)),
        Features(Layout.PYRAMID, (torch.randn(2, 4, 6, 6), torch.randn(2, 8, 3, 3))),
        Features(Layout.PYRAMID, (torch.randn(2, 4, 6, 6), torch.randn(2, 8, 3, 3)), geometry=GEOMETRY),
    ],
    ids=["vector", "members", "sequence", "pair", "grid", "pyramid", "placed"],
)
def test_features_survive_being_a_batch(features):
    again = batch_to_features(features_to_batch(features), features.layout)
    assert again.layout == features.layout
    assert all(torch.equal(one, other) for one, other in zip(again.values, features.values, strict=True))
    assert (again.lengths is None) == (features.lengths is None)
    assert again.geometry == features.geometry or torch.equal(again.geometry.transform, features.geometry.transform)


def test_selected_rows_of_features_have_their_geometry():
    some = Features(Layout.GRID, (torch.arange(2.0).reshape(2, 1, 1, 1),), geometry=GEOMETRY).select([1])

    assert (some.value.item(), some.geometry.sizes.tolist()) == (1.0, [[10, 11]])
    assert some.geometry.transform.equal(GEOMETRY.transform[1:])


def test_a_single_example_of_a_sequence_loses_its_padding():
    alone = batch_to_features(features_to_batch(words()).select([0]), Layout.SEQUENCE)
    assert alone.value.shape == (1, 2, 4)
