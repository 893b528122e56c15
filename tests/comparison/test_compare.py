"""Each comparison starts several processes, so there are few tests, with many assertions each."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import typed
from filelock import FileLock, Timeout
from interrupted import ForkedWorker
from planting import OPENING, garden_in
from small_tasks import sentences

import taskgraft as tg
from taskgraft.cli.options import parse_reference
from taskgraft.comparison.compare import CompareError, NotDrawn
from taskgraft.comparison.worker import RunRequest, run
from taskgraft.recipes.files import read_recipe

pytestmark = pytest.mark.slow

RECIPE = """
backbone = "small-words"
head = "classification"
strategy = "linear-probe"

[data]
train = "train.csv"
validation = "valid.csv"
inputs = "text"
target = "label"

[training]
batch_size = 8
"""

FRAGILE = f"""{OPENING}
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from taskgraft.plugin import StrategySpec


class FragileConfig(Config):
    victim: str
    mark: str


def _fragile(config):
    from taskgraft.builtin.strategies.fine_tuning import Partial, PartialConfig
    from taskgraft.plugin import Strategy

    def on_step_end(backbone, step):
        if step == 5 and not Path(config.mark).exists():
            Path(config.mark).touch()
            os.kill(os.getppid() if config.victim == "parent" else os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the process ends when its parent is gone

    class Fragile(Strategy):
        def plan(self, backbone, head):
            (stage,) = Partial(PartialConfig(learn=1)).plan(backbone, head)
            return (replace(stage, on_step_end=on_step_end),)

    return Fragile()


@hookimpl
def taskgraft_strategies():
    yield StrategySpec(name="fragile", summary="ends a process once", config=FragileConfig, build=_fragile)
"""

BASED = f"""{OPENING}
import hashlib
from pathlib import Path

from taskgraft.plugin import BackboneSpec


class BasedConfig(Config):
    positional = "path"
    path: str


def _describe(config):
    from small_plugin import WordsConfig, describe_words

    return describe_words(WordsConfig())


def _build(config):
    import torch
    from backbones import Words
    from small_plugin import WordsConfig

    class Based(Words):
        def fingerprint(self):
            return hashlib.sha256(Path(config.path).read_bytes()).hexdigest()

    based = Based(WordsConfig())
    with torch.no_grad():
        based.embedding.weight.mul_(float(Path(config.path).read_text()))
    return based


@hookimpl
def taskgraft_backbones():
    yield BackboneSpec(name="based", summary="words on a base", config=BasedConfig, describe=_describe, build=_build)
"""

STRATEGIES = [
    "linear-probe",
    "partial:9",
    "{name: fragile, victim: parent, mark: one}",
    "{name: fragile, victim: self, mark: two}",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a recipe and its data; the small backbones and a fragile strategy are installed."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    for name, count, seed in (("train", 24, 0), ("valid", 12, 1), ("test", 30, 2)):
        with (place / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(zip(*sentences(count, seed).values(), strict=True))
    (place / "intents.toml").write_text(RECIPE)
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        garden.plant(None, "taskgraft-small", module="small_plugin")
        garden.plant(FRAGILE, "fragile", module="fragile_plugin")
        garden.plant(BASED, "based", module="based_plugin")
        yield place


def compare_command(*others: object):
    words = [word for strategy in STRATEGIES for word in ("--strategy", strategy)]
    return ("compare", "intents.toml", *words, "--test", "test.csv", "--quiet", *others)


def fit_alone(strategy: str, seed: int = 0) -> tuple[tg.FitReport, dict, int]:
    """Fit in this process: the report, the metrics of the test rows, and the size of the artifact."""
    model = tg.compose("small-words", "classification", strategy)
    report = model.fit(
        "train.csv",
        validation="valid.csv",
        inputs="text",
        target="label",
        training={"batch_size": 8, "seed": seed},
        quiet=True,
    )
    artifact = f"as/deep/as/{strategy}-{seed}"  # the paths in an artifact start there, so their length counts
    metrics = model.evaluate("test.csv", quiet=True).to_json()["metrics"]
    return report, metrics, sum(file.stat().st_size for file in model.save(artifact, overwrite=True).iterdir())


def wait_for(lock: Path) -> None:
    """Wait until the process that held a lock has ended."""
    until = time.monotonic() + 30
    while True:
        try:
            with FileLock(lock, timeout=0):
                return
        except Timeout:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_comparison_killed_between_and_inside_runs_resumes_to_the_results_of_uninterrupted_fits(
    folder, monkeypatch, tmp_path_factory
):
    paths = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "taskgraft", *map(str, compare_command())]
    left = {"TMPDIR": str(tmp_path_factory.mktemp("left"))}  # a killed process leaves its temporary folder
    environment = os.environ | {"PYTHONPATH": paths} | left
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.setattr(subprocess, "Popen", ForkedWorker)  # from here on, runs import nothing again
    out = folder / "intents.compare"
    (first,) = out.glob("runs/*/record.json")
    (state,) = out.glob("runs/*/run/state.safetensors")
    assert not (out / "comparison.json").exists()
    before = first.stat().st_mtime_ns
    wait_for(state.with_name("lock"))

    again = typed(*compare_command())
    assert (again.code, again.err) == (
        2,
        "Error: 'intents.compare' already holds a comparison. "
        "Resume it (--resume), or replace it with overwrite (--overwrite).\n",
    )

    second = typed(*compare_command("--resume", "--json"))  # the run that kills itself is listed as failed
    failed = "Failed: partial:9, fragile ({}) (2 of 4). The reasons are in the result.\n"
    own = 'victim = "self", mark = "two"'
    assert (second.code, second.err) == (1, failed.format(own))
    second_result = json.loads(second.out)
    assert second_result == json.loads((out / "comparison.json").read_text()) | {"folder": "intents.compare"}
    assert second_result["failed"] == ["partial:9", f"fragile ({own})"]
    assert [one["problem"] for one in second_result["contenders"]] == [
        None,
        "'partial' has learn = 9, but the backbone has only 3 parts: embedding, block-0, block-1. "
        "Choose learn = 3 or less.",
        None,
        "its process was killed by SIGKILL, as happens when memory runs out.",
    ]

    third = typed(*compare_command("--resume"))  # and it is tried again
    assert (third.code, third.err) == (1, "Failed: partial:9 (1 of 4). The reasons are in the result.\n")
    found = json.loads((out / "comparison.json").read_text())
    assert first.stat().st_mtime_ns == before
    probe, _, parent, own = found["contenders"]
    for one, strategy in ((probe, "linear-probe"), (parent, "partial:1"), (own, "partial:1")):
        report, metrics, size = fit_alone(strategy)
        result = one["trials"]["0"]
        assert result["metrics"] == metrics
        assert one["score"] == metrics["accuracy"]
        assert result["trained"] == report.stages[0].trained
        assert result["interrupted"] is (one is not probe)
        assert one is not probe or result["artifact"] == size
        assert 100e6 < result["peak_memory"] < 2e9
        assert result["seconds"] > result["shared_seconds"] >= 0
    assert own["shared_seconds"] == 0.0  # its own first attempt had computed and paid for it
    for before_it, after_it in zip(second_result["contenders"][:3], found["contenders"], strict=False):
        assert before_it | {"best_trade_off": None} == after_it | {
            "best_trade_off": None
        }  # one more may be better or faster
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "shelf").exists()
    assert list(out.glob("runs/*/artifact")) == list(out.glob("runs/*/run/state.safetensors")) == []
    assert "strategy" in third.out.splitlines()[0]
    assert "30 test rows" in third.out
    assert third.out.endswith("Saved in intents.compare; figure: intents.compare/comparison.png.\n")

    changed = typed(*compare_command("--resume", "--set", "training.epochs=5"))
    assert (changed.code, changed.err) == (
        2,
        "Error: Cannot resume intents.compare: training.epochs was 3 and is now 5. "
        "Undo this, or start again without resume (on the command line: --overwrite instead of --resume).\n",
    )
    unknown = typed(*compare_command("--resume", "--metric", "acuracy"))
    assert unknown.code == 2
    assert unknown.err.startswith("Error: No run has the metric 'acuracy'. Did you mean 'accuracy'? Metrics: ")
    by_f1 = typed(*compare_command("--resume", "--metric", "f1_macro", "--json"))
    assert json.loads(by_f1.out)["metric"] == "f1_macro"

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    strategies = [parse_reference(text, "strategy") for text in STRATEGIES]
    with pytest.warns(NotDrawn) as caught:
        undrawn = tg.compare("intents.toml", strategies, folder=out, test="test.csv", resume=True, quiet=True)
    assert undrawn.figure is None
    assert undrawn.candidates[2].summary.metrics["accuracy"].value == parent["score"]["value"]
    assert [str(one.message) for one in caught] == [
        f"{out}/comparison.png is not drawn, since matplotlib is not installed: pip install 'taskgraft[figures]'"
    ]


def test_split_rows_are_the_same_for_all_seeds_so_runs_share_frozen_features(folder):
    recipe = read_recipe("intents.toml", ["data.validation=null", "data.split=fraction:0.25"])
    shared = []
    for seed in (0, 1):
        training = recipe.training.model_copy(update={"seed": seed})
        recipe = recipe.model_copy(update={"training": training})
        request = RunRequest(recipe=recipe, seed=0, test=None, shared_cache="shelf", quiet=True)
        place = folder / str(seed)
        place.mkdir()
        record = run(place, request)
        assert (record.rows, record.problem) == (6, None)
        shared.append(record.result.shared_seconds)
    assert shared[0] == 0.0 < shared[1]


def test_an_interrupted_run_whose_versions_changed_or_whose_checkpoint_is_damaged_starts_again(folder, capfd):
    request = RunRequest(recipe=read_recipe("intents.toml"), seed=0, test=None, shared_cache="shelf", quiet=False)
    place = folder / "run-of-it"
    place.mkdir()
    first = run(place, request).result  # its checkpoint is removed with the process, which this is not
    (place / "run" / "state.safetensors").write_bytes(b"damaged")
    second = run(place, request).result
    identity = json.loads((place / "run" / "run.json").read_text())
    identity["versions"]["torch"] = "1.0"
    (place / "run" / "run.json").write_text(json.dumps(identity))
    third = run(place, request).result
    assert first.metrics == second.metrics == third.metrics
    said = [line for line in capfd.readouterr().err.splitlines() if "starts again" in line]
    torch_now = version("torch")
    assert said == [
        "This run was interrupted, and starts again: its checkpoint is damaged (it is not a complete safetensors file: "
        "it has no header of a safetensors file in its 7 bytes).",
        f'This run was interrupted, and starts again: versions.torch was "1.0" and is now "{torch_now}".',
    ]


def test_finished_runs_are_kept_until_their_base_changes_and_then_repeated_by_name(folder, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", ForkedWorker)
    (folder / "one").write_text("1.0")
    (folder / "two").write_text("2.0")
    command = ("compare", "intents.toml", "--backbone", "based:one", "--backbone", "based:two", "--test", "test.csv")

    def compared(*others):
        """Run it; return the score of each candidate, and what it said of runs."""
        done = typed(*command, "--json", *others)
        assert done.code == 0, done.err
        said = [line for line in done.err.splitlines() if "repeated" in line or "finished" in line or "damaged" in line]
        found = json.loads(done.out)
        return {(one["backbone"], one["strategy"]): one["score"] for one in found["contenders"]}, said

    first, said = compared()
    assert said == []
    out, probe = folder / "intents.compare", "linear-probe"
    (left,) = out.glob("runs/*one*/run")
    (left / "state.safetensors").write_bytes(b"of a process that was killed after it had written its record")
    assert compared("--resume") == (first, ["All runs of this comparison are finished."])
    assert list(out.glob("runs/*/run/state.safetensors")) == []

    digests = [hashlib.sha256((folder / "one").read_bytes()).hexdigest()]
    (folder / "one").write_text("-3.0")
    digests.append(hashlib.sha256((folder / "one").read_bytes()).hexdigest())
    one, two = (next(out.glob(f"runs/*{name}*/record.json")) for name in ("one", "two"))
    two.write_text(two.read_text().replace('"rows": 30', '"rows": 31'))
    second, said = compared("--resume")
    damaged = f"{two.relative_to(folder)} is damaged (its content does not match its digest), so this run is repeated."
    changed = f'base was "{digests[0]}" and is now "{digests[1]}"'
    assert said == [damaged, f"The run of 'linear-probe' on 'based:one', seed 0, is repeated: {changed}."]
    assert second["based:two", probe] == first["based:two", probe]
    alone = tg.compose("based:one", "classification", probe)
    alone.fit(
        "train.csv", validation="valid.csv", inputs="text", target="label", training={"batch_size": 8}, quiet=True
    )
    assert second["based:one", probe] == alone.evaluate("test.csv", quiet=True).to_json()["metrics"]["accuracy"]

    one.unlink()
    (folder / "two").unlink()
    done = typed(*command, "--resume")
    assert done.code == 2
    assert "Error: Cannot compare with the finished runs on 'based:two': its base cannot be read. " in done.err
    assert "FileNotFoundError: [Errno 2] No such file or directory: 'two'" in done.err
    assert two.is_file()


# --- errors before anything runs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "There is only 'linear-probe' on 'small-words' to compare. Name more strategies, or more backbones.",
        ),
        (
            ["--strategy", "full", "--strategy", "{name: full}"],
            "'full' on 'small-words' is named twice. Name it once.",
        ),
        (
            ["--strategy", "full", "--strategy", "{name: fragile, victim: self, mark: one, rate: 1}"],
            "strategy 'fragile': there is no setting 'rate'. Settings: victim, mark, layer_decay, epochs, patience.",
        ),
        (
            ["--strategy", "full", "--strategy", "{name: full"],
            "strategy: '{name: full' cannot be read: while parsing a flow mapping, expected ',' or '}', "
            "but got '<stream end>'.",
        ),
        (
            ["--strategy", "full", "--strategy", "partial:1", "--set", "data.validation=null"],
            "The recipe has no validation rows to evaluate on. "
            "Give data.validation, data.split, or test data (--test).",
        ),
        (
            ["--strategy", "full", "--strategy", "partial:1", "--set", "data.train=null"],
            "The recipe names no training data. Give their path: data.train.",
        ),
        (
            ["--strategy", "full", "--strategy", "partial:1", "--set", "data.target=[]"],
            "The recipe does not say what to predict. Name the target column: data.target.",
        ),
        (
            ["--strategy", "full", "--strategy", "partial:1", "--test", "tests.csv"],
            "tests.csv: there is no such file.",
        ),
        (
            ["--strategy", "full", "--strategy", "partial:1", "-o", "."],
            "'.' is not empty, and it is not a comparison. Name another folder.",
        ),
        (
            ["--strategy", "partial:9", "--strategy", "partial:8"],
            "No run succeeded. 'partial' has learn = 9, but the backbone has only 3 parts: "
            "embedding, block-0, block-1. Choose learn = 3 or less. 'partial' has learn = 8, but the backbone has only 3 "
            "parts: embedding, block-0, block-1. Choose learn = 3 or less. Fix this, and start again.",
        ),
    ],
)
def test_an_invalid_comparison_is_answered_with_one_message(folder, arguments, message):
    done = typed("compare", "intents.toml", "--quiet", *arguments)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {message}\n")


def test_a_comparison_that_was_killed_before_it_had_an_identity_starts_again(folder):
    out = folder / "intents.compare"
    (out / ".run.json-0123abcd.taskgraft-new").mkdir(parents=True)
    (out / "lock").touch()
    done = typed("compare", "intents.toml", "--quiet", "--strategy", "partial:9", "--strategy", "partial:8")
    assert (done.code, done.err.partition(".")[0]) == (2, "Error: No run succeeded")
    assert sorted(path.name for path in out.iterdir()) == ["lock", "metrics.jsonl", "run.json"]


def test_an_unknown_strategy_is_answered_with_a_suggestion(folder):
    done = typed("compare", "intents.toml", "--strategy", "full", "--strategy", "linear-prob")
    assert done.code == 2
    assert done.err.startswith("Error: No strategy named 'linear-prob'. Did you mean 'linear-probe' (from taskgraft")
    assert not (folder / "intents.compare").exists()


def test_zero_seeds_are_rejected(folder):
    assert typed("compare", "intents.toml", "--strategy", "full", "--seeds", "0").code == 2
    with pytest.raises(CompareError) as raised:
        tg.compare("intents.toml", ["full", "partial:1"], seeds=0, folder="out")
    assert str(raised.value) == "The number of seeds is 0. Give a whole number from 1 on."
