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
    violation(
        "A reader counts lines from 0.",
        Catcher.READER,
        "data",
        {"list(range(1, len(lines) + 1))": "list(range(len(lines)))"},
        kit.check_rows_can_be_located,
        "the line numbers do not rise from 1: [0, 1, 2, 3, 4] …",
    ),
    violation(
        "A reader leaves a file beside the data.",
        Catcher.READER,
        "data",
        {
            "    pairs = [line.split": '    path.with_suffix(".index").write_text(str(len(lines)))\n    pairs = [line.split'
        },
        kit.check_reading_is_repeatable,
        "reading changes data.index",
    ),
    violation(
        "A reader ends the reason of an invalid row with a full stop.",
        Catcher.READER,
        "data",
        {'"there is no colon"': '"There is no colon."'},
        kit.check_rows_can_be_located,
        "the reason of row 6 is 'There is no colon.'",
        "Write a clause without a full stop; the message adds it.",
    ),
)
