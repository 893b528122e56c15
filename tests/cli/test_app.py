import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter

import pytest
from commands import apart, at_a_terminal, typed
from planting import HEALTHY, OPENING

from taskgraft.recipe import Recipe

SHAKY = f"""{OPENING}
import warnings


def _warned(config):
    warnings.warn("the tide is high", stacklevel=1)
    return _described(config)


def _described(config):
    from taskgraft.plugin import HeadDescription, Layout, TargetKind

    return HeadDescription((Layout.VECTOR,), TargetKind.CATEGORY)


def _divides(config):
    return 1 / 0


def _stopped(config):
    raise KeyboardInterrupt


def _full(config):
    raise OSError(28, "No space left on device", "somewhere/file")


@hookimpl
def taskgraft_heads():
    for name, describe in (("divides", _divides), ("stopped", _stopped), ("full-disk", _full), ("warned", _warned)):
        yield HeadSpec(name=name, summary="does not stand still", config=EmptyConfig, describe=describe, build=print)
"""

HEAVY = ("torch", "transformers", "timm", "peft", "pyarrow", "datasets", "numpy")

IMPORTED = """
import sys
from contextlib import suppress

from taskgraft.cli.main import main

with suppress(SystemExit):
    main(sys.argv[2:])
print(sorted(set(sys.modules) & set(sys.argv[1].split(","))), file=sys.stderr)
"""


def test_a_user_error_is_one_sentence_and_the_code_2(beside_others):
    done = typed("show", "clasification")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "Error: No component named 'clasification'. Did you mean 'classification' (from taskgraft "
    )
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [("--debug", "show", "nothing"), ("show", "nothing", "--debug")])
def test_debug_shows_the_traceback_of_a_user_error_and_keeps_the_code(beside_others, arguments):
    done = typed(*arguments)
    assert done.code == 2
    assert done.err.startswith("Traceback (most recent call last):")
    assert "UnknownComponent: No component named 'nothing'." in done.err


@pytest.mark.parametrize(
    "arguments", [("lost",), ("list", "--lost"), ("list", "a", "b"), ("fit",), ("fit", "a", "--seeds", "0")]
)
def test_what_cannot_be_typed_ends_with_2(arguments):
    done = typed(*arguments)
    assert done.code == 2
    assert done.err.startswith("Usage: taskgraft")


def test_a_bug_is_not_blamed_on_the_user(beside_others):
    beside_others.plant(SHAKY)
    done = typed("show", "divides")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "Error: The plugin acme 1.0 failed in its head 'divides', _divides (acme_plugin.py, line 27): ZeroDivisionError: "
        "division by zero\nThis is a bug in that plugin, not in your input; --debug shows the traceback.\n"
    )
    assert "in _divides" in typed("show", "divides", "--debug").err


def test_a_full_disk_is_no_bug(beside_others):
    beside_others.plant(SHAKY)
    done = typed("show", "full-disk")
    assert (done.code, done.err) == (2, "Error: somewhere/file: No space left on device.\n")


def test_an_interruption_is_one_sentence_and_the_code_130(beside_others):
    beside_others.plant(SHAKY)
    done = typed("show", "stopped")
    assert (done.code, done.out, done.err) == (130, "", "Interrupted.\n")


def test_a_warning_is_one_line(beside_others):
    beside_others.plant(SHAKY)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = typed("show", "warned")
    assert (done.code, done.err) == (0, "Warning: the tide is high\n")


@pytest.mark.slow
def test_a_broken_pipe_is_quiet():
    read, write = os.pipe()
    os.close(read)
    for command in (["list"], ["list", "--json"], ["doctor"], ["schema"], ["schema", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "taskgraft", *command], stdout=write, stderr=subprocess.PIPE, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (1, "")
    os.close(write)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("fit", "--help"),
        ("list",),
        ("list", "heads", "--json"),
        ("show", "hf-text"),
        ("doctor",),
        ("schema",),
    ],
)
def test_light_commands_import_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, ",".join(HEAVY), *command], capture_output=True, text=True, check=True
    )
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_version_is_printed():
    assert re.fullmatch(r"taskgraft \d+\.\d+\.\d+\n", typed("--version").out)


def test_every_command_has_help():
    for command in (
        "list",
        "show",
        "doctor",
        "schema",
        "fit",
        "evaluate",
        "compare",
        "predict",
        "export",
        "features",
        "new plugin",
    ):
        done = typed(*command.split(), "--help")
        assert done.code == 0
        assert "--debug" in done.out


def test_the_schema_of_a_recipe_is_printed():
    schema = json.loads(typed("schema").out)
    assert schema.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert schema == Recipe.model_json_schema()


def test_the_module_runs_as_the_command_does():
    done = apart("list", "strategies")
    assert done.code == 0
    assert done.out == typed("list", "strategies").out


def words_of(text: str) -> str:
    """The letters of a text, without colours, lines of tables and breaks."""
    return re.sub(r"\x1b\[[0-9;]*m|[\s─━]", "", text)


def test_elsewhere_than_at_a_terminal_each_row_is_one_line_without_colours(beside_others):
    beside_others.plant(HEALTHY.replace("a planted head", "a planted head " + "that goes on " * 40 + "to here"))
    out = typed("list", "heads").out
    assert "\x1b" not in out
    assert out.splitlines()[3].split()[:2] == ["heads", "contact-map"]
    assert any("to here" in line and "healthy" in line for line in out.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("columns", [200, 60, 30])
def test_a_narrow_terminal_loses_no_text(columns):
    wide = apart("list", "strategies").out
    narrow = at_a_terminal(columns, ["list", "strategies"])
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", narrow).splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in narrow
    rows = "".join(wide.splitlines()[2:])
    lost = Counter(words_of(rows)) - Counter(
        words_of(narrow)
    )  # a narrow one repeats names, where columns continue below
    assert lost == Counter()
