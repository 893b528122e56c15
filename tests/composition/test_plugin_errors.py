"""An unexpected exception of a plugin names the plugin, the component and the call: on the command line and in Python."""

import re
from pathlib import Path

import pytest
from commands import typed
from planting import garden_in

import taskgraft as tg
from taskgraft.composition.plugin_errors import find_plugin_failure
from taskgraft.engine.memory import NotEnoughMemory

pytestmark = pytest.mark.slow

SOURCES = {
    path.stem: path.read_text() for path in (Path(__file__).parents[1] / "support" / "acme_strings").glob("*.py")
}

RECIPE = """
backbone = "strings"
head = "kinds"
strategy = "last-part"

[data]
train = "train.pairs"
split = "tenth"
inputs = "text"
target = "label"

[training]
epochs = 1
optimizer = "signs"
schedule = "halves"
"""

ROWS = {"text": [*"abcdefghij"], "label": ["x", "y"] * 5}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A function that installs the plugin acme with an exception in one of its functions."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "recipe.toml").write_text(RECIPE)
    lines = [f"{label}: {text}" for label, text in zip(ROWS["label"] * 2, [*ROWS["text"], *"klmnopqrst"], strict=True)]
    (work / "train.pairs").write_text("\n".join(lines))
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:

        def plant(module, call, error='LookupError("out of tea")'):
            sources = dict(SOURCES)
            sources[module] = with_exception(sources[module], call, error)
            for name, code in sources.items():
                garden.write(f"acme_strings.{name}", code)
            garden.plant(None, "acme-strings", "2.1", module="acme_strings")

        yield plant


def with_exception(code, call, error):
    """Let a function raise as the first thing that it does. ``call`` is ``function``, or ``Class.method``."""
    owner, _, name = call.rpartition(".")
    start = re.search(rf"^class {owner}\b", code, re.MULTILINE).start() if owner else 0
    found = re.compile(rf"^( *)def {name}\(.*?\)( -> [^\n]*)?:\n", re.MULTILINE | re.DOTALL).search(code, start)
    assert found is not None, call
    return f"{code[: found.end()]}{found[1]}    raise {error}\n{code[found.end() :]}"


FIT = [
    ("__init__", "describe", "backbone 'strings', "),
    ("__init__", "build", "backbone 'strings', "),
    ("backbone", "Strings.__init__", "backbone 'strings', "),
    ("backbone", "StringsProcessor.prepare", "backbone 'strings', "),
    ("backbone", "StringsProcessor.settings", "backbone 'strings', "),
    ("__init__", "describe_kinds", "head 'kinds', "),
    ("__init__", "build_kinds", "head 'kinds', "),
    ("head", "Kinds.fit_targets", "head 'kinds', "),
    ("head", "Kinds.encode", "head 'kinds', "),
    ("head", "Kinds.build_module", "head 'kinds', "),
    ("head", "KindsModule.__init__", "head 'kinds', "),
    ("head", "KindsModule.forward", "head 'kinds', "),
    ("head", "KindsModule.loss", "head 'kinds', "),
    ("head", "KindsModule.predict", "head 'kinds', "),
    ("__init__", "build_last_part", "strategy 'last-part', "),
    ("strategy", "LastPart.plan", "strategy 'last-part', "),
    ("data", "read", "reader 'pairs', "),
    ("data", "split", "split 'tenth', "),
    ("__init__", "build_signs", "optimizer 'signs', "),
    ("descent", "Signs.__init__", "optimizer 'signs', "),
    ("descent", "Signs.step", "optimizer 'signs', "),
    ("__init__", "build_halves", "schedule 'halves', "),
]
"""Module, function that raises, and the component that is named."""

ADVICE = "This is a bug in that plugin, not in your input; --debug shows the traceback."


@pytest.mark.parametrize(("module", "call", "component"), FIT, ids=str)
def test_every_call_of_a_fit_is_named_with_plugin_and_component(broken, module, call, component):
    broken(module, call)
    done = typed("fit", "recipe.toml", "-o", "fitted", "-q")
    assert done.code == 1
    problem, advice = done.err.splitlines()
    before, _, after = problem.partition(" (")
    assert (before.rpartition(", ")[0] + ", ", advice) == (
        f"Error: The plugin acme-strings 2.1 failed in its {component}",
        ADVICE,
    )
    assert re.fullmatch(rf"{module}\.py, line \d+\): LookupError: out of tea", after)
    assert call in CALLED.get(call, before)
    assert not Path("fitted").exists()


CALLED = {
    "Strings.__init__": "Strings.__init__",  # called by the plugin's own build function, which is named
    "KindsModule.__init__": "KindsModule.__init__",
    "Signs.__init__": "Signs.__init__",
}
"""Functions that the plugin calls itself: the message names its function that the core called, and the line of the raise."""


@pytest.mark.parametrize("call", ["Strings.forward", "Strings._embedded"])
def test_a_backbone_that_fails_in_the_dry_run_is_named_with_its_plugin(broken, call):
    broken("backbone", call)
    done = typed("fit", "recipe.toml", "-o", "fitted", "-q")
    assert done.code == 2
    assert re.fullmatch(
        r"Error: 'strings:8' fails on its own, before anything is inserted into it: LookupError: out of tea\. The plugin "
        r"acme-strings 2\.1 failed in its backbone 'strings', Strings\.forward \(backbone\.py, line \d+\)\.\n",
        done.err,
    )


def test_debug_shows_the_traceback(broken):
    broken("head", "Kinds.encode")
    done = typed("fit", "recipe.toml", "-o", "fitted", "-q", "--debug")
    assert done.code == 1
    assert done.err.startswith("Traceback (most recent call last):")
    assert "The plugin acme-strings 2.1 failed in its head 'kinds', Kinds.encode (head.py, line " in done.err


@pytest.mark.parametrize(
    ("module", "call", "command"),
    [
        ("backbone", "StringsProcessor.prepare", ("predict", "good", "train.pairs")),
        ("head", "KindsModule.predict", ("evaluate", "good", "train.pairs")),
        ("data", "build_errors", ("evaluate", "good", "train.pairs", "--metrics", "errors")),
        (
            "backbone",
            "Strings.forward",
            ("features", "strings", "train.pairs", "-o", "features.parquet", "--input", "text"),
        ),
        ("__init__", "describe", ("show", "strings:8")),
    ],
)
def test_other_commands_name_the_plugin_too(broken, module, call, command):
    save_good_artifact()
    broken(module, call)
    done = typed(*command)
    assert done.code == 1
    assert done.err.startswith("Error: The plugin acme-strings 2.1 failed in its ")
    assert done.err.endswith(f": LookupError: out of tea\n{ADVICE}\n")


def save_good_artifact():
    """Fit with the correct plugin."""
    folder = Path.cwd().parent / "gardens-of-others" / "garden"
    with garden_in(folder, alone=False) as garden:
        for name, code in SOURCES.items():
            garden.write(f"acme_strings.{name}", code)
        garden.plant(None, "acme-strings", "2.1", module="acme_strings")
        model = tg.compose("strings", "kinds", "last-part")
        model.fit(ROWS, inputs="text", target="label", quiet=True)
        model.save("good")


def test_a_failing_run_of_a_comparison_names_the_plugin(broken):
    broken("strategy", "LastPart.plan")
    done = typed("compare", "recipe.toml", "--strategy", "last-part", "--strategy", "linear-probe", "-o", "out", "-q")
    assert done.code == 1
    assert (
        "The plugin acme-strings 2.1 failed in its strategy 'last-part', LastPart.plan (strategy.py, line " in done.err
    )


def test_in_python_the_type_stays_and_a_note_names_the_plugin(broken):
    broken("head", "Kinds.fit_targets")
    model = tg.compose("strings", "kinds", "last-part")
    with pytest.raises(LookupError) as caught:
        model.fit(ROWS, inputs="text", target="label", quiet=True)
    assert str(caught.value) == "out of tea"
    (note,) = caught.value.__notes__
    assert re.fullmatch(
        r"The plugin acme-strings 2.1 failed in its head 'kinds', Kinds.fit_targets \(head.py, line \d+\)\.", note
    )


@pytest.mark.parametrize("error", ["MemoryError()", "KeyboardInterrupt()"])
def test_lack_of_memory_and_an_interruption_are_nobodys_fault(broken, error):
    broken("head", "Kinds.fit_targets", error)
    model = tg.compose("strings", "kinds", "last-part")
    with pytest.raises((NotEnoughMemory, KeyboardInterrupt)) as caught:
        model.fit(ROWS, inputs="text", target="label", quiet=True)
    assert not hasattr(caught.value, "__notes__")


def test_an_error_for_the_user_stays_a_sentence(broken):
    broken("data", "read", 'UnreadableFile(str(path), "it is empty.")')
    done = typed("fit", "recipe.toml", "-o", "fitted", "-q")
    assert (done.code, done.err) == (2, "Error: train.pairs: it is empty.\n")


def test_an_error_without_a_text_is_named_by_its_class(broken):
    broken("head", "Kinds.fit_targets", "AssertionError")
    done = typed("fit", "recipe.toml", "-o", "fitted", "-q")
    assert (done.code, done.err.splitlines()[0].rpartition(": ")[2]) == (1, "AssertionError")


def test_an_exception_in_a_worker_process_names_the_plugin(broken, monkeypatch):
    broken("head", "KindsModule.predict")
    from taskgraft.processes.workers import parallel_map

    def work(item):
        import acme_strings.head as head

        return head.KindsModule.predict(None, item, item)

    with pytest.raises(LookupError) as caught:
        list(parallel_map(work, [1, 2, 3], 2))
    failure = find_plugin_failure(caught.value)
    assert str(failure).startswith("The plugin acme-strings 2.1 failed in KindsModule.predict (head.py, line ")
    assert str(caught.value) == "out of tea"
    assert caught.value.__notes__[1].startswith("In a worker process:\nTraceback (most recent call last):")


def test_an_exception_of_the_core_blames_no_plugin(broken):
    broken("head", "Kinds.fit_targets")
    with pytest.raises(LookupError) as caught:
        raise LookupError("ours")
    assert find_plugin_failure(caught.value) is None
