import mmap

import numpy as np
import pyarrow as pa
import pytest
import torch

from taskgraft.engine.entry_point import entry_point
from taskgraft.engine.memory import NotEnoughMemory, halve_on_oom, is_out_of_memory


def failing_above(rows_that_fit: int, error: Exception):
    """Work that needs memory for each row."""

    def work(rows):
        if len(rows) > rows_that_fit:
            raise error
        return sum(rows)

    return work


def test_work_that_fits_is_done_at_once():
    assert list(halve_on_oom([3, 1, 2], failing_above(8, MemoryError()))) == [([3, 1, 2], 6)]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("out of memory")])
def test_work_that_does_not_fit_is_done_in_halves_and_keeps_its_order(error):
    found = list(halve_on_oom([5, 4, 3, 2, 1], failing_above(2, error)))
    assert found == [([5, 4], 9), ([3], 3), ([2, 1], 3)]


def test_a_cpu_out_of_memory_is_recognised():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert is_out_of_memory(raised.value)


def test_another_error_is_not_out_of_memory():
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")
    assert not is_out_of_memory(error)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(halve_on_oom([1, 2], failing_above(0, error)))


def test_a_single_row_that_does_not_fit_is_an_error():
    with pytest.raises(NotEnoughMemory) as raised:
        list(halve_on_oom([1, 2], failing_above(0, MemoryError())))
    assert str(raised.value) == (
        "There is not enough memory for a forward pass with a single row. "
        "Shorten the inputs, or choose a smaller backbone."
    )


@pytest.mark.parametrize(
    ("allocate", "asked"),
    [
        (lambda: torch.empty(10**15), " (could not allocate 4,000,000.0 GB)"),
        (lambda: np.empty(10**15), " (could not allocate 7.11 PiB)"),
        (lambda: bytearray(2**62), ""),
        (lambda: pa.allocate_buffer(2**60), ""),
        (lambda: mmap.mmap(-1, 2**46 - 2**30), ""),
    ],
    ids=["torch", "numpy", "python", "arrow", "mmap"],
)
def test_each_library_s_lack_of_memory_leaves_the_api_as_one_sentence_with_what_to_set(allocate, asked):
    @entry_point("predict. Lower batch_size.")
    def predict():
        allocate()

    with pytest.raises(NotEnoughMemory) as caught:
        predict()
    assert str(caught.value) == f"There is not enough memory{asked} to predict. Lower batch_size."


def test_another_error_leaves_the_api_as_it_is():
    with pytest.raises(RuntimeError, match="other sizes"), entry_point("predict. Lower batch_size."):
        raise RuntimeError("other sizes")
    with pytest.raises(FileNotFoundError), entry_point("predict. Lower batch_size."):
        raise FileNotFoundError("a.csv")
