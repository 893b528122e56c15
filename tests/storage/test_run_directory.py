import json
import os

import pytest
import torch

from taskgraft.storage.run_directory import DamagedRun, ResumeMismatch, RunDirectory, RunDirectoryError

IDENTITY = {"training": {"epochs": 3, "seed": 0}, "training rows": "abc"}


@pytest.fixture
def folder(tmp_path):
    made = RunDirectory(tmp_path / "run")
    made.open(IDENTITY, resume=False)
    yield made
    made.close()


def again(folder: RunDirectory, identity=IDENTITY, resume: bool = True) -> RunDirectory:
    folder.close()
    folder.open(identity, resume=resume)
    return folder


def lines(folder: RunDirectory) -> list[dict]:
    return [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]


def test_a_new_run_has_no_checkpoint(folder):
    assert folder.load_state() is None


def test_the_checkpoint_comes_back_bit_for_bit(folder):
    tensors = {"a": torch.randn(3), "b": torch.tensor([1, 2]), "c": torch.tensor(0.1, dtype=torch.bfloat16)}
    folder.save_state({"step": 4, "loss": 0.1 + 0.2}, tensors)
    values, found = again(folder).load_state()
    assert values == {"step": 4, "loss": 0.1 + 0.2}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_a_later_checkpoint_replaces_an_earlier_one(folder):
    folder.save_state({"step": 1}, {"a": torch.zeros(2)})
    folder.save_state({"step": 2}, {"b": torch.ones(1)})
    values, tensors = folder.load_state()
    assert values == {"step": 2}
    assert list(tensors) == ["b"]
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "lock",
        "metrics.jsonl",
        "run.json",
        "state.safetensors",
    ]


def test_metrics_after_the_checkpoint_are_dropped(folder):
    folder.append_metrics({"step": 1})
    folder.save_state({}, {"a": torch.zeros(1)})
    folder.append_metrics({"step": 2})
    again(folder).load_state()
    folder.append_metrics({"step": 2, "again": True})
    assert lines(folder) == [{"step": 1}, {"step": 2, "again": True}]


def test_metrics_without_a_checkpoint_are_dropped(folder):
    folder.append_metrics({"step": 1})
    again(folder).load_state()
    assert lines(folder) == []


def test_a_run_that_starts_again_drops_the_one_before(folder):
    folder.append_metrics({"step": 1})
    folder.save_state({}, {"a": torch.zeros(1)})
    again(folder, resume=False)
    assert folder.load_state() is None
    assert lines(folder) == []


def test_resuming_in_an_empty_folder_starts_a_run(tmp_path):
    made = RunDirectory(tmp_path / "new")
    made.open(IDENTITY, resume=True)
    assert made.load_state() is None
    made.close()


def test_a_changed_run_cannot_be_resumed(folder):
    folder.close()
    other = {"training": {"epochs": 5, "seed": 0}, "training rows": "abd", "more": None}
    with pytest.raises(ResumeMismatch) as raised:
        folder.open(other, resume=True)
    assert str(raised.value) == (
        f"Cannot resume {folder.path}: training.epochs was 3 and is now 5; "
        'training rows was "abc" and is now "abd". Undo this, or start again without resume '
        "(on the command line: --overwrite instead of --resume)."
    )


def test_two_runs_cannot_share_a_folder(folder):
    with pytest.raises(RunDirectoryError) as raised:
        RunDirectory(folder.path).open(IDENTITY, resume=True)
    assert str(raised.value) == (
        f"The run folder {folder.path} cannot be used: another run is using it; wait, or choose another folder."
    )
    folder.save_state({}, {"a": torch.zeros(1)})


def test_a_damaged_checkpoint_is_rejected(folder):
    folder.save_state({}, {"a": torch.zeros(100)})
    path = folder.path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(
        RunDirectoryError,
        match=r"its checkpoint is damaged \(.*\); start again without resume \(on the command line: .*\)\.$",
    ):
        folder.load_state()


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_damaged_identity_is_rejected(folder, content):
    folder.close()
    (folder.path / "run.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"its run\.json cannot be read"):
        folder.open(IDENTITY, resume=True)


def test_a_folder_that_is_a_file_is_rejected(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunDirectoryError) as raised:
        RunDirectory(tmp_path / "run").open(IDENTITY, resume=False)
    assert str(raised.value) == f"The run folder {tmp_path / 'run'} cannot be used: File exists."


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(folder, monkeypatch):
    folder.save_state({"step": 1}, {"a": torch.zeros(1)})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirectoryError) as raised:
        folder.save_state({"step": 2}, {"a": torch.ones(1)})
    assert str(raised.value) == (
        f"The run folder {folder.path} cannot be used: its checkpoint cannot be written (No space left on device)."
    )
    assert folder.load_state()[0] == {"step": 1}
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "lock",
        "metrics.jsonl",
        "run.json",
        "state.safetensors",
    ]


def test_a_process_that_does_not_write_only_reads(folder):
    folder.save_state({"step": 1}, {"a": torch.zeros(1)})
    reader = RunDirectory(folder.path, writes=False)
    reader.open(IDENTITY, resume=True)
    reader.append_metrics({"step": 2})
    reader.save_state({"step": 2}, {})
    assert reader.load_state()[0] == {"step": 1}


AGAIN = "start again without resume (on the command line: --overwrite instead of --resume)."


def refused(folder: RunDirectory) -> str:
    with pytest.raises(DamagedRun) as raised:
        again(folder).load_state()
    return str(raised.value).removeprefix(f"The run folder {folder.path} cannot be used: ")


def test_metrics_that_lack_lines_written_before_the_checkpoint_are_rejected(folder):
    folder.append_metrics({"step": 1})
    folder.save_state({}, {"a": torch.zeros(1)})
    (folder.path / "metrics.jsonl").write_text('{"st')
    problem = "its metrics.jsonl lacks some of the 12 bytes that were written before the checkpoint"
    assert refused(folder) == f"{problem}; {AGAIN}"
    (folder.path / "metrics.jsonl").unlink()
    assert refused(folder) == f"{problem}; {AGAIN}"


def test_metrics_that_are_no_regular_file_are_rejected(folder):
    folder.close()
    (folder.path / "metrics.jsonl").unlink()
    os.mkfifo(folder.path / "metrics.jsonl")
    with pytest.raises(RunDirectoryError) as raised:
        folder.open(IDENTITY, resume=True)
    assert str(raised.value) == (f"The run folder {folder.path} cannot be used: it is a pipe, not a regular file.")


def test_a_checkpoint_without_an_identity_is_not_replaced_in_silence(folder):
    folder.save_state({}, {"a": torch.zeros(1)})
    (folder.path / "run.json").unlink()
    assert refused(folder) == f"it has a checkpoint, but no run.json that identifies the run; {AGAIN}"
    again(folder, resume=False)
    assert folder.load_state() is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (json.dumps(IDENTITY), "it has format 1, but this version of taskgraft reads format 2"),
        ('{"format": 3}', "it has format 3, but this version of taskgraft reads format 2"),
        ("[1]", "it does not identify a run"),
        ('{"format": 2, "format": 2}', "the key 'format' is used twice in one object"),
    ],
)
def test_an_identity_of_another_format_says_so(folder, content, problem):
    (folder.path / "run.json").write_text(content)
    assert refused(folder) == f"its run.json cannot be read ({problem}); {AGAIN}"


def test_a_run_without_a_checkpoint_starts_from_the_beginning_and_says_so(folder):
    folder.close()
    assert folder.open(IDENTITY, resume=True) is True
    folder.save_state({}, {"a": torch.zeros(1)})
    folder.close()
    assert folder.open(IDENTITY, resume=True) is False
    folder.close()
    assert folder.open(IDENTITY, resume=False) is False
