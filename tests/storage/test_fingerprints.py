import hashlib

import pytest
import torch
from safetensors.torch import save_file

from taskgraft.storage.fingerprints import checkpoint_fingerprint, combined_digest, tensor_digest

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}
FILES = {"vocabulary.txt": b"one\ntwo\n"}


def every(name: str) -> bool:
    return True


def test_a_digest_covers_dtype_shape_and_bytes():
    known = hashlib.sha256(b"torch.int16 (2,)\n" + b"\x01\x00\x02\x00").hexdigest()
    assert tensor_digest(torch.tensor([1, 2], dtype=torch.int16)) == known


@pytest.mark.parametrize(
    "other",
    [
        torch.tensor([1.0, 2.0]),
        torch.tensor([[1, 2]]),
        torch.tensor([2, 1]),
        torch.tensor([1, 2], dtype=torch.int32),
    ],
    ids=["dtype of the same size", "shape", "order", "dtype of another size"],
)
def test_another_tensor_has_another_digest(other):
    assert tensor_digest(other) != tensor_digest(torch.tensor([1, 2]))


def test_zero_and_negative_zero_differ():
    assert tensor_digest(torch.tensor([0.0])) != tensor_digest(torch.tensor([-0.0]))


def test_a_tensor_that_is_not_finite_has_a_digest():
    assert tensor_digest(torch.tensor([float("nan")])) == tensor_digest(torch.tensor([float("nan")]))


def test_a_transposed_view_is_digested_by_what_it_shows():
    assert tensor_digest(TENSORS["a"].T) == tensor_digest(TENSORS["a"].T.contiguous()) != tensor_digest(TENSORS["a"])


@pytest.mark.parametrize(
    "tensor", [torch.tensor(3.0), torch.zeros(0, 4), torch.ones(2).bfloat16(), torch.ones(2).bool()]
)
def test_every_kind_of_tensor_has_a_digest(tensor):
    assert len(tensor_digest(tensor)) == 64


def test_the_order_of_tensors_and_files_does_not_matter():
    assert combined_digest(dict(reversed(TENSORS.items())), FILES) == combined_digest(TENSORS, FILES)


@pytest.mark.parametrize(
    ("tensors", "files"),
    [
        (TENSORS | {"a": TENSORS["a"] + 1}, FILES),
        ({"c": TENSORS["a"], "b": TENSORS["b"]}, FILES),
        ({"a": TENSORS["a"]}, FILES),
        (TENSORS, {"vocabulary.txt": b"one\ntwo"}),
        (TENSORS, {}),
        (TENSORS, FILES | {"more": b""}),
    ],
    ids=["tensor", "name of a tensor", "tensor left out", "file", "file left out", "file more"],
)
def test_anything_else_has_another_fingerprint(tensors, files):
    assert combined_digest(tensors, files) != combined_digest(TENSORS, FILES)


def test_a_checkpoint_has_the_fingerprint_of_its_tensors(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert checkpoint_fingerprint([tmp_path / "model.safetensors"], every, FILES) == combined_digest(TENSORS, FILES)


def test_a_checkpoint_in_several_files_has_the_fingerprint_of_one(tmp_path):
    for name, tensor in TENSORS.items():
        save_file({name: tensor}, tmp_path / f"{name}.safetensors")
    paths = sorted(tmp_path.iterdir())
    assert checkpoint_fingerprint(paths, every, FILES) == combined_digest(TENSORS, FILES)


def test_a_pickled_checkpoint_has_the_fingerprint_of_a_safe_one(tmp_path):
    torch.save(TENSORS, tmp_path / "model.bin")
    assert checkpoint_fingerprint([tmp_path / "model.bin"], every, FILES) == combined_digest(TENSORS, FILES)


def test_what_the_features_do_not_use_is_left_out(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    found = checkpoint_fingerprint([tmp_path / "model.safetensors"], lambda name: name == "a", FILES)
    assert found == combined_digest({"a": TENSORS["a"]}, FILES)


def test_a_pickle_that_would_run_code_is_rejected(tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    torch.save({"a": Bomb()}, tmp_path / "model.bin")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint_fingerprint([tmp_path / "model.bin"], every, FILES)


def test_a_single_element_of_any_stride_has_the_digest_of_its_value():
    strided = torch.arange(6.0).as_strided((1,), (3,))
    assert tensor_digest(strided) == tensor_digest(torch.zeros(1))
