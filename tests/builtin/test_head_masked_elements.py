import math

import pytest
import torch
from cells import COLOURS, CellsProcessor
from pydantic import ValidationError

from taskgraft.builtin.heads.configs import MaskedElementsConfig
from taskgraft.builtin.heads.masked_elements import MaskedElements
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import Layout, sequence
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema

CELLS = CellsProcessor().element_schema
WORD = ElementSchema(kinds=(ElementKind(name="word", categories=5),), by_position=False)
NAN = torch.nan


def head(share: float = 0.15, shown: float = 0.05) -> MaskedElements:
    return MaskedElements(MaskedElementsConfig(share=share, shown=shown))


def words(rows: int, elements: int) -> Batch:
    """Rows with a category in each element."""
    tensors = {CATEGORY: torch.zeros(rows, elements, dtype=torch.int64), NUMBER: torch.zeros(rows, elements, 0)}
    return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.full((rows,), elements)})


def cells() -> Batch:
    """A row with everything masked, one with half of its span, and one with nothing."""
    category = torch.tensor([[-1, -1, 2], [-1, -1, -1], [-1, -1, -1]])
    number = torch.tensor(
        [[[1.0, NAN], [2.0, 4.0], [NAN, NAN]], [[NAN, NAN], [NAN, 3.0], [NAN, NAN]], [[NAN, NAN]] * 3]
    )
    tensors = {CATEGORY: category, NUMBER: number}
    return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), {ELEMENT_AXIS: torch.tensor([3, 3, 3])})


def zeros(module, features: Features):
    """The output of a module whose weights and biases are all zero."""
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    return module(features)


def features(rows: int, elements: int) -> Features:
    drawn = torch.randn(rows, elements, 4, generator=torch.Generator().manual_seed(0))
    return Features(Layout.SEQUENCE, (drawn,), torch.full((rows,), elements))


@pytest.mark.parametrize(("share", "elements"), [(0.15, 20), (0.15, 3), (0.5, 7)])
def test_a_share_of_the_elements_is_masked_but_at_least_one(share, elements):
    masked = head(share).choose_masked(words(2_000, elements), range(2_000)).sum(1)
    assert set(masked.tolist()) <= {max(math.floor(share * elements), 1), math.ceil(share * elements)}
    assert masked.float().mean() == pytest.approx(max(share * elements, 1), rel=0.03)


def test_each_element_is_masked_equally_often():
    masked = head(0.3).choose_masked(words(5_000, 10), range(5_000)).float().mean(0)
    assert torch.allclose(masked, torch.full((10,), 0.3), atol=0.03)


def test_the_mask_of_a_row_depends_only_on_its_seed():
    longer = head().choose_masked(words(3, 30), [5, 6, 7])
    assert head().choose_masked(words(1, 30), [6])[0].equal(longer[1])
    assert not longer[0].equal(longer[2])


@pytest.mark.parametrize(("share", "shown"), [(0.15, 0.05), (0.3, 0.0), (0.5, 0.5)])
def test_a_share_of_the_visible_elements_is_scored_too(share, shown):
    rows, seeds = words(2_000, 30), range(2_000)
    masked, scored = (
        choice(rows, seeds) for choice in (head(share, shown).choose_masked, head(share, shown).choose_scored)
    )
    assert not (masked & ~scored).any()
    assert (scored & ~masked).float().mean() == pytest.approx(shown, abs=0.003)


def test_the_shares_of_masked_and_visible_elements_sum_to_at_most_one():
    with pytest.raises(ValidationError) as caught:
        head(0.6, 0.5)
    assert "share = 0.6 and shown = 0.5 are more than all elements" in str(caught.value)


def test_a_row_without_maskable_elements_is_not_masked():
    assert head().choose_masked(cells(), [1, 2, 3]).any(1).tolist() == [True, True, False]


def test_the_loss_of_categories_is_in_nats_and_counts_masked_elements():
    module, read = head().build_module(sequence(4), head().fit_element_schema(WORD)), features(2, 3)
    targets = words(2, 3)
    targets[CATEGORY][0, 1:] = -1
    loss = module.loss(zeros(module, read), targets, read)
    assert float(loss.weight) == 4
    assert float(loss.total.detach()) == pytest.approx(4 * math.log(5))


def test_the_loss_of_numbers_is_the_mean_of_the_known_ones_of_an_element():
    module, read = head().build_module(sequence(4), head().fit_element_schema(CELLS)), features(3, 3)
    loss = module.loss(zeros(module, read), cells(), read)
    assert float(loss.weight) == 4
    assert float(loss.total.detach()) == pytest.approx(1 + (4 + 16) / 2 + math.log(3) + 9)


def test_a_batch_without_masked_elements_has_a_loss_of_zero_with_gradients():
    module, read = head().build_module(sequence(4), head().fit_element_schema(CELLS)), features(1, 3)
    loss = module.loss(module(read), cells().select([2]), read)
    loss.total.backward()
    assert (float(loss.total.detach()), float(loss.weight)) == (0, 0)
    assert module.readout.weight.grad.eq(0).all()


def test_decoded_targets_are_named_by_kind_where_kinds_are_by_position():
    target = head().fit_element_schema(CELLS)
    assert head().decode_targets(cells(), target) == [
        {"size": 1.0, "span": [2.0, 4.0], "colour": "blue"},
        {"size": None, "span": [None, 3.0], "colour": None},
        {"size": None, "span": None, "colour": None},
    ]


def test_predictions_have_the_form_of_decoded_targets():
    module = head().build_module(sequence(4), head().fit_element_schema(CELLS))
    row = module.predict(module(features(2, 3)), features(2, 3)).values[1]
    assert list(row) == ["size", "span", "colour"]
    assert isinstance(row["size"], float)
    assert len(row["span"]) == 2
    assert row["colour"] in COLOURS


def test_a_number_that_is_not_finite_is_not_predicted_as_missing():
    module = head().build_module(sequence(4), head().fit_element_schema(CELLS))
    module.readout.bias.data.fill_(NAN)
    row = module.predict(module(features(2, 3)), features(2, 3)).values[1]
    assert row["size"] != row["size"]
    assert all(number != number for number in row["span"])


def test_categories_without_names_are_decoded_to_indices_without_padding():
    module = head().build_module(sequence(4), head().fit_element_schema(WORD))
    read = Features(Layout.SEQUENCE, features(2, 3).values, torch.tensor([3, 1]))
    found = module.predict(module(read), read).values
    assert [len(row) for row in found] == [3, 1]
    assert all(number in range(5) for row in found for number in row)


def test_a_target_description_does_not_list_categories_without_names():
    target = head().fit_element_schema(
        ElementSchema(kinds=(ElementKind(name="piece", categories=30_000),), by_position=False)
    )
    assert len(target.model_dump_json()) < 120
