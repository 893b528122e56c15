"""New tensors within limits: what would take gigabytes is refused before memory is taken."""

import pytest
import torch
from torch import nn

from taskgraft.engine.new_tensors import ModelTooLarge, limit_new_tensors, tensors_of_artifact


def problem(build, what="The head 'x'"):
    with pytest.raises(ModelTooLarge) as caught, limit_new_tensors(what):
        build()
    return str(caught.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(10**5, 10**6),
        lambda: nn.Linear(10**18, 10**18),
        lambda: nn.Embedding(10**9, 10**9),
        lambda: torch.zeros(10**12),
        lambda: torch.arange(10**12),
        lambda: torch.eye(10**6),
        lambda: torch.full((10**10,), 1.0),
        lambda: torch.zeros(5).new_zeros(10**12),
        lambda: [nn.Linear(4_000, 4_000, device=None) for _ in range(100)],
    ],
)
def test_more_bytes_than_the_limit_are_refused(build, monkeypatch):
    monkeypatch.setenv("TASKGRAFT_NEW_BYTES", "100000000")
    expected = "The head 'x' would have more than 100,000,000 bytes of new tensors; TASKGRAFT_NEW_BYTES sets the limit."
    assert problem(build) == expected


def test_the_default_is_four_gigabytes():
    assert problem(lambda: torch.empty(2**31)) == (
        "The head 'x' would have more than 4,294,967,296 bytes of new tensors; TASKGRAFT_NEW_BYTES sets the limit."
    )


def test_an_artifact_makes_few_times_what_it_stores():
    with tensors_of_artifact(1_000):
        assert problem(lambda: torch.empty(10**8)) == (
            "The head 'x' would have more than 134,221,728 bytes of new tensors, 4 times those that the artifact has stored "
            "and 134,217,728 more, so the artifact cannot be what was saved."
        )


def test_on_the_meta_device_the_number_is_limited(monkeypatch):
    monkeypatch.setenv("TASKGRAFT_NEW_TENSORS", "10")
    with torch.device("meta"):
        message = problem(lambda: [nn.Linear(10**6, 10**6) for _ in range(6)], "The model 'x'")
    assert message == "The model 'x' would have more than 10 tensors; TASKGRAFT_NEW_TENSORS sets the limit."


def test_values_do_not_depend_on_the_limit():
    torch.manual_seed(0)
    free = nn.Linear(7, 5).weight
    torch.manual_seed(0)
    with limit_new_tensors("x"):
        limited = nn.Linear(7, 5).weight
    assert torch.equal(free, limited)
