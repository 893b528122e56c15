import ast
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import taskgraft
from taskgraft.files import temporary_folder as module
from taskgraft.files.temporary_folder import lock_folder, remove_left_folders, temporary_folder

HOLDER = """
import sys, time
from taskgraft.files.temporary_folder import temporary_folder
with temporary_folder() as folder:
    (folder / "rows.bin").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder of temporary files, for this process and those that it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def start_holder() -> tuple[subprocess.Popen, Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.communicate(timeout=20)


def test_a_folder_is_empty_and_gone_afterwards(root):
    with temporary_folder() as folder:
        assert folder.parent == root
        assert list(folder.iterdir()) == []
        (folder / "inside").mkdir()
        (folder / "inside" / "file").touch()
    assert list(root.iterdir()) == []


def test_a_folder_is_gone_after_an_error(root):
    with pytest.raises(KeyboardInterrupt), temporary_folder():
        raise KeyboardInterrupt
    assert list(root.iterdir()) == []


def test_only_its_user_can_read_a_folder(root):
    with temporary_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_next_process_removes_what_a_killed_one_left(root):
    process, left = start_holder()
    end(process)
    assert (left / "rows.bin").is_file()
    process, other = start_holder()
    assert not left.exists()
    assert other.is_dir()
    end(process)


def test_the_folder_of_a_living_process_stays(root):
    process, folder = start_holder()
    try:
        remove_left_folders(root)
        assert (folder / "rows.bin").is_file()
        with pytest.raises(BlockingIOError):
            lock_folder(folder)
    finally:
        end(process)
    remove_left_folders(root)
    assert not folder.exists()


def test_the_folder_of_a_living_process_with_another_numbering_of_processes_stays(root):
    """As in another container: its process numbers say nothing here."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", HOLDER]
    if subprocess.run([*command[:4], "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make namespaces")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    remove_left_folders(root)
    assert folder.is_dir()
    process.communicate(timeout=20)  # its input ends, so it ends
    assert not folder.exists()


def test_folders_of_others_links_and_files_stay(root, monkeypatch):
    outside = root / "outside"
    outside.mkdir()
    prefix = f"taskgraft-work-{module._boot()}-"
    (root / f"{prefix}link").symlink_to(outside)
    (root / f"{prefix}file").touch()
    (root / "taskgraft-else").mkdir()
    of_another = root / f"{prefix}other"
    of_another.mkdir()
    before = sorted(root.iterdir())
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    remove_left_folders(root)
    assert sorted(root.iterdir()) == before
    monkeypatch.undo()
    remove_left_folders(root)
    assert sorted(root.iterdir()) == [path for path in before if path != of_another]


def test_a_folder_of_another_start_of_the_system_stays_for_a_day(root):
    folder = root / "taskgraft-work-0badb007-abc"
    folder.mkdir()
    remove_left_folders(root)
    assert folder.is_dir()
    old = time.time() - 90_000
    os.utime(folder, (old, old))
    remove_left_folders(root)
    assert not folder.exists()


def test_many_processes_at_once_take_nothing_from_each_other(root):
    script = """
from taskgraft.files.temporary_folder import remove_left_folders, temporary_folder
from pathlib import Path
for _ in range(150):
    with temporary_folder() as folder:
        remove_left_folders(folder.parent)
        (folder / "file").write_text("here")
        assert (folder / "file").read_text() == "here"
"""
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(6)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 6
    assert list(root.iterdir()) == []


def tempfile_calls(path: Path) -> list[str]:
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    imported = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "tempfile"]
    used = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    names = [alias.name for node in imported for alias in node.names]
    names += [node.attr for node in used if node.value.id == "tempfile"]
    return [name for name in names if name not in ("TemporaryFile", "gettempdir")]


def test_temporary_folders_are_made_in_one_place():
    core = Path(taskgraft.__file__).parent
    sources = [*core.rglob("*.py"), *core.parents[1].glob("plugins/*/src/**/*.py")]
    found = {str(path.relative_to(core.parents[1])): tempfile_calls(path) for path in sources}
    assert {path: calls for path, calls in found.items() if calls} == {}
