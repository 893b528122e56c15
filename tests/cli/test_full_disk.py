"""No room on the disk: each command ends with a sentence that names the folder, and leaves nothing half-written."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from commands import typed
from full_disk import room_for

pytestmark = pytest.mark.slow

TEMPORARY = (
    f"Error: The rows cannot be written to the temporary folder, {tempfile.gettempdir()}: File too large. "
    "Make room there, or set the environment variable TMPDIR to another folder.\n"
)


@pytest.mark.parametrize(
    "words",
    [
        ("fit", "intents.toml", "-o", "other"),
        ("predict", "intents", "valid.csv", "-o", "out.csv"),
        ("features", "intents", "valid.csv", "-o", "out.npz"),
        ("evaluate", "intents", "valid.csv"),
    ],
    ids=lambda words: words[0],
)
def test_no_room_for_temporary_files(words, place, fitted):
    for name in ("intents.toml", "train.csv"):
        (place / name).write_bytes((fitted / name).read_bytes())
    before = sorted(path.name for path in place.iterdir())
    with room_for(100):
        done = typed(*words, "-q")
    assert (done.code, done.err) == (2, TEMPORARY)
    assert sorted(path.name for path in place.iterdir()) == before


def test_no_room_for_an_export(place):
    with room_for(100):
        done = typed("export", "intents", "exported")
    where = Path("exported").absolute()
    assert (done.code, done.err) == (2, f"Error: The checkpoint cannot be written to {where}: File too large.\n")
    assert not where.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("words", [("list",), ("show", "full")], ids=lambda words: words[0])
def test_no_room_for_what_is_printed(words, place):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "taskgraft", *words]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, "Error: The output cannot be written: No space left on device.\n")
