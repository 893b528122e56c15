"""The entry point of the command ``taskgraft``: exit codes, and errors as sentences."""

import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from typing import NoReturn, TextIO

from taskgraft.cli.errors import Interrupted
from taskgraft.cli.signals import ReceivedSignal, interrupted_by_signals
from taskgraft.errors import TaskgraftError, error_reason, printable
from taskgraft.terminal import prepare_output, write_line

USER_ERROR, BUG, INTERRUPTED = 2, 1, 130
"""Exit codes: an error that the user can fix, one that they cannot, and Ctrl-C. Another signal has 128 plus its number."""

_NO_MEMORY = "There is not enough memory. Close other programs, or use smaller files."


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process. User errors show no traceback, unless ``--debug`` is given.

    Args:
        arguments: what follows the name of the program; those of the process by default.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    prepare_output()
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _print_warning
        sys.exit(_run(arguments, debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int | str | None:
    """Run a command and return its exit code."""
    received = ReceivedSignal()
    try:
        with interrupted_by_signals(received):
            from taskgraft.cli.app import program

            program(arguments, prog_name="taskgraft", obj=arguments)
        return 0
    except SystemExit as end:
        return 128 + received.number if received.number is not None and end.code else end.code
    except (Exception, KeyboardInterrupt) as error:
        code, text = _exit_code_and_text(error)
        with suppress(OSError):  # a terminal that was closed
            sys.stderr.write(printable("".join(traceback.format_exception(error)))) if debug else write_line(text)
        return code if received.number is None else 128 + received.number


def _exit_code_and_text(error: BaseException) -> tuple[int, str]:
    match error:
        case KeyboardInterrupt() | Interrupted():
            return INTERRUPTED, str(error) or "Interrupted."
        case TaskgraftError() | MemoryError():
            return USER_ERROR, f"Error: {_NO_MEMORY if isinstance(error, MemoryError) else error}"
        case OSError() if error.filename is not None:
            return USER_ERROR, f"Error: {error.filename}: {error_reason(error)}."
    from taskgraft.composition.plugin_errors import find_plugin_failure

    problem = f"{type(error).__name__}: {error}".rstrip(": ")
    if (failure := find_plugin_failure(error)) is not None:
        return (
            BUG,
            f"Error: {failure}: {problem}\nThis is a bug in that plugin, not in your input; --debug shows the traceback.",
        )
    if isinstance(error, OSError):
        output = "The output cannot be written: " if error.errno in (ENOSPC, EDQUOT) else ""  # files are named above
        return USER_ERROR, f"Error: {output}{error_reason(error)}."
    return (
        BUG,
        f"Internal error: {problem}\nThis is a bug in taskgraft, not in your input; --debug shows the traceback.",
    )


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as a sentence, without the line of code that raised it."""
    write_line(f"Warning: {message}")
