"""A full disk, or a folder of temporary files that cannot be written: one sentence with the folder and what to do."""

import errno
import os
import tempfile

import pyarrow as pa
import pytest
import torch
from full_disk import room_for
from safetensors.torch import save_file

from taskgraft.contract.batch import Batch
from taskgraft.data.tensor_cache import TensorCache
from taskgraft.files.temporary_folder import TemporaryFilesError, temporary_folder
from taskgraft.reading.arrow_spool import ArrowSpool
from taskgraft.storage.atomic_write import OutputError, atomic_file, move_into

TOO_LARGE = os.strerror(errno.EFBIG)
ADVICE = "Make room there, or set the environment variable TMPDIR to another folder."


def fill(cache):
    for start in range(0, 40, 4):
        cache.append(range(start, start + 4), Batch({"x": torch.ones(4, 100)}))
    cache.finish()


def test_no_room_for_cached_rows():
    with temporary_folder() as folder, room_for(5_000), pytest.raises(TemporaryFilesError) as caught:
        fill(TensorCache(folder / "cache", memory=0))
    assert str(caught.value) == (
        f"The cached rows cannot be written to the temporary folder, {tempfile.gettempdir()}: {TOO_LARGE}. {ADVICE}"
    )


def test_no_room_for_features_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    with room_for(5_000), pytest.raises(TemporaryFilesError) as caught:
        fill(TensorCache(tmp_path / "shelf", memory=0, lasting=True))
    assert (
        str(caught.value) == f"The cached rows cannot be written to {tmp_path / 'shelf'}: {TOO_LARGE}. Make room there."
    )


def test_no_room_for_what_a_reader_writes():
    with room_for(5_000), ArrowSpool() as spool, pytest.raises(TemporaryFilesError) as caught:
        spool.write(pa.table({"a": range(10_000)}))
    assert str(caught.value) == (
        f"The rows cannot be written to the temporary folder, {tempfile.gettempdir()}: {TOO_LARGE}. {ADVICE}"
    )


def test_a_folder_of_temporary_files_that_is_gone_or_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for name, problem in (("gone", errno.ENOENT), ("file", errno.ENOTDIR)):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
        with pytest.raises(TemporaryFilesError) as caught, temporary_folder():
            pass
        where = f"the temporary folder, {tmp_path / name}"
        assert (
            str(caught.value) == f"The temporary files cannot be written to {where}: {os.strerror(problem)}. {ADVICE}"
        )


def test_no_folder_of_temporary_files_at_all(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    with pytest.raises(TemporaryFilesError) as caught, temporary_folder():
        pass
    found = "No usable temporary directory found in ['/proc/nowhere']"
    assert str(caught.value) == f"{found}. Set TMPDIR to a folder that can be written."


def save(folder):
    save_file({"x": torch.ones(10_000)}, folder / "model.safetensors")
    return [folder / "model.safetensors"]


def test_no_room_for_tensors_that_a_library_writes(tmp_path):
    """The library of safetensors raises an exception of its own, which is no OSError."""
    with room_for(5_000), pytest.raises(OutputError) as caught:
        move_into(tmp_path / "out", save, "checkpoint")
    assert str(caught.value) == f"The checkpoint cannot be written to {tmp_path / 'out'}: {TOO_LARGE}."
    with room_for(5_000), pytest.raises(OutputError) as caught, atomic_file(tmp_path / "a.bin", "tensors") as temporary:
        save_file({"x": torch.ones(10_000)}, temporary)
    assert str(caught.value) == f"The tensors cannot be written to {tmp_path / 'a.bin'}: {TOO_LARGE}."
    assert list((tmp_path / "out").iterdir()) == []
