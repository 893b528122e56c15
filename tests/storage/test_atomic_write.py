import errno
import os
import stat
import subprocess
import sys
from contextlib import contextmanager

import pytest
from attacks import forked
from commands import typed
from interrupted import SETTINGS, write_data
from small_tasks import sentences, trained, training_stage, words

from taskgraft.comparison.worker import RunRecord
from taskgraft.discovery.catalog import catalog
from taskgraft.scaffold import derive_names, write_plugin
from taskgraft.storage import atomic_write
from taskgraft.storage.atomic_write import (
    OutputError,
    atomic_file,
    atomic_folder,
    make_folder,
    move_into,
    remove_leftovers,
    remove_leftovers_in,
    replaced_file,
)
from taskgraft.storage.documents import write_document
from taskgraft.storage.run_directory import RunDirectory


@pytest.fixture
def synced(tmp_path, monkeypatch):
    """What happens under the folder, in order: "sync PATH", "rename PATH to PATH", "delete PATH"."""
    events = []

    def record(name, template):
        original = getattr(os, name)

        def call(*arguments, **options):
            if name == "fsync":
                paths = [os.readlink(f"/proc/self/fd/{arguments[0]}")]
            elif "dir_fd" in options and options["dir_fd"] is not None:
                paths = [os.path.join(os.readlink(f"/proc/self/fd/{options['dir_fd']}"), arguments[0])]
            else:
                paths = [os.path.abspath(path) for path in arguments[:2] if not isinstance(path, int)]
            events.append(template.format(*(os.path.relpath(path, tmp_path) for path in paths)))
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name, template in (
        ("fsync", "sync {}"),
        ("rename", "rename {} to {}"),
        ("replace", "rename {} to {}"),
        ("unlink", "delete {}"),
        ("rmdir", "delete {}"),
    ):
        record(name, template)
    return events


def places(events, path):
    return [
        number for number, event in enumerate(events) if event.startswith("rename") and event.endswith(f" to {path}")
    ]


def assert_synced_around(events, renamed):
    """The one rename to a path comes after a sync of what is renamed, and before one of the folder around it."""
    (place,) = places(events, renamed)
    source = events[place].split(" ")[1]
    assert f"sync {source}" in events[:place], events
    assert f"sync {os.path.dirname(renamed) or '.'}" in events[place:], events
    return place


# --- syncs


def test_a_file_is_synced_before_its_rename_and_its_folder_after(tmp_path, synced):
    with atomic_file(tmp_path / "out.csv", "predictions") as temporary:
        temporary.write_text("a\n")
    assert_synced_around(synced, "out.csv")


def test_files_that_are_moved_into_a_folder_are_synced_and_the_new_folder_is_too(tmp_path, synced):
    def write(folder):
        for name in ("a.png", "b.png"):
            (folder / name).write_bytes(b"x")
        return [folder / "a.png", folder / "b.png"]

    assert move_into(tmp_path / "deep" / "figures", write, "figures") == [
        tmp_path / "deep" / "figures" / name for name in ("a.png", "b.png")
    ]
    assert synced[:2] == ["sync deep", "sync ."]
    for name in ("a.png", "b.png"):
        assert_synced_around(synced, f"deep/figures/{name}")


def test_everything_in_a_folder_is_synced_and_the_previous_one_is_deleted_last(tmp_path, synced):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_text(content)
        first, *_ = (number for number, event in enumerate(synced) if event.startswith("rename"))
        temporary = synced[first - 1].split(" ")[1] if content == "new" else synced[first].split(" ")[1]
        assert {f"sync {temporary}", f"sync {temporary}/sub", f"sync {temporary}/sub/file"} <= set(synced[:first])
        if content == "old":
            synced.clear()
    renamed = [number for number, event in enumerate(synced) if event.startswith("rename")]
    after = synced[renamed[1] + 1]
    assert after == "sync ."
    assert all(number > renamed[1] + 1 for number, event in enumerate(synced) if event.startswith("delete"))
    assert (tmp_path / "out" / "sub" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_artifact_is_on_the_disk_before_its_run_loses_its_state(
    tmp_path, synced, monkeypatch, small_plugin_installed
):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    assert typed("fit", "intents.toml", "-q", *SETTINGS).code == 0
    (artifact,) = places(synced, "intents")
    state = max(number for number, event in enumerate(synced) if event == "delete intents.run/state.safetensors")
    synced_after = [number for number, event in enumerate(synced) if event == "sync ." and artifact < number < state]
    assert synced_after, synced
    for name in ("taskgraft.json", "learned.safetensors", "SHA256SUMS"):
        source = synced[artifact].split(" ")[1]
        assert f"sync {source}/{name}" in synced[:artifact]
    assert_synced_around(synced, "intents.run/run.json")


def test_the_metrics_are_synced_before_the_checkpoint_that_counts_them(tmp_path, synced):
    directory = RunDirectory(tmp_path / "run")
    directory.open({"seed": 0}, resume=False)
    directory.append_metrics({"step": 1})
    synced.clear()
    directory.save_state({}, {})
    directory.close()
    place = assert_synced_around(synced, "run/state.safetensors")
    assert "sync run/metrics.jsonl" in synced[:place]


def test_a_previous_run_is_deleted_for_good_before_another_takes_its_folder(tmp_path, synced):
    for seed in (0, 1):
        synced.clear()
        directory = RunDirectory(tmp_path / "run", results=("results",))
        directory.open({"seed": seed}, resume=False)
        directory.save_state({}, {})
        directory.close()
        make_folder(tmp_path / "run" / "results" / "one")
    (identity,) = places(synced, "run/run.json")
    deleted = [synced.index(f"delete run/{name}") for name in ("state.safetensors", "metrics.jsonl", "results")]
    assert any(max(deleted) < number < identity for number, event in enumerate(synced) if event == "sync run")


def test_records_and_plugins_are_synced(tmp_path, synced):
    write_plugin(derive_names("acme-words", "head", catalog()), tmp_path / "acme-words")
    assert_synced_around(synced, "acme-words")
    write_document(tmp_path / "record.json", RunRecord(problem="none"), "record")
    assert_synced_around(synced, "record.json")


@contextmanager
def failing_syncs(monkeypatch, number, folders):
    """Let syncs fail: of folders alone, or of all."""
    original = os.fsync

    def fail(handle):
        if not folders or stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        yield


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES])
def test_file_systems_that_cannot_sync_folders_work(tmp_path, monkeypatch, number):
    with failing_syncs(monkeypatch, number, folders=True):
        with atomic_folder(tmp_path / "deep" / "out") as folder:
            (folder / "file").write_text("whole")
        with atomic_file(tmp_path / "out.csv", "predictions") as temporary:
            temporary.write_text("whole")
    assert (tmp_path / "deep" / "out" / "file").read_text() == (tmp_path / "out.csv").read_text() == "whole"


def test_a_disk_that_fails_while_syncing_keeps_the_previous_output(tmp_path, monkeypatch):
    (tmp_path / "out.csv").write_text("old")
    with (
        failing_syncs(monkeypatch, errno.EIO, folders=False),
        pytest.raises(OutputError) as raised,
        atomic_file(tmp_path / "out.csv", "predictions") as temporary,
    ):
        temporary.write_text("new")
    assert str(raised.value) == f"The predictions cannot be written to {tmp_path}/out.csv: Input/output error."
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


# --- leftovers


def leave(folder, name, content):
    """Leave the temporary folder of a killed process."""
    (folder / name).mkdir()
    (folder / name / "file").write_text(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_killed_processes_are_removed_and_others_stay(tmp_path):
    for name in (".out-0123abcd.taskgraft-new", ".out-0123abcd.taskgraft-old", ".other-0123abcd.taskgraft-new"):
        leave(tmp_path, name, "left")
    for name in (".out-0123abcd", ".out-settings.taskgraft-new", "out-0123abcd.taskgraft-new"):
        leave(tmp_path, name, "the user's")
    leave(tmp_path, "out", "whole")
    remove_leftovers(tmp_path / "out")
    kept = [".other-0123abcd.taskgraft-new", ".out-0123abcd", ".out-settings.taskgraft-new", "out"]
    assert names(tmp_path) == [*kept, "out-0123abcd.taskgraft-new"]
    remove_leftovers_in(tmp_path)
    assert names(tmp_path) == [*kept[1:], "out-0123abcd.taskgraft-new"]


def test_a_previous_folder_comes_back_if_the_new_one_is_not_in_its_place(tmp_path):
    leave(tmp_path, ".out-0123abcd.taskgraft-old", "old")
    leave(tmp_path, ".out-4567abcd.taskgraft-new", "half")
    remove_leftovers(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "file").read_text() == "old"


def test_what_a_living_process_writes_is_not_removed(tmp_path):
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "file").write_text("mine")
        code = "import sys, pathlib; from taskgraft.storage.atomic_write import *; "
        code += "remove_leftovers(pathlib.Path(sys.argv[1])); remove_leftovers_in(pathlib.Path(sys.argv[1]).parent)"
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=True)
        assert names(temporary) == ["file"]
    assert names(tmp_path) == ["out"]


def test_links_and_files_with_the_names_of_leftovers_stay(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "file").write_text("the user's")
    (tmp_path / ".out-0123abcd.taskgraft-new").symlink_to(tmp_path / "place")
    os.mkfifo(tmp_path / ".out-4567abcd.taskgraft-new")
    before = names(tmp_path)
    remove_leftovers(tmp_path / "out")
    assert names(tmp_path) == before
    assert names(tmp_path / "place") == ["file"]


def test_a_folder_that_fails_to_take_the_place_of_another_puts_it_back(tmp_path, monkeypatch):
    leave(tmp_path, "out", "old")

    def fail(source, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic_write, "_move", fail)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "out") as temporary:
        (temporary / "file").write_text("new")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "file").read_text() == "old"


def test_a_library_that_writes_beside_its_file_leaves_nothing(tmp_path):
    with replaced_file(tmp_path / "out.bin") as temporary:
        temporary.with_name(".tmpABC").write_text("left by a library")
        temporary.write_text("whole")
    assert names(tmp_path) == ["out.bin"]


# --- permissions


def modes(folder):
    return {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777)
        for path in (folder, *folder.rglob("*"))
        if path.name != "lock"
    }


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027])
def test_files_and_folders_have_the_permissions_that_the_umask_allows(tmp_path, mask):
    def work():
        os.umask(mask)
        model = trained(words(), training_stage("block-1", epochs=1))
        model.save(tmp_path / "deep" / "artifact")
        model.export(tmp_path / "export")  # its library writes with 600
        directory = RunDirectory(tmp_path / "run")
        directory.open({}, resume=False)
        directory.save_state({}, dict(model.fitted.tensors()))
        directory.close()
        with atomic_file(tmp_path / "out.csv", "predictions") as temporary:
            temporary.write_text("a")
        model.predict_to(sentences(4)["text"], tmp_path / "predicted.parquet")
        move_into(tmp_path / "figures", lambda folder: [_touched(folder / "a.png")], "figures")

    outcome = forked(work)
    assert outcome.code == 0, outcome.text
    found = modes(tmp_path)
    assert found["export/words.safetensors"] == found["run/state.safetensors"] == oct(0o666 & ~mask)
    wrong = {
        path: mode
        for path, mode in found.items()
        if path != "." and mode != oct((0o777 if (tmp_path / path).is_dir() else 0o666) & ~mask)
    }
    assert wrong == {}
    assert len(found) > 12


def _touched(path):
    path.touch()
    return path
