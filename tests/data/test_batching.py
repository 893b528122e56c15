import itertools
import random

import pytest

from taskgraft.data.batching import _SORT_WINDOW, BatchBudget, inference_batches, shard_batch, training_batches

_CHANCE = random.Random(0)
SIZES = [_CHANCE.randint(1, 60) for _ in range(1_003)]


def flat(batches) -> list[int]:
    return [row for batch in batches for row in batch.tolist()]


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("fewest", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 7, 32, 2_000])
def test_every_row_is_trained_on_once_per_epoch(size, even, fewest):
    batches = training_batches(SIZES, BatchBudget(size), seed=3, epoch=2, even=even, fewest=fewest)
    assert sorted(flat(batches)) == list(range(len(SIZES)))


def order(seed: int, epoch: int) -> list[int]:
    return flat(training_batches(SIZES, BatchBudget(8), seed=seed, epoch=epoch))


def test_one_seed_and_epoch_give_one_order():
    assert order(1, 4) == order(1, 4)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 5), (2, 4)])
def test_another_seed_or_epoch_gives_another_order(seed, epoch):
    assert order(seed, epoch) != order(1, 4)


def test_rows_of_similar_length_come_together():
    batches = training_batches(SIZES, BatchBudget(16), seed=0, epoch=0)
    padded = sum(len(batch) * max(SIZES[row] for row in batch) for batch in batches)
    assert padded < 1.1 * sum(SIZES)


def test_batches_do_not_come_sorted_by_length():
    lengths = [max(SIZES[row] for row in batch) for batch in training_batches(SIZES, BatchBudget(16), seed=0, epoch=0)]
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


def test_rows_of_one_length_are_shuffled_over_the_whole_data():
    batches = training_batches([1] * 1_000, BatchBudget(10), seed=0, epoch=0)
    assert sum(max(batch) - min(batch) > 500 for batch in batches) > len(batches) // 2


def test_no_batch_is_larger_than_asked_for():
    assert max(map(len, training_batches(SIZES, BatchBudget(16), seed=0, epoch=0))) == 16


def test_a_last_batch_of_one_row_joins_the_one_before():
    batches = training_batches([1] * 9, BatchBudget(4), seed=0, epoch=0, fewest=2)
    assert sorted(map(len, batches)) == [4, 5]


def test_a_last_batch_of_one_row_joins_the_window_before():
    batches = training_batches([1] * (_SORT_WINDOW * 2 + 1), BatchBudget(2), seed=0, epoch=0, fewest=2)
    assert sorted(map(len, batches))[-1] == 3
    assert min(map(len, batches)) == 2


@pytest.mark.parametrize("fewest", [2, 4])
def test_batches_of_fewer_rows_join_the_next_and_no_more_than_that(fewest):
    batches = training_batches(SIZES, BatchBudget(8, elements=60), seed=0, epoch=0, fewest=fewest)
    assert min(map(len, batches)) >= fewest
    assert max(map(len, batches)) < 8 + fewest
    assert len(batches) > len(SIZES) // 8


def test_one_row_alone_stays_a_batch():
    assert training_batches([5], BatchBudget(4), seed=0, epoch=0, fewest=2) == [[0]]


def test_even_batches_hold_one_length_each():
    for batch in training_batches(SIZES, BatchBudget(8), seed=0, epoch=0, even=True):
        assert len({SIZES[row] for row in batch}) == 1


def test_inference_takes_every_row_once_longest_first():
    batches = inference_batches(SIZES, BatchBudget(16))
    assert sorted(flat(batches)) == list(range(len(SIZES)))
    assert [SIZES[row] for row in flat(batches)] == sorted(SIZES, reverse=True)


def test_even_inference_batches_hold_one_length_each():
    for batch in inference_batches(SIZES, BatchBudget(16), even=True):
        assert len({SIZES[row] for row in batch}) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 2, 7, 32])
def test_processes_share_each_row_exactly_once(rows, count):
    batch = list(range(100, 100 + rows))
    shares = [shard_batch(batch, index, count) for index in range(count)]
    assert sorted(row for mine, counted in shares for row in mine[:counted]) == batch


def test_a_process_without_work_computes_a_row_that_does_not_count():
    assert shard_batch([4, 9], 2, 3) == ([4], 0)


@pytest.mark.parametrize("even", [False, True])
def test_no_batch_has_more_elements_than_asked_for_unless_one_row_has(even):
    training = training_batches(SIZES, BatchBudget(32, 50), seed=0, epoch=0, even=even)
    for batch in [*training, *inference_batches(SIZES, BatchBudget(32, 50), even=even)]:
        assert len(batch) == 1 or len(batch) * max(SIZES[row] for row in batch) <= 50
    assert max(map(len, training)) > 4


@pytest.mark.parametrize("elements", [1, 50, 400, 10**9])
def test_batches_with_a_limit_of_elements_hold_every_row_once_and_as_many_as_fit(elements):
    batches = inference_batches(SIZES, BatchBudget(16, elements))
    assert [SIZES[row] for row in flat(batches)] == sorted(SIZES, reverse=True)
    for batch, after in itertools.pairwise(batches):
        assert len(batch) == 16 or (len(batch) + 1) * max(SIZES[row] for row in (*batch, after[0])) > elements
