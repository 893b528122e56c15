import gc
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from taskgraft.contract.batch import Batch
from taskgraft.processes import channel
from taskgraft.processes.channel import Channel

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)
LARGE = torch.arange(300_000, dtype=torch.float32)


def sent(value):
    one, other = Channel.pair()
    one.send(value)
    found = other.receive(5)
    one.close()
    other.close()
    return found


@pytest.fixture(params=["in a file in memory", "through the pipe"])
def way(request, monkeypatch):
    if request.param == "through the pipe":

        def not_allowed(name):
            raise PermissionError(name)

        monkeypatch.setattr(os, "memfd_create", not_allowed)


def small(tensor: torch.Tensor) -> torch.Tensor:
    """What fits the buffer of a pipe: here nobody reads while it is sent."""
    return tensor[:20_000].clone()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tensor_arrives_bit_for_bit(way, dtype):
    tensor = (torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 50).to(dtype)
    found = sent({"tensor": tensor, "again": [tensor[2], tensor[3:]]})
    assert found["tensor"].dtype == dtype
    assert torch.equal(found["tensor"], tensor)
    assert torch.equal(found["again"][0], tensor[2])
    assert torch.equal(found["again"][1], tensor[3:])


def test_large_tensors_and_arrays_arrive_and_can_be_changed():
    batch = Batch({"value": LARGE.reshape(300, 1000)})
    found, array = sent((batch, np.arange(100_000)))
    assert torch.equal(found["value"], batch["value"])
    assert (array == np.arange(100_000)).all()
    found["value"].add_(1)
    array += 1
    assert torch.equal(found["value"], batch["value"] + 1)


def test_the_strides_of_a_tensor_stay(way):
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    found = sent(tensor)
    assert found.stride() == tensor.stride()
    assert torch.equal(found, tensor)


def test_of_a_view_only_the_view_is_sent():
    column = LARGE.reshape(300, 1000)[:, 3]
    found = sent(column)
    assert torch.equal(found, column)
    assert found.untyped_storage().nbytes() == column.numel() * 4


@pytest.mark.parametrize(
    "tensor",
    [torch.empty(0), torch.empty(3, 0, 2), torch.tensor(2.5), torch.tensor([1 + 2j]).conj(), torch.ones(2).to_sparse()],
    ids=["empty", "empty axes", "scalar", "conjugate", "sparse"],
)
def test_unusual_tensors_arrive(way, tensor):
    found = sent(tensor)
    assert (found.shape, found.dtype, found.layout) == (tensor.shape, tensor.dtype, tensor.layout)
    assert torch.equal(found.to_dense(), tensor.to_dense())


def test_a_tensor_with_gradient_keeps_it(way):
    assert sent(torch.ones(3, requires_grad=True)).requires_grad


def test_where_the_file_cannot_be_written_the_pipe_is_used(monkeypatch):
    def full(handle, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    gc.collect()  # what earlier tests left
    before = len(os.listdir("/proc/self/fd"))
    value = small(LARGE)
    found = sent(value)
    assert torch.equal(found, value)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_results_that_are_kept_hold_no_open_file_and_no_shared_memory():
    before = len(os.listdir("/proc/self/fd"))
    shared = sum(1 for _ in Path("/dev/shm").iterdir())
    kept = [sent(LARGE + number) for number in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert sum(1 for _ in Path("/dev/shm").iterdir()) == shared
    assert all(float(tensor[0]) == number for number, tensor in enumerate(kept))


def test_when_there_are_too_many_open_files_the_pipe_is_used():
    one, other = Channel.pair()
    value, limits = small(LARGE), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, limits[1]))
    try:
        one.send(value)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert torch.equal(other.receive(5), value)
    one.close()
    other.close()


def test_nothing_within_the_time_is_a_timeout():
    one, other = Channel.pair()
    with pytest.raises(TimeoutError):
        other.receive(0.05)
    one.close()
    with pytest.raises(EOFError):
        other.receive(5)
    other.close()


def test_a_process_that_ends_between_a_message_and_its_file_is_the_end():
    one, other = Channel.pair()
    one.send(LARGE)
    one.files.close()
    other.files.recv(1)  # as if it had never been sent
    with pytest.raises(EOFError):
        other.receive(5)
    one.connection.close()
    other.close()


def test_what_cannot_be_pickled_sends_nothing():
    one, other = Channel.pair()
    with pytest.raises((AttributeError, TypeError)):
        one.send([LARGE, lambda: None])
    one.send("next")
    assert other.receive(5) == "next"
    one.close()
    other.close()


def test_a_file_that_is_shorter_than_its_message_says_is_the_end(monkeypatch):
    one, other = Channel.pair()
    write = channel._write_file
    monkeypatch.setattr(channel, "_write_file", lambda views: write([view[:64] for view in views]))
    one.send(LARGE)
    with pytest.raises(EOFError):
        other.receive(5)
    one.close()
    other.close()
