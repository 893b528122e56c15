import pytest
import torch
from pydantic import ValidationError

from taskgraft.contract.batch import Batch
from taskgraft.contract.features import ELEMENT_AXIS
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema, keep_masked, maskable

SIZE, COLOUR = ElementKind(name="size", numbers=1), ElementKind(name="colour", categories=("red", "blue"))


def held() -> Batch:
    """Two rows of a number and a category each, of which the second has no category; then padding, which holds 0."""
    category = torch.tensor([[-1, 1, 0], [-1, -1, 0]])
    number = torch.tensor([[0.5, torch.nan, 0.0], [torch.nan, torch.nan, 0.0]])[..., None]
    tensors = {CATEGORY: category, NUMBER: number}
    return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.tensor([2, 2])})


def test_outputs_are_one_per_category_or_number():
    assert [
        kind.outputs for kind in (SIZE, COLOUR, ElementKind(name="word", categories=30_000), ElementKind(name="id"))
    ] == [
        1,
        2,
        30_000,
        0,
    ]


def test_contents_survive_json():
    contents = ElementSchema(kinds=(SIZE, COLOUR, ElementKind(name="word", categories=30_000)), by_position=True)
    text = contents.model_dump_json()
    assert ElementSchema.model_validate_json(text) == contents
    assert len(text) < 300


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda: ElementKind(name="both", categories=2, numbers=1),
            "elements of the kind 'both' have categories or numbers, not both",
        ),
        (lambda: ElementSchema(kinds=(SIZE, SIZE), by_position=True), "two kinds have one name: ['size', 'size']"),
        (
            lambda: ElementSchema(kinds=(SIZE, COLOUR), by_position=False),
            "several kinds need by_position",
        ),
        (
            lambda: ElementSchema(kinds=(ElementKind(name="id"),), by_position=True),
            "no kind of element has a value that could be recovered",
        ),
    ],
)
def test_an_inconsistent_schema_is_rejected(make, problem):
    with pytest.raises(ValidationError) as caught:
        make()
    assert str(caught.value.errors()[0]["ctx"]["error"]) == problem


def test_padding_and_elements_without_content_cannot_be_recovered():
    assert maskable(held()).tolist() == [[True, True, False], [False, False, False]]


def test_elements_that_are_not_masked_have_no_value_to_recover():
    left = keep_masked(held(), torch.tensor([[False, True, False], [True, True, False]]))
    assert left[CATEGORY][:, :2].tolist() == [[-1, 1], [-1, -1]]
    assert left[NUMBER].isnan()[:, :2].all()
