"""Files are opened in one place, ``files/regular_file.py``: a pipe, a device or an endless file is refused before."""

import ast
from pathlib import Path

import pytest

import taskgraft

CORE = Path(taskgraft.__file__).parent
ROOT = CORE.parent.parent
SOURCES = {
    path.relative_to(ROOT).as_posix(): path
    for folder in (CORE, *(ROOT / "plugins").glob("*/src"))
    for path in sorted(folder.rglob("*.py"))
}

OPENERS = frozenset(
    {
        "open", "fdopen", "open_code", "open_file", "open_stream", "read_text", "read_bytes", "mmap", "memmap", "memory_map",
        "fromfile", "loadtxt", "genfromtxt", "OSFile", "ZipFile", "TarFile", "copyfile", "copy2", "safe_open", "load_file",
        "ParquetFile", "read_schema", "read_table", "read_parquet", "read_csv", "load_from_disk", "load_dataset",
        "from_pretrained",
    }
)  # fmt: skip
"""Functions and methods that open a file, or take an open one."""

LOADERS = {"torch", "np", "numpy", "json", "pickle", "yaml", "tomllib", "timm.models"}
"""Modules whose ``load`` (and ``load_state_dict`` of timm) opens or takes a file."""

IN_FILE = "takes a file that open_regular_file opened"
CHECKED = "the file was checked by check_regular_file, and its size where it is small"
WRITTEN_HERE = "a temporary file that this process has just made"
NO_FILE = "opens no file itself"
KERNEL = "a file of the kernel, named in the code"
INSTALLED = "a file of an installed distribution"

ALLOWED = {
    ("core/taskgraft/files/regular_file.py", "os.open"): "the one place",
    ("core/taskgraft/files/regular_file.py", "os.fdopen"): "the one place",
    ("core/taskgraft/files/open_file.py", "gzip.open"): IN_FILE,
    ("core/taskgraft/files/file_kinds.py", "zipfile.ZipFile"): IN_FILE,
    ("core/taskgraft/builtin/readers/columns.py", "pq.read_schema"): IN_FILE,
    ("core/taskgraft/builtin/readers/parquet.py", "parquet.ParquetFile"): IN_FILE,
    ("core/taskgraft/builtin/readers/dataset_folder.py", "pa.ipc.open_stream"): IN_FILE,
    ("core/taskgraft/builtin/readers/dataset_folder.py", "mmap.mmap"): IN_FILE,
    (
        "core/taskgraft/builtin/readers/hf_datasets.py",
        "load_dataset",
    ): "of the hub, never of the working directory",
    ("core/taskgraft/builtin/plugin.py", "readers.read_csv"): NO_FILE,
    ("core/taskgraft/builtin/plugin.py", "readers.read_parquet"): NO_FILE,
    ("core/taskgraft/reading/arrow_spool.py", "pa.memory_map"): WRITTEN_HERE,
    ("core/taskgraft/reading/arrow_spool.py", "pa.ipc.open_stream"): WRITTEN_HERE,
    ("core/taskgraft/storage/fingerprints.py", "torch.load"): CHECKED,
    ("core/taskgraft/inference/writers.py", "temporary.open"): WRITTEN_HERE,
    ("core/taskgraft/storage/atomic_write.py", "os.open"): WRITTEN_HERE,
    ("core/taskgraft/processes/channel.py", "os.fdopen"): "a pipe to a process that this one started",
    ("core/taskgraft/files/temporary_folder.py", "os.open"): "a folder, to lock it",
    ("core/taskgraft/files/temporary_folder.py", "Path('/proc/sys/kernel/random/boot_id').read_bytes"): KERNEL,
    ("core/taskgraft/engine/memory.py", "status.read_text"): KERNEL,
    ("core/taskgraft/engine/precision.py", "Path('/proc/cpuinfo').read_text"): KERNEL,
    ("core/taskgraft/comparison/compare.py", "directory.open"): NO_FILE,
    ("core/taskgraft/training/fit.py", "trainer.directory.open"): NO_FILE,
    ("core/taskgraft/engine/shared_cache.py", "TensorCache.open"): NO_FILE,
    ("core/taskgraft/testing/reader.py", "file.read_bytes"): "files that the kit has written",
    ("core/taskgraft/discovery/distributions.py", "one.read_text"): INSTALLED,
    ("core/taskgraft/scaffold/__init__.py", "folder.joinpath(f'{template}.template').read_text"): INSTALLED,
    ("plugins/vision/src/taskgraft_vision/images.py", "Image.open"): IN_FILE,
    ("plugins/vision/src/taskgraft_vision/timm_weights.py", "timm.models.load_state_dict"): CHECKED,
    ("plugins/transformers/src/taskgraft_transformers/export.py", "shutil.copyfile"): CHECKED,
    ("plugins/transformers/src/taskgraft_transformers/export.py", "model_class.from_pretrained"): CHECKED,
    ("plugins/transformers/src/taskgraft_transformers/structure.py", "AutoConfig.from_pretrained"): CHECKED,
    ("plugins/transformers/src/taskgraft_transformers/tokenizer.py", "AutoTokenizer.from_pretrained"): CHECKED,
    ("plugins/transformers/src/taskgraft_transformers/weights.py", "loader.from_pretrained"): CHECKED,
    ("plugins/vision/src/taskgraft_vision/hf_backbone.py", "AutoImageProcessor.from_pretrained"): CHECKED,
}
"""File and call → why it is not in ``files/regular_file.py``. Checkpoints are checked in ``Checkpoint.folder``."""


def opens(source: str) -> list[str]:
    """Return the calls that open files for reading."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, called = ast.unparse(node.func), node.func
        last = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        owner = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
        loads = last in ("load", "load_state_dict") and owner in LOADERS
        if (last in OPENERS or loads) and not _writes(node):
            found.append(name)
    return found


def _writes(call: ast.Call) -> bool:
    """Tell whether a call has a mode of writing."""
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}
    return any(mode[:1] in ("w", "a", "x") and len(mode) <= 3 for mode in modes)


def test_files_are_opened_in_one_place():
    found = {(path, call) for path, file in SOURCES.items() for call in opens(file.read_text())}
    assert sorted(found - set(ALLOWED)) == [], "open it with open_regular_file, or say here why not"
    assert sorted(set(ALLOWED) - found) == []


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("open(path)", ["open"]),
        ("open(path, 'rb')", ["open"]),
        ("open(path, mode='r')", ["open"]),
        ("path.read_text('utf-8')", ["path.read_text"]),
        ("(folder / name).read_bytes()", ["(folder / name).read_bytes"]),
        ("safetensors.torch.load_file(path)", ["safetensors.torch.load_file"]),
        ("torch.load(path, weights_only=True)", ["torch.load"]),
        ("json.load(file)", ["json.load"]),
        ("pq.ParquetFile(path)", ["pq.ParquetFile"]),
        ("Image.open(path)", ["Image.open"]),
        ("path.open('wb')", []),
        ("open(path, 'a', encoding='utf-8')", []),
        ("json.loads(text)", []),
        ("module.load_state_dict(state)", []),
    ],
)
def test_an_open_is_found(code, calls):
    assert opens(code) == calls
