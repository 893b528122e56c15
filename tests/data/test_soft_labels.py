"""Soft labels with encoded targets: aligned with rows, padded on their own, and mixed as the rows are."""

import torch

from taskgraft.contract.batch import Batch
from taskgraft.data.examples import AugmentedRows, EncodedDataset, EpochSeed, LocalBatch, iter_training_batches
from taskgraft.data.soft_labels import add_soft_labels, join_soft_labels, split_soft_labels

ENCODED = Batch(
    {"labels": torch.tensor([[1, 2, 0], [3, 0, 0]])}, {"labels": ("element",)}, {"element": torch.tensor([2, 1])}
)
SOFT = Batch({"shares": torch.arange(16.0).view(2, 4, 2)}, {"shares": ("element",)}, {"element": torch.tensor([1, 4])})


def same(one: Batch, other: Batch) -> bool:
    return (
        one.axes == other.axes
        and all(torch.equal(one[name], other[name]) for name in one.tensors | other.tensors)
        and all(torch.equal(one.lengths[axis], other.lengths[axis]) for axis in {**one.lengths, **other.lengths})
    )


def test_soft_labels_are_split_as_they_were_joined():
    own, soft = split_soft_labels(join_soft_labels(ENCODED, SOFT))

    assert same(own, ENCODED)
    assert same(soft, SOFT)


def test_rows_keep_their_soft_labels_and_each_axis_its_own_lengths():
    own, soft = split_soft_labels(join_soft_labels(ENCODED, SOFT).select([1, 0, 1]))

    assert same(own, ENCODED.select([1, 0, 1]))
    assert same(soft, SOFT.select([1, 0, 1]))


def test_micro_batches_take_the_soft_labels_of_their_rows():
    batch = LocalBatch(Batch({"x": torch.arange(2)}), join_soft_labels(ENCODED, SOFT), 2)

    assert same(split_soft_labels(batch.split(1)[1].targets)[1], SOFT.select([1]))


def test_two_processes_shard_the_soft_labels_of_a_batch_by_its_rows():
    numbers = Batch({"x": torch.arange(5)})
    examples = add_soft_labels(
        EncodedDataset(Whole(numbers), numbers), Whole(Batch({"shares": torch.arange(5.0) * 10}))
    )
    for index in (0, 1):
        for batch in iter_training_batches(examples, [[4, 1, 3]], EpochSeed(0, 0), index=index, count=2):
            own, soft = split_soft_labels(batch.targets)
            assert torch.equal(soft["shares"], own["x"] * 10.0)
            assert torch.equal(own["x"], batch.inputs["x"])


class Whole:
    """Rows in memory, as a source."""

    heavy = False
    bytes = 0

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch)

    def sizes(self):
        return [1] * len(self)

    def gather(self, rows):
        return self.batch.select(rows)


class Mixed:
    """Varied rows, each mixed with the one after it."""

    def augment(self, rows, seeds):
        from taskgraft.contract.processor import AugmentedBatch

        partners = torch.arange(len(rows)).roll(-1)
        return AugmentedBatch(Batch({"x": torch.tensor(rows)}), partners, torch.tensor([0.25, 1.0, 0.5]))


def test_mixed_examples_get_the_soft_labels_of_both_with_the_same_shares():
    labels = Batch({"label": torch.tensor([0.0, 1.0, 2.0])})
    shares = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])

    def blend(own, others, shares):
        assert list(own.tensors) == ["label"]
        return Batch({"label": torch.lerp(others["label"], own["label"], shares)})

    augmenter = AugmentedRows(Mixed(), labels, blend, heavy=False)
    examples = add_soft_labels(EncodedDataset(Whole(labels), labels, augmenter), Whole(Batch({"shares": shares})))
    (batch,) = iter_training_batches(examples, [[0, 1, 2]], EpochSeed(0, 0))
    own, soft = split_soft_labels(batch.targets)

    assert own["label"].tolist() == [0.75, 1.0, 1.0]
    assert soft["shares"].tolist() == [[0.25, 0.75], [0.0, 1.0], [0.75, 0.25]]
