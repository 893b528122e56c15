"""Mistakes of a reader."""

from author_mistakes import Catcher, violation

from taskgraft import testing as kit

READER_MISTAKES = (
    violation(
        "A reader drops invalid rows.",
        Catcher.READER,
        "data",
        {"for line in lines]\n": 'for line in lines if ": " in line]\n', "list(range(1, len(lines) + 1))": "None"},
        kit.check_no_row_is_lost,
        "data.pairs has 7 rows, but 6 are read",
    ),
    violation(
        "A reader lets Python's exceptions through.",
        Catcher.READER,
        "data",
        {"except (OSError, UnicodeDecodeError)": "except ZeroDivisionError"},
        kit.check_unreadable_files_are_reported,
        "reading a missing file raises FileNotFoundError: [Errno 2] No such file or directory: '…/file.pairs'",
    ),
)
