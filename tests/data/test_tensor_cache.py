import random
from pathlib import Path

import pytest
import torch

from taskgraft.contract.batch import Batch, collate
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.reading.errors import DataError

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)
IN_MEMORY, IN_FILES = 1 << 30, 0


def example(length: int, other: int, chance: random.Random) -> Batch:
    """One example with every kind of tensor that may lie at a cut."""
    generator = torch.Generator().manual_seed(chance.randrange(1 << 30))

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randint(0, 100, shape, generator=generator)

    tensors = {f"fixed {dtype}": drawn(1, 2).to(dtype) for dtype in DTYPES}
    tensors |= {f"along {dtype}": drawn(1, length, 3).to(dtype) for dtype in DTYPES}
    tensors |= {"pairs": drawn(1, length, length, 2).float(), "crossed": drawn(1, length, other).bfloat16()}
    axes = {name: ("element",) for name in tensors if name.startswith("along")}
    axes |= {"pairs": ("element", "element"), "crossed": ("element", "other")}
    return Batch(tensors, axes, {"element": torch.tensor([length]), "other": torch.tensor([other])})


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    assert one.axes == other.axes
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name
    for axis, lengths in one.lengths.items():
        assert torch.equal(lengths, other.lengths[axis])


def filled(folder, memory: int, examples: list[Batch], batches: list[list[int]]) -> TensorCache:
    cache = TensorCache(folder, memory, lasting=memory == IN_FILES)
    for rows in batches:
        cache.append(rows, collate([examples[row] for row in rows]))
    return cache.finish()


@pytest.mark.parametrize("memory", [IN_MEMORY, IN_FILES, 3_000], ids=["memory", "files", "moved to files half-way"])
@pytest.mark.parametrize("seed", range(6))
def test_rows_appended_in_any_order_come_back_as_collated(tmp_path, memory, seed):
    chance = random.Random(seed)
    examples = [example(chance.randint(1, 6), chance.randint(1, 4), chance) for _ in range(chance.randint(2, 17))]
    order = chance.sample(range(len(examples)), len(examples))
    batches, size = [], chance.randint(1, 5)
    for start in range(0, len(order), size):
        batches.append(order[start : start + size])
    cache = filled(tmp_path, memory, examples, batches)
    for _ in range(5):
        rows = chance.choices(range(len(examples)), k=chance.randint(1, 6))
        assert_equal(cache.gather(rows), collate([examples[row] for row in rows]))


@pytest.mark.parametrize("seed", range(3))
def test_a_cache_on_disk_is_opened_bit_for_bit(tmp_path, seed):
    chance = random.Random(seed)
    examples = [example(chance.randint(1, 6), chance.randint(1, 4), chance) for _ in range(7)]
    order = chance.sample(range(7), 7)
    cache = filled(tmp_path, IN_FILES, examples, [order[:3], order[3:]])
    cache.write_index()
    found = TensorCache.open(tmp_path)
    assert (len(found), found.bytes, found.sizes()) == (len(cache), cache.bytes, cache.sizes())
    for rows in ([0], [3, 1, 6], range(7)):
        assert_equal(found.gather(rows), cache.gather(rows))
        assert list(found.gather(rows).tensors) == list(cache.gather(rows).tensors)


def test_a_small_cache_writes_no_file(tmp_path):
    chance = random.Random(0)
    filled(tmp_path / "cache", IN_MEMORY, [example(2, 1, chance)], [[0]])
    assert not (tmp_path / "cache").exists()


def test_a_cache_beyond_its_memory_is_in_files_of_its_folder(tmp_path):
    chance = random.Random(0)
    cache = filled(tmp_path / "cache", IN_FILES, [example(2, 1, chance)], [[0]])
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) == cache.bytes


def test_padding_is_not_cached(tmp_path):
    one = Batch({"a": torch.zeros(1, 1)}, {"a": ("element",)}, {"element": torch.tensor([1])})
    cache = TensorCache(tmp_path)
    cache.append([0, 1], collate([one, one], {"element": 1_000}))
    assert cache.finish().bytes == 2 * 4


def test_an_example_without_elements_comes_back_without_elements(tmp_path):
    none = Batch({"a": torch.zeros(1, 0)}, {"a": ("element",)}, {"element": torch.tensor([0])})
    some = Batch({"a": torch.ones(1, 2)}, {"a": ("element",)}, {"element": torch.tensor([2])})
    cache = TensorCache(tmp_path)
    cache.append([1, 0], collate([none, some]))
    cache.finish()
    assert cache.gather([1])["a"].shape == (1, 0)
    assert cache.gather([1, 0])["a"].tolist() == [[0, 0], [1, 1]]


def test_a_tensor_that_is_empty_in_every_row_can_be_in_a_file(tmp_path):
    empty = Batch({"a": torch.ones(2, 3), "b": torch.zeros(2, 0)})
    cache = TensorCache(tmp_path, IN_FILES)
    cache.append([0, 1], empty)
    assert_equal(cache.finish().gather([1, 0]), empty)


def test_sizes_are_the_real_positions_in_the_order_of_the_rows(tmp_path):
    chance = random.Random(0)
    cache = filled(tmp_path, IN_MEMORY, [example(3, 1, chance), example(5, 2, chance)], [[1], [0]])
    assert cache.sizes() == [3 + 1, 5 + 2]


def test_rows_of_a_fixed_shape_have_the_size_one(tmp_path):
    cache = TensorCache(tmp_path)
    cache.append([0, 1], Batch({"a": torch.zeros(2, 7)}))
    assert cache.finish().sizes() == [1, 1]


def test_a_truncated_file_is_an_error(tmp_path):
    rows = Batch({"x": torch.arange(400.0).reshape(100, 4)})
    cache = TensorCache(tmp_path, IN_FILES)
    cache.append(range(100), rows)
    cache.finish()
    (tmp_path / "0.bin").write_bytes((tmp_path / "0.bin").read_bytes()[:-1])
    assert torch.equal(cache.gather(range(99))["x"], rows["x"][:99])
    with pytest.raises(DataError) as caught:
        cache.gather([99])
    assert str(caught.value) == (
        f"The cache file {tmp_path / '0.bin'} cannot be read (it is truncated). Delete the folder that holds it, and run again."
    )


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says what is mapped")
def test_rows_in_files_are_not_mapped_into_memory(tmp_path):
    cache = TensorCache(tmp_path, IN_FILES)
    cache.append(range(1_000), Batch({"x": torch.zeros(1_000, 100)}))
    cache.finish().gather(range(1_000))
    assert str(tmp_path) not in Path("/proc/self/smaps").read_text("utf-8")
