import pyarrow as pa
import pytest
import torch

from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import BackboneDescription, InputField, vector
from taskgraft.contract.processor import ProcessedBatch, Processor
from taskgraft.contract.rows import InvalidRows, Rows
from taskgraft.data.preprocessing import preprocess
from taskgraft.reading.invalid_rows import drop_invalid

ROWS = Rows(pa.table({"text": ["a", "b", "c"]}), "train.csv", [2, 3, 4])


def test_without_invalid_rows_the_rows_are_returned():
    assert drop_invalid(ROWS, {}, "error") is ROWS


def test_invalid_rows_are_an_error_unless_they_are_skipped():
    with pytest.raises(InvalidRows) as caught:
        drop_invalid(ROWS, {1: "the text is odd"}, "error")
    assert str(caught.value) == (
        'train.csv, line 3: the text is odd.\nFix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_the_advice_ends_the_message():
    with pytest.raises(InvalidRows) as caught:
        drop_invalid(ROWS, {1: "the text is odd"}, "error", "Leave them.")
    assert str(caught.value) == "train.csv, line 3: the text is odd.\nLeave them."


def test_skipped_rows_are_counted_by_reason():
    rows = drop_invalid(ROWS, {1: "the text is odd"}, "skip")
    assert (rows.values("text"), list(rows.lines)) == (["a", "c"], [2, 4])
    assert rows.skipped == {"skipped, since the text is odd": 1}


def test_rows_are_not_skipped_when_all_are_invalid():
    with pytest.raises(InvalidRows):
        drop_invalid(ROWS, dict.fromkeys(range(3), "the text is odd"), "skip")


class Lengths(Processor):
    """A number → that many positions, cut to 3. Negative numbers are invalid."""

    def prepare(self, inputs):
        numbers = list(inputs["number"])
        lengths = torch.tensor([min(max(number, 0), 3) for number in numbers])
        real = torch.arange(int(lengths.max())) < lengths[:, None]
        values = torch.tensor(numbers)[:, None] * real
        invalid = {row: "the number is negative" for row, number in enumerate(numbers) if number < 0}
        batch = Batch({"value": values}, {"value": ("element",)}, {"element": lengths})
        cut = sum(abs(number) > 3 for number in numbers)
        return ProcessedBatch(batch, invalid, {"cut to 3": cut} if cut else {}, [abs(number) for number in numbers])

    def settings(self):
        return {}


class OnTheFly(Lengths):
    cacheable = False


class Numbers:
    description = BackboneDescription((InputField("number"),), (vector(1),), ())

    def __init__(self, processor):
        self.processor = processor


def processed(numbers, folder, processor, memory=1 << 20):
    rows = Rows(pa.table({"number": numbers}), "train.csv")
    return preprocess(rows, {"number": "number"}, Numbers(processor), folder, memory)


@pytest.mark.parametrize("memory", [1 << 20, 0], ids=["memory", "not in memory"])
@pytest.mark.parametrize("processor", [Lengths(), OnTheFly()], ids=["cached", "on the fly"])
def test_dropped_rows_leave_the_inputs_of_data_without_them(tmp_path, processor, memory):
    inputs = processed([5, 2, -4, 1, 4, 9], tmp_path / "all", processor, memory)
    dropped = inputs.drop(inputs.invalid, "skip").drop({1: "unwanted"}, "skip")
    wanted = processed([5, 1, 4, 9], tmp_path / "some", processor, memory)
    assert inputs.invalid == {2: "the number is negative"}
    assert dropped.rows.values("number") == [5, 1, 4, 9]
    assert dropped.rows.skipped == {
        "skipped, since the number is negative": 1,
        "skipped, since unwanted": 1,
    }
    assert (dropped.elements, dropped.source.sizes()) == (wanted.elements, wanted.source.sizes())
    assert (dict(dropped.notes), dropped.invalid) == ({"cut to 3": 3}, {})
    for rows in ([0], [3, 1], [2, 0, 1, 3]):
        one, other = dropped.source.gather(rows), wanted.source.gather(rows)
        assert torch.equal(one["value"], other["value"])
        assert torch.equal(one.lengths["element"], other.lengths["element"])
        assert torch.equal(dropped.on_the_fly.gather(rows)["value"], other["value"])


def test_a_note_on_dropped_rows_alone_is_gone(tmp_path):
    inputs = processed([1, -4], tmp_path, Lengths())
    assert inputs.notes == {"cut to 3": 1}
    assert dict(inputs.drop(inputs.invalid, "skip").notes) == {}
