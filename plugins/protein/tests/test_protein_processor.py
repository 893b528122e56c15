import pytest
import torch

from taskgraft.plugin import CATEGORY
from taskgraft_protein.alphabet import ESM
from taskgraft_protein.processor import LengthLimit, ProteinProcessor

PROCESSOR = ProteinProcessor(ESM, LengthLimit(residues=1022, long="refuse", overlap=255))


def prepare(*values):
    return PROCESSOR.prepare({"sequence": list(values)})


def test_lower_case_white_space_and_a_stop_at_the_end_are_read_as_the_sequence():
    processed = prepare("MKTAY", "mktay", " M K T\nA Y ", "MKTAY*")

    assert not processed.invalid
    assert not processed.notes
    assert processed.elements == [5, 5, 5, 5]
    assert (processed.batch["residues"] == processed.batch["residues"][0]).all()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the sequence is empty"),
        ("", "the sequence is empty"),
        (" \n", "the sequence is empty"),
        ("*", "the sequence is empty"),
        (12, "the sequence is 12, not a text"),
        (["M", "K"], "the sequence is ['M', 'K'], not a text"),
        ("MK-TAY", "'-' at position 3 is a gap; give sequences, not the rows of an alignment"),
        ("MKTA.", "'.' at position 5 is a gap; give sequences, not the rows of an alignment"),
        ("MK*TAY", "'*' at position 3 is a stop within the sequence"),
        ("MKTAY**", "'*' at position 6 is a stop within the sequence"),
        ("MK3TAY", "'3' at position 3 is not a residue"),
        (">sp|P1", "'>' at position 1 is not a residue"),
        ("MKÄ", "'Ä' at position 3 is not a residue"),
    ],
)
def test_a_value_that_is_not_a_sequence_is_invalid_with_a_reason(value, reason):
    processed = prepare("MKT", value)

    assert processed.invalid == {1: reason}
    assert len(processed.batch) == 2


def test_letters_without_a_token_of_their_own_are_read_as_x_and_counted():
    processed = prepare("MKJ", "JJ", "MKU", "MKX")

    assert dict(processed.notes) == {"letters that the model does not distinguish read as X": 2}
    assert processed.batch["residues"].tolist() == [[20, 15, 24], [24, 24, 0], [20, 15, 26], [20, 15, 24]]


def test_padding_holds_zero_on_the_right():
    batch = prepare("MKTAY", "G").batch

    assert batch["residues"].tolist() == [[20, 15, 11, 5, 19], [6, 0, 0, 0, 0]]
    assert batch.lengths["element"].tolist() == [5, 1]


def test_element_values_are_letters_and_x_and_padding_have_none():
    (kind,) = PROCESSOR.element_schema.kinds
    values = PROCESSOR.element_values(prepare("MXU", "G").batch)[CATEGORY]

    names = [[kind.categories[number] if number >= 0 else None for number in row] for row in values.tolist()]
    assert names == [["M", None, "U"], ["G", None, None]]


def test_masked_residues_become_the_mask_token_for_any_seed():
    batch = prepare("MKT", "GA").batch
    masked = torch.tensor([[False, True, False], [True, False, False]])

    for seeds in ([0, 1], [7, 8]):
        assert PROCESSOR.mask_elements(batch, masked, seeds)["residues"].tolist() == [[20, 32, 11], [32, 5, 0]]
    assert PROCESSOR.element_values(PROCESSOR.mask_elements(batch, masked, [0, 1]))[CATEGORY].tolist()[1] == [-1, 0, -1]
