"""States of optimizers and callbacks come back from a checkpoint with equal bits, or are refused."""

import json
import math

import numpy as np
import pytest
import torch

from taskgraft.optimization.saved_state import UnsavedState, pack_state, unpack_state

STATE = {
    "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(2, 3, dtype=torch.bfloat16), "buffer": None}},
    "param_groups": [{"betas": (0.9, 0.999), "lr": 1e-3, "name": "last", "params": [0, 1], "fused": True}],
    "history": [torch.tensor([1, 2]), [torch.zeros(0)]],
    "worst": math.inf,
    "list that looks like a tensor": ["tensor", "0"],
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_a_state_comes_back_as_it_was():
    packed, tensors = pack_state(STATE, "the optimizer 'acme'")
    assert same(unpack_state(json.loads(json.dumps(packed)), tensors), STATE)


def test_a_packed_tensor_shares_no_memory_with_the_state():
    state = {"mean": torch.zeros(2)}
    packed, tensors = pack_state(state, "it")
    state["mean"].add_(1)
    assert torch.equal(unpack_state(packed, tensors)["mean"], torch.zeros(2))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"seen": {1, 2}}, "The optimizer 'acme' has a set in its state, under seen,"),
        (
            {"state": [{"scale": np.float32(2)}]},
            "The optimizer 'acme' has a float32 in its state, under state.0.scale,",
        ),
        ({1.5: 0}, "The optimizer 'acme' has a dict in its state,"),
    ],
    ids=["a set", "a number of numpy", "a key that is no text"],
)
def test_what_a_checkpoint_cannot_hold_is_refused(state, message):
    with pytest.raises(UnsavedState) as caught:
        pack_state(state, "the optimizer 'acme'")
    rest = " which a checkpoint cannot hold. Keep tensors, texts, numbers, and lists and dicts of them."
    assert str(caught.value) == message + rest


@pytest.mark.parametrize(
    ("packed", "tensors", "message"),
    [
        (["tensor", "0"], {}, "its state lacks the tensor 0"),
        (None, {"0": torch.zeros(1)}, "nothing refers to its tensor 0"),
        (["set", []], {}, "its state is not written as states are"),
        (["dict", [1, 2]], {}, "its state is not written as states are"),
        ([1], {}, "its state is not written as states are"),
    ],
)
def test_a_state_that_does_not_belong_to_its_tensors_is_refused(packed, tensors, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        unpack_state(packed, tensors)
