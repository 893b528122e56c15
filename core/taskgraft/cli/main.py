"""The entry point of the command ``taskgraft``: exit codes, and errors as sentences."""

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn, TextIO

from taskgraft.cli.interrupt import Interrupted
from taskgraft.errors import TaskgraftError

MISTAKE, BUG, INTERRUPTED = 2, 1, 130
"""Exit codes: what a person can mend, what they cannot, and Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process. No error of a user shows a traceback, unless ``--debug`` is given.

    Args:
        arguments: what follows the name of the program; those of the process when left out.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _show_warning
        sys.exit(_code(given, debug=debug))


def _code(arguments: list[str], *, debug: bool) -> int | str | None:
    """Run a command and give its exit code."""
    try:
        from taskgraft.cli.app import program

        program(arguments, prog_name="taskgraft")
        return 0
    except SystemExit as end:
        return end.code
    except (Exception, KeyboardInterrupt) as error:
        code, text = _told(error)
        print("".join(traceback.format_exception(error)) if debug else text, file=sys.stderr)  # noqa: T201
        return code


def _told(error: BaseException) -> tuple[int, str]:
    """Give the exit code of an error, and what to print."""
    match error:
        case KeyboardInterrupt() | Interrupted():
            return INTERRUPTED, str(error) or "Interrupted."
        case TaskgraftError():
            return MISTAKE, f"Error: {error}"
        case OSError():
            place = "" if error.filename is None else f"{error.filename}: "
            return MISTAKE, f"Error: {place}{error.strerror or error}."
    advice = "This is a fault of taskgraft or of a plugin, not yours; --debug shows where it comes from."
    return BUG, f"Internal error: {type(error).__name__}: {error}\n{advice}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as a sentence, without the line of code that gave it."""
    print(f"Warning: {message}", file=sys.stderr)  # noqa: T201
