"""Safetensors files are read in pieces, and held to their format."""

import hashlib
import json
import os
import resource
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from taskgraft.files.regular_file import file_digest
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.tensor_file import TensorFile

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor([True, False]),
    "c": torch.tensor(5),
    "d": torch.zeros(0, 4),
    "e": torch.arange(5).to(torch.bfloat16),
    "f": torch.tensor([1 + 2j]),
    "g": torch.arange(3).to(torch.float8_e4m3fn),
}


@pytest.fixture
def path(tmp_path) -> Path:
    save_file(TENSORS, tmp_path / "x.safetensors", {"note": "text"})
    return tmp_path / "x.safetensors"


def problem(path):
    with pytest.raises(ValueError) as caught:
        TensorFile(path)
    return str(caught.value)


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_tensors_and_digests_are_those_that_were_saved(path):
    with TensorFile(path) as file:
        assert file.metadata == {"note": "text"}
        assert set(file.tensors) == set(TENSORS)
        for name, tensor in TENSORS.items():
            read = file.read(name)
            assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape)
            assert file.digest(name) == tensor_digest(read) == tensor_digest(tensor)
        tensors, digest = file.read_all()
    assert digest == file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {name: tensor_digest(one) for name, one in tensors.items()} == {
        name: tensor_digest(one) for name, one in TENSORS.items()
    }


def test_a_file_without_tensors_is_read(path):
    save_file({}, path)
    with TensorFile(path) as file:
        assert file.read_all() == ({}, file_digest(path))


def tensor(dtype, shape, start, stop):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}}


@pytest.mark.parametrize(
    ("header", "clause"),
    [
        ([], "its header is not a JSON object"),
        ({"a": 5}, "its header is damaged at the tensor 'a'"),
        ({"__metadata__": {"a": 5}}, "the metadata in its header are not texts"),
        (tensor("X", [], 0, 4), "the tensor 'a' has the unknown dtype 'X'"),
        (tensor("F32", [-1], 0, 4), "its header is damaged at the tensor 'a'"),
        (tensor("F32", [True], 0, 4), "its header is damaged at the tensor 'a'"),
        (tensor("F32", [2], 0, 4), "the tensor 'a' has 4 bytes, which do not fit its shape"),
        (tensor("U8", [2], 1, 3), "the tensor 'a' does not begin where the one before it ends"),
        (tensor("U8", [2], 0, 2), "its tensors end at byte 70 of 72"),
        (b"{ ", "Expecting property name enclosed in double quotes: line 1 column 3 (char 2)"),
        (b'{"a": 1, "a": 2}', "the key 'a' is used twice in one object"),
    ],
)
def test_what_is_not_a_safetensors_file_is_rejected(path, header, clause):
    write(path, header, b"1234")
    assert problem(path) == clause


def test_a_sparse_file_is_rejected_before_it_is_read(path):
    path.write_bytes(b"")
    os.truncate(path, 40 * 2**30)
    assert problem(path) == "it has no header of a safetensors file in its 42,949,672,960 bytes"


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(path):
    save_file({"a": torch.ones(1_000_000), "b": torch.ones(1_000_000)}, path)
    with TensorFile(path) as file:
        os.truncate(path, 4_500_000)
        for use in (lambda: file.digest("b"), lambda: file.read("b"), file.read_all):
            with pytest.raises(OSError, match="it was truncated while it was being read"):
                use()


def test_digests_take_no_memory(path):
    """A sparse tensor of 500 MB is digested within a few MB."""
    size = 500_000_000
    write(path, {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    os.truncate(path, path.stat().st_size + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    with TensorFile(path) as file:
        file.digest("a")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes
