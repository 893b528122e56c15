"""The size of a model is compared with its weight files before memory is taken."""

import os

import pytest
import torch
from torch import nn

from taskgraft.storage.checkpoints import InvalidCheckpoint, check_model_size

MODEL = nn.Linear(10_000, 10_000, bias=False, device="meta")  # 400,000,000 bytes


def test_a_model_many_times_larger_than_its_weight_files_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 16)
    with pytest.raises(InvalidCheckpoint) as caught:
        check_model_size("large", MODEL, torch.float32, [tmp_path / "model.safetensors"])
    assert str(caught.value) == (
        "The checkpoint 'large' cannot be used: its configuration describes a model of 400,000,000 bytes, but its weight files "
        "have 4,096."
    )


def test_a_sparse_weight_file_counts_what_it_stores(tmp_path):
    (tmp_path / "model.safetensors").touch()
    os.truncate(tmp_path / "model.safetensors", 400_000_000)
    with pytest.raises(InvalidCheckpoint):
        check_model_size("large", MODEL, torch.float32, [tmp_path / "model.safetensors"])


def test_a_model_that_its_files_may_hold_compressed_is_not_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(os.urandom(50_000_000))  # with 4 bits for each number
    check_model_size("large", MODEL, torch.float32, [tmp_path / "model.safetensors"])
