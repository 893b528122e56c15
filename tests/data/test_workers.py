import os
from dataclasses import dataclass

import pytest
import torch

from taskgraft.data.workers import MAX_WORKERS, parallel_map, worker_count
from taskgraft.errors import TaskgraftError


@dataclass(eq=False)
class Odd(TaskgraftError):
    number: int
    advice: str

    def __str__(self):
        return f"{self.number} is odd. {self.advice}"


def doubled(number):
    return 2 * number, os.getpid()


def even(number):
    if number % 2:
        raise Odd(number, "Give an even one.")
    return number


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    assert [result for result, _ in parallel_map(doubled, range(20), workers)] == list(range(0, 40, 2))


def test_workers_are_other_processes():
    assert os.getpid() not in {process for _, process in parallel_map(doubled, range(8), 2)}


def test_without_workers_or_with_one_item_no_process_is_started():
    found = [*parallel_map(doubled, range(3), 0), *parallel_map(doubled, [5], 2)]
    assert {process for _, process in found} == {os.getpid()}


def test_nothing_to_do_is_done():
    assert list(parallel_map(doubled, [], 2)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_arrives_as_it_was_raised(workers):
    with pytest.raises(Odd) as caught:
        list(parallel_map(even, [2, 4, 7, 8], workers))
    assert str(caught.value) == "7 is odd. Give an even one."


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    list(parallel_map(doubled, range(4), 2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_machine_decides_where_the_user_does_not():
    cores = len(os.sched_getaffinity(0))
    assert worker_count(None, heavy=True) == min(cores, MAX_WORKERS)
    assert worker_count(None, heavy=False) == 0
    assert worker_count(3, heavy=False) == worker_count(3, heavy=True) == 3
