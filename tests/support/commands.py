"""Run commands as a user does: in this process, in one of their own, or in a terminal."""

import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fcntl import ioctl
from io import BytesIO, StringIO, TextIOWrapper

import taskgraft.cli.app  # a garden hides libraries that are not imported yet
import taskgraft.cli.console  # noqa: F401
from taskgraft.cli.main import main


@dataclass(frozen=True)
class Typed:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


def typed(*arguments: object) -> Typed:
    """Run a command in this process."""
    out, err = StringIO(), StringIO()
    code = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Typed(code, out.getvalue(), err.getvalue())


def typed_in(encoding: str, *arguments: object) -> Typed:
    """Run a command in this process, with output in some encoding that is not forgiving."""
    out, err = (TextIOWrapper(BytesIO(), encoding, "strict") for _ in range(2))
    code = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        out.flush()
        err.flush()
    assert isinstance(code, int)
    return Typed(code, *(stream.buffer.getvalue().decode(encoding) for stream in (out, err)))  # type: ignore[attr-defined]


def apart(*arguments: object) -> Typed:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "taskgraft", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Typed(done.returncode, done.stdout, done.stderr)


def at_a_terminal(columns: int, arguments: Sequence[object]) -> str:
    """Run a command in a terminal of some width, and return what it shows there."""
    master, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-m", "taskgraft", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment | {"TERM": "xterm-256color"}
    )
    os.close(terminal)
    pieces = []
    with os.fdopen(master, "rb", buffering=0) as screen:
        while True:
            try:
                piece = screen.read(65_536)
            except OSError:  # raised on Linux when the other side is closed
                break
            if not piece:
                break
            pieces.append(piece)
    assert process.wait() == 0
    return b"".join(pieces).decode()
