import pytest
import torch

from taskgraft.contract.descriptions import FeatureDescription, Layout, sequence, vector
from taskgraft.contract.features import Features, GridGeometry, batch_to_features, describe_mismatch, features_to_batch

LENGTHS = torch.tensor([2, 3])
PLACE = GridGeometry(torch.randn(2, 2, 3), torch.tensor([[8, 9], [10, 11]]))


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
        Features(Layout.PYRAMID, (torch.randn(2, 4, 6, 6), torch.randn(2, 8, 3, 3)), geometry=PLACE),
    ],
    ids=["vector", "members", "sequence", "pair", "grid", "pyramid", "placed"],
)
def test_features_survive_being_a_batch(features):
    again = batch_to_features(features_to_batch(features), features.layout)
    assert again.layout == features.layout
    assert all(torch.equal(one, other) for one, other in zip(again.values, features.values, strict=True))
    assert (again.lengths is None) == (features.lengths is None)
    assert again.geometry == features.geometry or torch.equal(again.geometry.transform, features.geometry.transform)


def test_some_rows_of_features_keep_their_place():
    some = Features(Layout.GRID, (torch.arange(2.0).reshape(2, 1, 1, 1),), geometry=PLACE).select([1])

    assert (some.value.item(), some.geometry.sizes.tolist()) == (1.0, [[10, 11]])
    assert some.geometry.transform.equal(PLACE.transform[1:])


def test_a_single_example_of_a_sequence_loses_its_padding():
    alone = batch_to_features(features_to_batch(words()).select([0]), Layout.SEQUENCE)
    assert alone.value.shape == (1, 2, 4)


def test_features_that_match_their_description_have_no_mismatch():
    assert describe_mismatch(words(), sequence(4)) is None
    assert describe_mismatch(Features(Layout.VECTOR, (torch.zeros(2, 3, 4),)), vector(4, members=3)) is None


@pytest.mark.parametrize(
    ("features", "description", "said"),
    [
        (words(), vector(4), "the layout is sequence, described as vector"),
        (words(), sequence(5), "the feature size is (4,), described as (5,)"),
        (
            Features(Layout.VECTOR, (torch.zeros(2, 3, 4),)),
            vector(4),
            "vector features have the shape (2, 3, 4), described with 2 axes",
        ),
        (
            Features(Layout.VECTOR, (torch.zeros(2, 3, 4),)),
            vector(4, members=8),
            "there are 3 members, described as 8",
        ),
        (Features(Layout.SEQUENCE, (torch.zeros(2, 3, 4),)), sequence(4), "sequence features lack lengths"),
        (Features(Layout.VECTOR, (torch.zeros(2, 4),), LENGTHS), vector(4), "vector features have lengths"),
        (
            Features(Layout.GRID, (torch.zeros(2, 4, 5, 5),)),
            FeatureDescription(Layout.GRID, (5,), strides=(4,)),
            "the feature size is (4,), described as (5,)",
        ),
        (
            Features(Layout.PYRAMID, (torch.zeros(1, 4, 6, 6),)),
            FeatureDescription(Layout.PYRAMID, (4, 8), strides=(2, 4)),
            "the feature size is (4,), described as (4, 8)",
        ),
        (
            Features(Layout.VECTOR, (torch.zeros(2, 4),), geometry=PLACE),
            vector(4),
            "vector features have a place",
        ),
        (
            Features(Layout.GRID, (torch.zeros(3, 4, 5, 5),), geometry=PLACE),
            FeatureDescription(Layout.GRID, (4,), strides=(4,)),
            "the place of 3 rows has a transform of the shape (2, 2, 3) and sizes of (2, 2)",
        ),
    ],
)
def test_a_mismatch_is_said_in_one_sentence(features, description, said):
    assert describe_mismatch(features, description) == said
