import json
import shutil
import subprocess
import sys

import pytest
import torch
from backbones import Words
from safetensors.torch import save_file
from small_plugin import WordsConfig
from small_tasks import Planned, assert_same_bits, classification, copied, sentences, training_stage, weights, words
from torch import nn

import taskgraft as tg
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.config import Config
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.engine.shared_cache import COST_FILE, LOCKS, EntryCost, SharedCache
from taskgraft.preparation.identity import frozen_digest
from taskgraft.storage.documents import write_document
from taskgraft.storage.verified_tensors import read_verified, write_verified

pytestmark = pytest.mark.slow

PROBE = Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True)
LAST = training_stage("block-1", cache_features=True)


class Rows:
    """Counts the rows that go through a module."""

    def __init__(self, module: nn.Module):
        self.count = 0
        module.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self.count += len(output)


def entries(folder):
    return [path for path in folder.iterdir() if path.name != LOCKS]


def fit(shelf: SharedCache | None, *stages: Stage, backbone: Backbone | None = None, rows=None, **training):
    model = tg.compose(backbone or words(), classification(), Planned(*stages))
    model.shared_cache = shelf
    training = {"batch_size": 8} | training
    model.fit(rows or sentences(), validation=sentences(8, seed=1), target="label", training=training, quiet=True)
    return model


@pytest.mark.parametrize("stages", [(PROBE,), (LAST,), (PROBE, LAST)], ids=["features", "cut", "both"])
def test_shared_features_give_the_same_bits_as_computed_ones(tmp_path, stages):
    alone = fit(None, *stages)
    for _ in range(2):
        assert_same_bits(weights(fit(SharedCache(tmp_path), *stages)), weights(alone))


def test_frozen_features_are_computed_once(tmp_path):
    backbone = words()
    counted = Rows(backbone.blocks[0])
    fit(SharedCache(tmp_path), PROBE, backbone=backbone)
    first, counted.count = counted.count, 0
    fit(SharedCache(tmp_path), PROBE, backbone=backbone)
    assert first - counted.count == 24 + 8  # what is left is the trial on the first batch
    assert counted.count < 24


def test_the_cost_of_reused_entries_is_reported(tmp_path):
    first, second = SharedCache(tmp_path), SharedCache(tmp_path)
    fit(first, PROBE)
    fit(second, PROBE)
    notes = [json.loads(path.read_text()) for path in tmp_path.glob(f"*/{COST_FILE}")]
    assert len(notes) == 2  # training and validation rows
    assert (first.seconds, first.memory) == (0.0, 0)
    assert second.seconds == pytest.approx(sum(note["seconds"] for note in notes))
    assert second.memory == max(note["memory"] for note in notes) > 10_000_000


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": words(seed=1)},
        {"rows": sentences(seed=5)},
        {"batch_size": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_backbone_other_rows_and_other_batches_share_nothing(tmp_path, change):
    fit(SharedCache(tmp_path), PROBE)
    other = SharedCache(tmp_path)
    fit(other, PROBE, **change)
    unchanged = 1 if "rows" in change else 0  # the validation rows are the same
    assert len(entries(tmp_path)) == 4 - unchanged


def test_states_below_trained_parts_are_still_shared(tmp_path):
    fit(SharedCache(tmp_path), LAST)
    other = SharedCache(tmp_path)
    alone = fit(None, LAST, LAST)
    assert_same_bits(weights(fit(other, LAST, LAST)), weights(alone))
    assert len(entries(tmp_path)) == 2


def test_features_of_a_trained_backbone_are_not_shared(tmp_path):
    fit(SharedCache(tmp_path), PROBE)
    assert_same_bits(weights(fit(SharedCache(tmp_path), LAST, PROBE)), weights(fit(None, LAST, PROBE)))


def test_the_digest_covers_the_parts_before_the_cut_alone():
    backbone = words()
    before = {cut: frozen_digest(backbone, cut) for cut in (1, 2, None)}
    with torch.no_grad():
        backbone.blocks[1].query.weight.add_(1)
    assert [cut for cut in before if frozen_digest(backbone, cut) != before[cut]] == [None]
    assert copied(backbone).keys() == copied(words()).keys()


def test_an_entry_that_was_not_finished_is_not_used(tmp_path):
    def broken(cache):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SharedCache(tmp_path).get_or_compute({}, broken, print, resumed=False)
    assert entries(tmp_path) == []


def test_an_entry_that_an_interrupted_run_computed_is_not_counted_again(tmp_path):
    SharedCache(tmp_path).get_or_compute({}, made, print, resumed=False)
    (note,) = tmp_path.glob(f"*/{COST_FILE}")
    write_document(note, EntryCost(seconds=5.0, memory=7), "cost")
    shelf = SharedCache(tmp_path)
    shelf.get_or_compute({}, made, print, resumed=True)
    assert (shelf.seconds, shelf.memory) == (0.0, 7)
    shelf.get_or_compute({}, made, print, resumed=False)
    assert shelf.seconds == 5.0


def made(cache):
    cache.append([0], Batch({"value": torch.zeros(1, 2)}))
    return cache.finish()


def flip(name, place):
    def damage(entry):
        content = bytearray((entry / name).read_bytes())
        content[place] ^= 1
        (entry / name).write_bytes(content)

    return damage


def forge(change):
    """Change the index of an entry, with its digest computed again."""

    def damage(entry):
        document, tensors = read_verified(entry / "index.safetensors")
        change(document, tensors)
        write_verified(entry / "index.safetensors", document, tensors)

    return damage


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (flip("0.bin", 3), "0.bin does not match its digest"),
        (flip("index.safetensors", -1), "its content does not match its digest"),
        (flip(COST_FILE, 20), "its content does not match its digest"),
        (lambda entry: (entry / "0.bin").unlink(), "No such file or directory"),
        (lambda entry: (entry / "0.bin").write_bytes(b""), "0.bin does not match its digest"),
        (lambda entry: (entry / "index.safetensors").unlink(), "No such file or directory"),
        (lambda entry: (entry / COST_FILE).unlink(), "it has no note.json"),
        (
            lambda entry: (entry / COST_FILE).write_text('{"seconds": 1.0, "memory": 3}'),
            "its content does not match its digest",
        ),
        (
            lambda entry: write_document(entry / COST_FILE, Config(), "cost"),
            "it is invalid at 'seconds': field required",
        ),
        (
            lambda entry: save_file({"order": torch.zeros(1)}, entry / "index.safetensors", {"store": "{}"}),
            "it has another format than this version of taskgraft, which reads format 2",
        ),
        (forge(lambda document, tensors: document.pop("axes")), "it is invalid at 'axes': field required"),
        (forge(lambda document, tensors: tensors.pop("order")), "its index describes other tensors than it holds"),
        (
            forge(lambda document, tensors: document.update(axes={"value": ["element"]})),
            "its index describes other tensors than it holds",
        ),
        (
            forge(lambda document, tensors: document.update(files={"value": "../../0.bin"})),
            "its index does not name a file of the folder for each tensor",
        ),
        (
            forge(lambda document, tensors: tensors.update(order=torch.tensor([3]))),
            "its index does not number each row once",
        ),
        (
            forge(lambda document, tensors: tensors.update({"lengths.element": torch.tensor([-1])})),
            "its index has no valid lengths.element",
        ),
        (
            forge(lambda document, tensors: tensors.update({"example.value": torch.zeros(2, 2)})),
            "its index has no valid example row",
        ),
        (
            forge(lambda document, tensors: tensors.update({"example.value": torch.zeros(1, 9)})),
            "0.bin does not match its digest",
        ),
    ],
)
def test_a_damaged_entry_is_computed_again_with_a_sentence(tmp_path, damage, problem):
    SharedCache(tmp_path).get_or_compute({}, made, print, resumed=False)
    (entry,) = entries(tmp_path)
    damage(entry)
    said = []
    shelf = SharedCache(tmp_path)
    cache = shelf.get_or_compute({}, made, said.append, resumed=False)
    assert said == [f"Cached frozen features in {entry} are damaged ({problem}), so they are computed again."]
    assert torch.equal(cache.gather([0])["value"], torch.zeros(1, 2))
    assert shelf.seconds == 0.0
    shelf.get_or_compute({}, made, said.append, resumed=False)
    assert len(said) == 1


def test_a_file_in_place_of_an_entry_is_replaced(tmp_path):
    SharedCache(tmp_path).get_or_compute({}, made, print, resumed=False)
    (entry,) = entries(tmp_path)
    shutil.rmtree(entry)
    entry.write_text("")
    said = []
    SharedCache(tmp_path).get_or_compute({}, made, said.append, resumed=False)
    assert said == [f"Cached frozen features in {entry} are damaged (Not a directory), so they are computed again."]


class Based(Words):
    """Words with a fingerprint."""

    base = "one"

    def fingerprint(self):
        return self.base


def test_another_base_of_the_same_weights_shares_nothing(tmp_path):
    """Its processor's files may differ."""
    fit(SharedCache(tmp_path), PROBE, backbone=Based(WordsConfig()))
    other = Based(WordsConfig())
    other.base = "another"
    fit(SharedCache(tmp_path), PROBE, backbone=other)
    assert len(entries(tmp_path)) == 4


ONE_OF_MANY = """
import sys, time
from pathlib import Path
import torch
from taskgraft.contract.batch import Batch
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.engine.shared_cache import SharedCache
folder = Path(sys.argv[1])
def compute(cache):
    print("computed")
    time.sleep(0.2)
    cache.append(range(1000), Batch({"value": torch.arange(50_000.).reshape(1000, 50)}))
    return cache.finish()
print("ready", flush=True)
sys.stdin.readline()
for key in range(3):
    cache = SharedCache(folder).get_or_compute({"key": key}, compute, print, resumed=False)
    assert torch.equal(cache.gather([7])["value"][0], torch.arange(350., 400.))
"""


@pytest.mark.slow
def test_six_processes_use_one_folder_and_compute_each_entry_once(tmp_path):
    """Most failed: the folder that each wanted to rename its own to was there."""
    command = [sys.executable, "-c", ONE_OF_MANY, str(tmp_path / "shelf")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(6)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 6
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=120) for process in processes]
    assert [(process.returncode, err) for process, (_, err) in zip(processes, ends, strict=True)] == [(0, "")] * 6
    assert sum(out.count("computed") for out, _ in ends) == 3
    assert len(entries(tmp_path / "shelf")) == 3


@pytest.mark.slow
def test_an_entry_whose_process_was_killed_is_computed_by_the_next(tmp_path):
    killed = ONE_OF_MANY.replace("time.sleep(0.2)", "import os; os.kill(os.getpid(), 9)")
    for code, script in ((-9, killed), (0, ONE_OF_MANY)):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "shelf")], input="\n", text=True, check=False
        )
        assert done.returncode == code
    assert len(entries(tmp_path / "shelf")) == 3
