"""The import path of the command ``taskgraft`` and of the processes that it starts: the working folder is not on it.

A user who types a command in a folder of downloaded files does not mean to run the ``queue.py`` in it. Until the folder is off
the path, nothing may be imported that Python has not imported already, so this module imports only ``os`` and ``sys``.
"""

import os
import sys

SAFE_PATH, _PYTHONPATH = "PYTHONSAFEPATH", "PYTHONPATH"
"""Environment variables. The first makes Python, and what it starts, leave out the working folder, as the option -P does."""


def is_command() -> bool:
    """Tell whether this process is the command ``taskgraft`` or ``python -m taskgraft``, not a script of the user."""
    arguments = getattr(sys, "argv", None) or [""]
    if arguments[0] == "-m":  # Python looks for the module now: its name precedes the arguments, perhaps as -mtaskgraft
        module = sys.orig_argv[-len(arguments)]
        return (module.partition("m")[2] if module.startswith("-") else module).partition(".")[0] == "taskgraft"
    return os.path.basename(arguments[0]).partition(".")[0] in ("taskgraft", "taskgraft-script")


def leave_out_working_folder() -> None:
    """Remove the working folder from the import path of this process, and of all that it starts.

    It stays if ``PYTHONPATH`` names it by its absolute path.
    """
    if sys.argv[0] == "-m" and not sys.flags.safe_path:
        del sys.path[0]
    if _named_by_accident() and not sys.flags.ignore_environment:
        sys.path[:] = filter(_is_meant, sys.path)
        entries = os.environ[_PYTHONPATH].split(os.pathsep)
        os.environ[_PYTHONPATH] = os.pathsep.join(entry for entry in entries if os.path.normpath(entry) != ".")
        sys.stderr.write(
            "Warning: PYTHONPATH contains the working folder, as an empty entry or '.'. Nothing is imported from there; "
            "write its absolute path if you mean it.\n"
        )
    os.environ[SAFE_PATH] = "1"


def _named_by_accident() -> bool:
    """Tell whether ``PYTHONPATH`` has an empty entry or ``.``, which Python reads as the working folder."""
    path = os.environ.get(_PYTHONPATH, "")
    return bool(path) and "." in map(os.path.normpath, path.split(os.pathsep))


def child_environment() -> dict[str, str]:
    """Return the environment for a Python process with the import path of this one, but for the working folder."""
    path = [os.path.abspath(entry) for entry in sys.path if _is_meant(entry) and os.pathsep not in entry]
    return os.environ | {_PYTHONPATH: os.pathsep.join(path), SAFE_PATH: "1"}


def _is_meant(entry: str) -> bool:
    """Tell whether an entry of the import path is not the working folder, or was written in full."""
    if entry in os.environ.get(_PYTHONPATH, "").split(os.pathsep):
        return os.path.isabs(entry)
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed
        return entry not in ("", ".")
    return os.path.normpath(os.path.join(here, entry)) != os.path.normpath(here)
