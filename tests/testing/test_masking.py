"""Each check of the conformance kit for masking catches a fault planted for it, and reports it in the author's terms."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from backbones import TEXTS, Pictures, Words, WordsProcessor
from cells import Cells, CellsProcessor, cells_rows
from kit_laws import Planted

from taskgraft import testing as kit
from taskgraft.builtin.heads.configs import MaskedElementsConfig
from taskgraft.builtin.heads.masked_elements import MaskedElements
from taskgraft.contract.batch import Batch
from taskgraft.contract.features import ELEMENT_AXIS
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema, maskable
from taskgraft.testing import InsufficientExamples

WORDS, CELLS, KINDS = {"text": TEXTS}, cells_rows(8), CellsProcessor().element_schema


def processing(kind: type, processor: type) -> Callable[[], Any]:
    """A backbone with another processor."""

    class Spoiled(kind):
        @property
        def processor(self):
            return processor()

    return lambda: Spoiled().eval()


def holding(change: Callable[[Batch], dict[str, torch.Tensor]]) -> Callable[[], Any]:
    """Words with other element values."""

    class Spoiled(WordsProcessor):
        def element_values(self, batch):
            right = super().element_values(batch)
            return Batch({**right.tensors, **change(right)}, right.axes, right.lengths)

    return processing(Words, Spoiled)


def hiding(kind: type, processor: type, change: Callable[..., Batch]) -> Callable[[], Any]:
    """A backbone that masks differently: the change gets the correct result, the batch, the mask and the seeds."""

    class Spoiled(processor):
        def mask_elements(self, batch, hidden, seeds):
            return change(super().mask_elements(batch, hidden, seeds), batch, hidden, seeds)

    return processing(kind, Spoiled)


class Nothing(WordsProcessor):
    @property
    def element_schema(self):
        return None


class Growing(WordsProcessor):
    """Counts one more category on every call."""

    asked = 0

    @property
    def element_schema(self):
        Growing.asked += 1
        return ElementSchema(kinds=(ElementKind(name="word", categories=63 + Growing.asked),), by_position=False)


class FewerColours(CellsProcessor):
    @property
    def element_schema(self):
        return ElementSchema(
            kinds=(*super().element_schema.kinds[:2], ElementKind(name="colour", categories=("red", "green"))),
            by_position=True,
        )


class FewerKinds(CellsProcessor):
    @property
    def element_schema(self):
        return ElementSchema(kinds=super().element_schema.kinds[:2], by_position=True)


class OneNumber(CellsProcessor):
    @property
    def element_schema(self):
        kinds = super().element_schema.kinds
        return ElementSchema(kinds=(kinds[0], ElementKind(name="span", numbers=1), kinds[2]), by_position=True)


class AllRowsEqual(CellsProcessor):
    def element_values(self, batch):
        right = super().element_values(batch)
        return Batch(
            {CATEGORY: right[CATEGORY] * 0 + torch.tensor([-1, -1, 0]), NUMBER: right[NUMBER] * torch.nan},
            right.axes,
            right.lengths,
        )


class KeepsACopy(WordsProcessor):
    """Reads element values from a copy of the words, and masks whole rows."""

    def prepare(self, inputs):
        right = super().prepare(inputs)
        tensors = {"words": right.batch["words"], "copy": right.batch["words"]}
        return replace(right, batch=Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), right.batch.lengths))

    def element_values(self, batch):
        return super().element_values(words(batch, batch["copy"]))

    def mask_elements(self, batch, hidden, seeds):
        made = torch.where(hidden.any(1, keepdim=True), 0, batch["words"])
        return Batch({"words": made, "copy": batch["copy"]}, batch.axes, batch.lengths)


class LongerRows(WordsProcessor):
    """Counts padding among the elements."""

    def element_values(self, batch):
        right = super().element_values(batch)
        return Batch(
            right.tensors,
            right.axes,
            {ELEMENT_AXIS: torch.full_like(right.lengths[ELEMENT_AXIS], right.longest(ELEMENT_AXIS))},
        )


def words(batch: Batch, changed: torch.Tensor) -> Batch:
    return Batch({"words": changed}, {"words": (ELEMENT_AXIS,)}, batch.lengths)


def in_place(right, batch, hidden, seeds):
    batch["words"][hidden] = 0
    return batch


def the_next(right, batch, hidden, seeds):
    """Masks the element after the requested one."""
    return words(batch, batch["words"].masked_fill(hidden.roll(1, 1) & batch.mask(ELEMENT_AXIS), 0))


def every(right, batch, hidden, seeds):
    """Masks the whole row once an element is masked."""
    return words(batch, torch.where(hidden.any(1, keepdim=True), 0, batch["words"]))


def nothing(right, batch, hidden, seeds):
    return batch


def always(right, batch, hidden, seeds):
    return words(batch, batch["words"].masked_fill(batch["words"] == batch["words"][:, :1], 0))


def nearly(right, batch, hidden, seeds):
    """Masks even and odd words by different numbers."""
    return words(batch, torch.where(hidden, 1 + batch["words"] % 2, batch["words"]))


def keeps_the_number(right, batch, hidden, seeds):
    return Batch({**right.tensors, "numbers": batch["numbers"]})


def with_random_words(right, batch, hidden, seeds):
    drawn = torch.randint(1, 64, hidden.shape)
    return words(batch, torch.where(hidden, drawn, batch["words"]))


def by_the_first_seed(right, batch, hidden, seeds):
    return words(batch, torch.where(hidden, 1 + seeds[0], batch["words"]))


class Choosing(MaskedElements):
    """A head that masks other elements."""

    def __init__(self, change: Callable[..., torch.Tensor]):
        super().__init__(MaskedElementsConfig())
        self.change = change

    def choose_masked(self, held, seeds):
        return self.change(super().choose_masked(held, seeds), held, seeds)


class Scoring(MaskedElements):
    """A head that scores other elements."""

    def __init__(self, change: Callable[..., torch.Tensor]):
        super().__init__(MaskedElementsConfig())
        self.change = change

    def choose_scored(self, held, seeds):
        return self.change(super().choose_scored(held, seeds), held, seeds)


class OtherForm(MaskedElements):
    def __init__(self):
        super().__init__(MaskedElementsConfig())

    def decode_targets(self, encoded, target):
        return [list(row.values()) for row in super().decode_targets(encoded, target)]


class MasksGrids(Pictures):
    @property
    def description(self):
        return replace(super().description, can_mask=True)


SOUND, FITS = kit.check_element_schema_is_valid, kit.check_element_values_match_the_schema
REST, LEAK = kit.check_masking_changes_only_masked_elements, kit.check_masked_values_do_not_leak
SEED, CHOICE = kit.check_masking_depends_on_the_seed_alone, kit.check_masked_elements_are_chosen_by_seed

PLANTED = (
    Planted(
        kit.check_description_is_valid,
        MasksGrids,
        "it can mask elements, but emits no sequence",
        advice="Emit sequence features as well, or set can_mask=False.",
    ),
    Planted(SOUND, processing(Words, Nothing), "element_schema is a NoneType, not an ElementSchema"),
    Planted(
        SOUND,
        processing(Words, Growing),
        "on a second call, ElementSchema(kinds=(ElementKind(name='word', categories=64, numbers=0),), "
        "by_position=False) is ElementSchema(kinds=(ElementKind(name='word', categories=66, numbers=0),), "
        "by_position=False)",
    ),
    Planted(
        FITS,
        holding(lambda right: {CATEGORY: right[CATEGORY].int()}),
        "'category' is torch.int32 (6, 7), padded along ('element',), not torch.int64 with 2 axes, padded along "
        "('element',)",
    ),
    Planted(
        FITS,
        processing(Words, LongerRows),
        "the rows have [7, 7, 7, 7, 7, 7] elements, but their sequence features have other lengths",
    ),
    Planted(
        FITS, processing(Cells, FewerKinds), "there are 2 kinds by position, but rows of [3] elements", given=CELLS
    ),
    Planted(FITS, processing(Cells, FewerColours), "'colour' has 2 categories, but elements have -1 to 2", given=CELLS),
    Planted(
        FITS,
        processing(Cells, OneNumber),
        "'span' has 1 numbers per element, but the values hold more, or some that are neither finite nor NaN",
        given=CELLS,
    ),
    Planted(
        FITS, holding(lambda right: {CATEGORY: right[CATEGORY] % len(right)}), "row 0 has other element values alone"
    ),
    Planted(
        FITS,
        holding(lambda right: {CATEGORY: right[CATEGORY] % right.longest(ELEMENT_AXIS)}),
        "row 0 has other element values with more padding",
    ),
    Planted(FITS, processing(Cells, AllRowsEqual), "all rows have the same element values", given=CELLS),
    Planted(REST, hiding(Words, WordsProcessor, always), "an empty mask changes the batch"),
    Planted(REST, hiding(Words, WordsProcessor, in_place), "masking changes the batch that was passed in"),
    Planted(
        REST, hiding(Words, WordsProcessor, the_next), "after one element of a row was masked, others have other values"
    ),
    Planted(REST, hiding(Words, WordsProcessor, nothing), "the features of row 0 are the same with an element masked"),
    Planted(
        REST, hiding(Words, WordsProcessor, every), "after one element of a row was masked, others have other values"
    ),
    Planted(
        REST, processing(Words, KeepsACopy), "the features of row 0 are the same with one element masked and with all"
    ),
    Planted(
        LEAK,
        hiding(Words, WordsProcessor, nearly),
        "the features of rows 0 and 3 differ, although all their elements are masked",
    ),
    Planted(
        LEAK,
        hiding(Cells, CellsProcessor, keeps_the_number),
        "the features of rows 0 and 1 differ, although all their elements are masked",
        given=CELLS,
    ),
    Planted(SEED, hiding(Words, WordsProcessor, with_random_words), "masking twice with the same seeds differs"),
    Planted(SEED, hiding(Words, WordsProcessor, by_the_first_seed), "row 1 is masked differently alone and in a batch"),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right.int()),
        "choose_masked returns torch.int32 (32, 3), not torch.bool (32, 3)",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right | ~maskable(held)),
        "an element is masked that has no value to recover",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right & (held[CATEGORY] >= 0)),
        "in a row that has values, no element is masked",
        advice="Mask at least one element.",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right | (maskable(held) & (torch.rand(right.shape) < 0.3))),
        "choose_masked twice with the same seeds differs",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: right | (maskable(held) & right[:1])),
        "in row 1, other elements are masked alone than in a batch",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Choosing(lambda right, held, seeds: maskable(held)),
        "other seeds choose the same elements",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Scoring(lambda right, held, seeds: right.int()),
        "choose_scored returns torch.int32 (32, 3), not torch.bool (32, 3)",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Scoring(lambda right, held, seeds: right & (held[CATEGORY] >= 0)),
        "an element is masked but not scored",
        advice="Score at least what the same seeds mask.",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Scoring(lambda right, held, seeds: right | ~maskable(held)),
        "an element is scored that has no value to recover",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Scoring(lambda right, held, seeds: right | (maskable(held) & right[:1])),
        "in row 1, other elements are scored alone than in a batch",
        given=KINDS,
    ),
    Planted(
        CHOICE,
        lambda: Scoring(lambda right, held, seeds: right | (maskable(held) & (torch.rand(right.shape) < 0.3))),
        "choose_scored twice with the same seeds differs",
        given=KINDS,
    ),
    Planted(
        kit.check_predictions_have_the_form_of_targets,
        OtherForm,
        "the target [None, [#, #], None] is predicted as {'size': #, 'span': [#, #], 'colour': 'blue'}",
        given=KINDS,
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    planted.assert_caught(planted.given or WORDS, stable=lambda text: re.sub(r"-?\d+\.\d+", "#", text))


def test_examples_without_a_pair_to_compare_are_rejected():
    texts = {"text": ["one", "two words", "three words here", "four words are there"]}
    with pytest.raises(InsufficientExamples) as caught:
        LEAK(Words().eval(), texts)
    assert str(caught.value) == (
        "The examples given for Words prove nothing: no two rows have the same number of elements and different values; "
        "give two that do."
    )


def test_examples_without_values_are_rejected():
    with pytest.raises(InsufficientExamples) as caught:
        FITS(holding(lambda right: {CATEGORY: torch.full_like(right[CATEGORY], -1)})(), WORDS)
    assert str(caught.value) == (
        "The examples given for Spoiled prove nothing: no element has a value that could be recovered."
    )


def test_a_backbone_that_cannot_mask_passes():
    class Bare(CellsProcessor):
        element_schema = property(lambda self: 1 / 0)

    class Open(Cells):
        description = property(lambda self: replace(super().description, can_mask=False))
        processor = property(lambda self: Bare())

    SOUND(Open())
    for check in (FITS, REST, LEAK, SEED):
        check(Open(), CELLS)
