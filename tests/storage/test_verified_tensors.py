import pytest
import torch

from taskgraft.storage.verified_tensors import read_verified, write_verified

DOCUMENT = {"step": 4, "loss": 0.1 + 0.2, "names": ["é", None]}
TENSORS = {
    "a": torch.tensor([[1.5, -2.0], [0.0, 3.0]]),
    "b": torch.tensor(7),
    "c": torch.zeros(0, 3, dtype=torch.bfloat16),
    "d": torch.tensor([True, False]),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "state.safetensors"
    write_verified(path, DOCUMENT, TENSORS)
    return path


def test_document_and_tensors_come_back_bit_for_bit(file):
    document, tensors = read_verified(file)
    assert document == DOCUMENT
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_a_flip_of_any_byte_is_detected(file):
    whole = file.read_bytes()
    reasons = set()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 7
        file.write_bytes(content)
        with pytest.raises(ValueError) as raised:
            read_verified(file)
        reasons.add(str(raised.value).partition(":")[0])
    assert reasons == {
        "it is not a complete safetensors file",
        "its content does not match its digest",
        "it has another format than this version of taskgraft, which reads format 2",
    }


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1])
def test_a_truncated_file_is_detected(file, size):
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"^it is not a complete safetensors file: "):
        read_verified(file)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_verified(tmp_path / "none.safetensors")
