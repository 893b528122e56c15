import pytest
import torch

from taskgraft.contract.descriptions import FeatureDescription, Layout, sequence, vector
from taskgraft.contract.features import Features, GridGeometry
from taskgraft.testing.feature_mismatch import describe_mismatch

LENGTHS = torch.tensor([2, 3])
GEOMETRY = GridGeometry(torch.randn(2, 2, 3), torch.tensor([[8, 9], [10, 11]]))


def words() -> Features:
    return Features(Layout.SEQUENCE, (torch.randn(2, 3, 4),), LENGTHS)


def test_features_that_match_their_description_have_no_mismatch():
    assert describe_mismatch(words(), sequence(4)) is None
    assert describe_mismatch(Features(Layout.VECTOR, (torch.zeros(2, 3, 4),)), vector(4, members=3)) is None


@pytest.mark.parametrize(
    ("features", "description", "problem"),
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
            Features(Layout.VECTOR, (torch.zeros(2, 4),), geometry=GEOMETRY),
            vector(4),
            "vector features have a geometry",
        ),
        (
            Features(Layout.GRID, (torch.zeros(3, 4, 5, 5),), geometry=GEOMETRY),
            FeatureDescription(Layout.GRID, (4,), strides=(4,)),
            "the geometry of 3 rows has a transform of shape (2, 2, 3) and sizes of shape (2, 2)",
        ),
    ],
)
def test_a_mismatch_is_described_in_one_sentence(features, description, problem):
    assert describe_mismatch(features, description) == problem
