"""What commands show: names from files, labels, paths and plugins cannot steer the terminal, in any encoding."""

import csv
import json
import os
import shutil

import pytest
from commands import apart, at_a_terminal, typed, typed_in
from planting import HEALTHY, install
from small_tasks import sentences

from taskgraft.cli.app import COMMANDS
from taskgraft.discovery.catalog import catalog
from taskgraft.import_path import child_environment

pytestmark = pytest.mark.slow

CLEAR, TITLE, LEFT = "\x1b[2J", "\x1b]0;owned\x07", "\u202e"
LABELS = {"a": f"a{CLEAR}×", "b": "b\x9b2J…", "c": f"c{TITLE}é"}
NOTE = f"note{CLEAR}{LEFT}"
"""A column that no command needs."""

RAW = ("\x1b[2J", "\x1b]0;", "\x07", LEFT, "\x9b", "\ud83d")

RECIPE = {
    "backbone": "small-words",
    "head": "classification",
    "strategy": {"name": "linear-probe", "penalty": 1e-3},
    "data": {"train": "train.csv", "validation": "valid.csv", "inputs": "text", "target": "label", "exclude": [NOTE]},
}

TYPED = {
    "list": [],
    "show": ["linear-probe"],
    "doctor": [],
    "schema": [],
    "fit": ["recipe.json", "-o", "again", "--overwrite"],
    "evaluate": ["fitted", "valid.csv"],
    "compare": [
        "recipe.json",
        "--strategy",
        "partial:8",
        "--strategy",
        "partial:9",
        "-o",
        "compared",
        "--overwrite",
    ],
    "predict": ["fitted", "valid.csv", "--probabilities", "--keep", NOTE],
    "export": ["fitted", "exported"],
    "features": ["small-words", "valid.csv", "-o", "features.npy", "--overwrite", "--layout", "vector"],
    "new": ["plugin", "acme-plugin", "--kind", "head"],
}
"""Arguments with which each command shows much."""

AS_JSON = ("list", "show", "doctor", "schema", "fit", "evaluate", "compare", "predict", "features", "export", "new")


def write_rows(path, count, seed):
    rows = sentences(count, seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", NOTE])
        writer.writerows((text, LABELS[label], NOTE) for text, label in zip(rows["text"], rows["label"], strict=True))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with a recipe, rows and an artifact, full of names that would steer a terminal."""
    folder = tmp_path_factory.mktemp("hostile")
    install(folder / "installed", "taskgraft-small", "small_plugin")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "installed")
        patch.chdir(folder)
        catalog.cache_clear()
        write_rows(folder / "train.csv", 24, 0)
        write_rows(folder / "valid.csv", 12, 1)
        (folder / "recipe.json").write_text(json.dumps(RECIPE))
        assert typed("fit", "recipe.json", "-q", "-o", "fitted").code == 0
        yield folder
    catalog.cache_clear()


@pytest.fixture
def place(hostile, tmp_path, monkeypatch):
    for name in ("train.csv", "valid.csv", "recipe.json"):
        shutil.copy(hostile / name, tmp_path / name)
    shutil.copytree(hostile / "fitted", tmp_path / "fitted")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_shown(done, codes=(0,)):
    shown = f"{done.out}{done.err}"
    assert done.code in codes, shown
    assert [mark for mark in RAW if mark in done.err] == []
    assert "Traceback" not in shown
    assert "Internal error" not in shown
    return shown


def test_every_command_is_tried():
    assert TYPED.keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_command_shows_hostile_names_in_any_encoding(place, command, encoding):
    done = typed_in(encoding, command, *TYPED[command])
    shown = assert_shown(done, (0, 1, 2) if command in ("compare", "export", "doctor") else (0,))
    if command in ("fit", "evaluate"):
        assert "a\\u001b[2J" in shown
        assert "b\\u009b2J" in shown
        assert [mark for mark in RAW if mark in done.out] == []


@pytest.mark.parametrize("command", AS_JSON)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_json(place, command, encoding):
    done = typed_in(encoding, command, *TYPED[command], "--json" if command != "schema" else "--debug")
    assert_shown(done, (0, 1, 2))
    assert [mark for mark in RAW if mark in done.out] == [] or command == "predict"
    if command == "predict":
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert {row["prediction"] for row in rows} <= set(LABELS.values())
        assert {row[NOTE] for row in rows} == {NOTE}
    elif done.out:
        found = json.loads(done.out)
        if command == "evaluate":
            assert set(found["per_class"]) == set(LABELS.values())


def test_predictions_in_a_pipe_are_what_a_file_holds(place):
    """Data are not messages: only a terminal gets them escaped."""
    assert typed("predict", "fitted", "valid.csv", "-q", "-o", "predicted.csv").code == 0
    assert typed_in("utf-8", "predict", "fitted", "valid.csv", "-q").out == (place / "predicted.csv").read_text("utf-8")


def test_predictions_at_a_terminal_are_escaped(place, monkeypatch):
    from taskgraft.terminal import data_stream

    class Terminal:
        encoding = "utf-8"
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text
            return len(text)

    terminal = Terminal()
    data_stream(terminal).write(f"{LABELS['a']},{LABELS['b']}\n")
    assert terminal.text == "a\\u001b[2J×,b\\u009b2J…\n"


NAMES = (f"rows{CLEAR}.csv", f"{LEFT}rows.csv", "rows\udcff.csv", "rows\x9b2J.csv", "rows\r.csv", "rows[bold][red].csv")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_file_name_is_shown_escaped_in_every_message(place, name, encoding):
    shutil.copy("valid.csv", name)
    assert_shown(typed_in(encoding, "evaluate", "fitted", name))
    assert_shown(typed_in(encoding, "predict", "fitted", name, "-o", name.replace("rows", "out")))
    assert_shown(typed_in(encoding, "predict", "fitted", name, "-o", name.replace("rows", "out")), (2,))  # it exists
    assert_shown(typed_in(encoding, "predict", "fitted", f"no such {name}"), (2,))
    assert_shown(typed_in(encoding, "fit", name), (2,))
    assert_shown(typed_in(encoding, "predict", "fitted", name, "valid.csv", "-o", "both.csv"), (0, 2))
    with open(name, "w", encoding="utf-8") as file:
        file.write(f"other{CLEAR},{LEFT}\n1,2\n")
    assert_shown(typed_in(encoding, "evaluate", "fitted", name), (2,))
    os.rename("fitted", name.replace(".csv", ""))
    assert_shown(typed_in(encoding, "evaluate", name.replace(".csv", ""), "valid.csv"))
    assert_shown(typed_in(encoding, "evaluate", name.replace(".csv", "no"), "valid.csv"), (2,))


SETTINGS = (
    f"backbone={CLEAR}",
    f"head.{CLEAR}=1",
    f"data.target={LEFT}",
    f"data.inputs={CLEAR}text",
    f"training.schedule={TITLE}",
    f"{CLEAR}",
    f"strategy={{name: {LEFT}}}",
)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_settings_are_shown_escaped(place, setting, encoding):
    done = typed_in(encoding, "fit", "recipe.json", "--set", setting, "-o", "again")
    shown = assert_shown(done, (2,))
    assert "\\u001b" in shown or "\\u202e" in shown or "\\x1b" in shown


@pytest.mark.parametrize(
    "arguments", [(f"no{CLEAR}",), ("fit", f"--no{CLEAR}"), ("list", "a", f"b{CLEAR}"), ("fit", "a", "--seeds", CLEAR)]
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_errors_of_usage_are_shown_escaped(arguments, encoding):
    assert_shown(typed_in(encoding, *arguments), (2,))


def test_debug_shows_the_traceback_escaped(place):
    done = typed_in("ascii", "--debug", "fit", f"no{CLEAR}.toml")
    assert done.code == 2
    assert "Traceback" in done.err
    assert [mark for mark in RAW if mark in done.err] == []


FORGED = {
    "broken": (f"raise ImportError({f'no {CLEAR}{LEFT}'!r})", "broken", "1.0"),
    "version": (HEALTHY, "versioned", f"1.0{CLEAR}"),
    "name": (HEALTHY, f"named{CLEAR}", "1.0"),
}


@pytest.mark.parametrize("case", FORGED)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_versions_and_errors_of_plugins_are_shown_escaped(garden, case, encoding):
    code, name, version = FORGED[case]
    about = garden.plant(code, "placeholder", module=f"{case}_plugin")
    about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    catalog.cache_clear()
    for arguments in (("list",), ("doctor",), ("show", "no-such"), ("list", "--json"), ("doctor", "--json")):
        done = typed_in(encoding, *arguments)
        assert_shown(done, (0, 1, 2))
        assert [mark for mark in RAW if mark in done.out] == []


def test_pip_install_is_advised_for_valid_names_only(place):
    from forged_artifact import rewrite_manifest

    def evaluate(**sources):
        rewrite_manifest(place / "fitted", lambda manifest: manifest.update(sources=sources))
        return typed("evaluate", "fitted", "valid.csv").err

    fine = evaluate(**{"acme-models": "1.0", "other.thing": "2"})
    assert fine == (
        "Error: The artifact fitted cannot be used: it needs acme-models 1.0, other.thing 2, not installed here: "
        "pip install acme-models other.thing.\n"
    )
    for name in (
        "x; touch owned",
        "-r evil.txt",
        "--index-url=http://evil",
        "a b",
        f"x{CLEAR}",
        "",
        "git+https://evil",
        "x[e]",
    ):
        said = evaluate(**{name: "1.0"})
        assert "not installed here." in said
        assert "pip install" not in said
        assert [mark for mark in RAW if mark in said] == []


def test_a_progress_bar_shows_hostile_names_and_markup_as_text(capsys, monkeypatch):
    from taskgraft import progress

    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", -1.0)
    reporter = progress.ProgressReporter()
    list(reporter.track(range(3), f"reading [/bold]{CLEAR}{LEFT}", 3))
    reporter.message(f"[red]{TITLE}{'x' * 10_000}")
    shown = capsys.readouterr().err
    assert "reading [/bold]\\u001b[2J\\u202e" in shown.replace("\n", "")
    assert "[red]\\u001b]0;owned\\u0007" in shown
    assert len(shown) < 2_000


def test_a_terminal_shows_no_codes_but_our_own(place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", child_environment()["PYTHONPATH"])
    screen = at_a_terminal(100, ["evaluate", "fitted", "valid.csv"])
    assert "a\\u001b[2J" in screen
    assert [mark for mark in RAW if mark in screen] == []


def test_a_process_in_the_c_locale_works(place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", child_environment()["PYTHONPATH"])
    monkeypatch.setenv("LC_ALL", "C")
    shutil.copy("valid.csv", "rows\udcff.csv")
    done = apart("evaluate", "fitted", "rows\udcff.csv")
    assert_shown(done)
    assert "a\\u001b[2J" in done.out
    missing = apart("evaluate", "fitted", "no\udcff.csv")
    assert "no\\udcff.csv" in assert_shown(missing, (2,))
