"""Commands that must be rejected, and must leave the disk unchanged."""

from pathlib import Path

from commands import typed

SKIP = 'Fix these rows, or drop them with data.on_bad_row = "skip".'


def state_of(folder):
    """All files with their contents; links and empty folders too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(*arguments):
    """Run a command that must be rejected, and return its message. It must leave the disk unchanged."""
    before = state_of(Path.cwd())
    done = typed(*arguments)
    assert (done.code, done.out) == (2, "")
    assert state_of(Path.cwd()) == before
    assert done.err.startswith("Error: ")
    assert "Traceback" not in done.err
    return done.err.removeprefix("Error: ").removesuffix("\n")
