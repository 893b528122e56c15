import json
import os
import shutil
import signal
import threading
import time

import pytest
from commands import typed
from planting import OPENING, garden_in
from small_recipe import RECIPE, write_rows
from small_tasks import sentences

import taskgraft as tg

IMPATIENT = f"""{OPENING}
from taskgraft.plugin import StrategySpec


def _stopped(config):
    raise KeyboardInterrupt


@hookimpl
def taskgraft_strategies():
    yield StrategySpec(name="impatient", summary="is interrupted at once", config=EmptyConfig, build=_stopped)
"""

PLUGIN = f"""{OPENING}
from taskgraft.plugin import MetricSpec, ReaderSpec, SplitSpec, TargetKind


def _read(path, config):
    import pyarrow as pa
    from taskgraft.plugin import Rows

    lines = path.read_text().splitlines()
    columns = zip(*(line.split(" | ") for line in lines), strict=True)
    table = pa.table(dict(zip(("text", "label"), map(list, columns), strict=True)))
    return Rows(table, path.name, list(range(1, len(lines) + 1)))


def _last_four(rows, targets, config, seed):
    return {{"train": list(range(len(rows) - 4)), "validation": list(range(len(rows) - 4, len(rows)))}}


def _of_long_texts(predictions, truth, columns, config):
    texts = columns["text"]
    return lambda rows: {{"share_of_long_texts": float(sum(len(texts[row]) > 9 for row in rows) / len(rows))}}


@hookimpl
def taskgraft_readers():
    yield ReaderSpec(name="bars", summary="texts and labels with a bar between", config=EmptyConfig, suffixes=(".bars",),
                     read=_read)


@hookimpl
def taskgraft_splits():
    yield SplitSpec(name="last-four", summary="the last four rows", config=EmptyConfig, split=_last_four)


@hookimpl
def taskgraft_metrics():
    yield MetricSpec(name="long", summary="a number", config=EmptyConfig, targets=frozenset(TargetKind), build=_of_long_texts)
"""

LONG = RECIPE.replace('{name = "linear-probe", penalty = 1e-3}', '"full"') + "[training]\nepochs = 150\n"


@pytest.fixture
def folder(tmp_path, monkeypatch, small_plugin_installed):
    """The working directory, with a recipe and its data."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    write_rows(place / "train.csv", 24, 0)
    write_rows(place / "valid.csv", 12, 1)
    (place / "intents.toml").write_text(RECIPE)
    (place / "long.toml").write_text(LONG)
    return place


def inside(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def interrupt_when_there_is(path):
    """Press Ctrl-C once a file is there."""

    def wait():
        until = time.monotonic() + 60
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
    threading.Thread(target=wait, daemon=True).start()


# --- what it does


def test_a_recipe_is_fitted_evaluated_and_saved_next_to_it(folder):
    done = typed("fit", "intents.toml", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert "accuracy" in done.out
    assert "Saved in intents after" in done.out
    model = tg.load("intents")
    assert model.recipe.data.train == "train.csv"
    assert model.predict(["my card"])[0] in "abc"
    assert inside(folder / "intents") == ["SHA256SUMS", "learned.safetensors", "taskgraft.json"]


def test_overrides_decide_what_is_fitted_and_are_saved(folder):
    assert typed("fit", "intents.toml", "--set", "training.seed=7", "--set", "strategy.penalty=0.5", "-q").code == 0
    recipe = tg.load("intents").recipe
    assert recipe.training.seed == 7
    assert recipe.strategy.settings["penalty"] == 0.5


def test_json_reports_the_fit(folder):
    found = json.loads(typed("fit", "intents.toml", "-o", "other/model", "--json", "-q").out)
    assert (found["artifact"], found["run"], found["seed"]) == ("other/model", "other/model.run", 0)
    assert "accuracy" in json.dumps(found["metrics"])
    assert found["stages"] == ["linear-probe"]
    assert found["seconds"] > 0


def test_a_recipe_elsewhere_finds_its_data_beside_itself(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert typed("fit", "work/intents.toml", "-q").code == 0
    assert tg.load("work/intents").recipe.data.train == "work/train.csv"


def test_an_artifact_is_fitted_again_to_the_same_predictions(folder):
    typed("fit", "intents.toml", "-q")
    assert typed("fit", "intents", "-q").code == 0
    texts = sentences(20, 3)["text"]
    assert tg.load("intents-again").predict_proba(texts) == tg.load("intents").predict_proba(texts)


def test_an_artifact_finds_its_data_from_wherever_it_is_fitted_again(folder, tmp_path, monkeypatch):
    typed("fit", "intents.toml", "-o", "models/intents", "-q")
    folder.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert typed("fit", "moved/models/intents", "-q").code == 0
    assert tg.load("moved/models/intents").recipe.data.train == "moved/train.csv"


def test_metrics_of_the_run_are_kept_and_its_checkpoint_is_not(folder):
    typed("fit", "long.toml", "--set", "training.epochs=2", "-q")
    assert "metrics.jsonl" in inside(folder / "long.run")
    assert "state.safetensors" not in inside(folder / "long.run")


def test_several_seeds_give_mean_and_standard_deviation_and_save_the_recipes_own(folder):
    words = ("fit", "long.toml", "--set", "training.epochs=2", "--set", "training.seed=5", "--seeds", "3")
    done = typed(*words, "--json", "-q")
    found = json.loads(done.out)
    values = [found["seeds"][seed]["accuracy"] for seed in ("5", "6", "7")]
    assert found["mean"]["accuracy"] == pytest.approx(sum(values) / 3)
    assert found["spread"]["accuracy"] >= 0
    assert tg.load("long").recipe.training.seed == 5
    out = typed(*words, "--overwrite", "-q").out
    assert out.splitlines()[0].split() == ["metric", "mean", "of", "3", "seeds", "standard", "deviation", "seed", "5"]


def test_a_plugins_reader_split_and_metric_work_by_name(folder, tmp_path):
    rows = sentences(24)
    lines = (" | ".join(row) for row in zip(*rows.values(), strict=True))
    (folder / "train.bars").write_text("\n".join(lines))
    changes = ("--set", "data.train=train.bars", "--set", "data.validation=null", "--set", "data.split=last-four")
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        garden.plant(PLUGIN)
        fit = json.loads(typed("fit", "intents.toml", *changes, "--json", "-q").out)
        judged = json.loads(typed("evaluate", "intents", "train.bars", "--metrics", "long", "--json", "-q").out)
    assert fit["metrics"]["rows"] == 4
    assert judged["metrics"]["share_of_long_texts"]["value"] == sum(len(text) > 9 for text in rows["text"]) / 24


# --- resuming


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_weights(folder):
    typed("fit", "long.toml", "-o", "whole", "-q")
    interrupt_when_there_is(folder / "long.run" / "state.safetensors")
    done = typed("fit", "long.toml", "--set", "training.memory=1_000_000", "-q")
    assert (done.code, done.out, done.err) == (
        130,
        "",
        "Interrupted. The checkpoint is in long.run. "
        "Continue with: taskgraft fit long.toml --set training.memory=1_000_000 -q --resume\n",
    )
    assert not (folder / "long").exists()

    refused = typed("fit", "long.toml", "-q")
    assert (refused.code, refused.err) == (
        2,
        "Error: Nothing was fitted: an interrupted run is in long.run. "
        "Continue it with --resume, or start over with --overwrite.\n",
    )
    assert typed("fit", "long.toml", "--set", "training.memory=1_000_000", "--resume", "-q").code == 0
    assert (folder / "long/learned.safetensors").read_bytes() == (folder / "whole/learned.safetensors").read_bytes()


def test_ctrl_c_before_the_first_checkpoint_says_so(folder, tmp_path):
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        garden.plant(IMPATIENT)
        done = typed("fit", "intents.toml", "--set", "strategy=impatient", "--seeds", "2", "-q")
    assert (done.code, done.out, done.err) == (
        130,
        "",
        "Interrupted before the first checkpoint. "
        "Start over with: taskgraft fit intents.toml --set strategy=impatient --seeds 2 -q\n",
    )


FINISHED = "This run is finished: its artifact is intents. To fit again, use --overwrite instead of --resume.\n"


def test_a_finished_run_says_so_and_loses_what_is_left_of_it(folder):
    report = json.loads(typed("fit", "intents.toml", "--json", "-q").out)
    saved = {file.name: file.read_bytes() for file in (folder / "intents").iterdir()}
    state = folder / "intents.run" / "state.safetensors"
    state.write_bytes(b"left by a process that was killed after it had saved the artifact")
    done = typed("fit", "intents.toml", "--resume")
    assert (done.code, done.out, done.err) == (0, FINISHED, "")
    assert not state.exists()
    done = typed("fit", "intents.toml", "--resume", "--json")  # as a process that was killed before it printed
    assert (done.code, json.loads(done.out)) == (0, report)
    assert typed("fit", "intents.toml", "--resume", "--overwrite", "--set", "training.workers=0").out == FINISHED
    assert {file.name: file.read_bytes() for file in (folder / "intents").iterdir()} == saved


@pytest.mark.parametrize("changes", [("--set", "training.seed=3"), ("--seeds", "2")], ids=["recipe", "seeds"])
def test_a_run_of_something_else_is_not_finished(folder, changes):
    typed("fit", "intents.toml", "-q")
    done = typed("fit", "intents.toml", "--resume", *changes)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "Error: Nothing was fitted: intents already exists. "
        "Choose another folder with -o, or replace the artifact with --overwrite.\n",
    )


def test_a_run_whose_artifact_is_of_another_recipe_is_not_finished(folder):
    typed("fit", "intents.toml", "--set", "training.seed=3", "--set", "strategy=partial:1", "-o", "other", "-q")
    typed("fit", "intents.toml", "-q")
    shutil.rmtree(folder / "intents")
    (folder / "other").rename(folder / "intents")
    assert typed("fit", "intents.toml", "--resume").code == 2


def test_a_run_whose_artifact_is_damaged_is_not_finished(folder):
    typed("fit", "intents.toml", "-q")
    content = bytearray((folder / "intents" / "learned.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "intents" / "learned.safetensors").write_bytes(content)
    assert typed("fit", "intents.toml", "--resume").code == 2


def test_a_run_that_was_killed_before_its_artifact_was_in_place_goes_on(folder):
    typed("fit", "intents.toml", "-q")
    saved = (folder / "intents" / "learned.safetensors").read_bytes()
    shutil.rmtree(folder / "intents")
    assert (folder / "intents.run" / "finished.json").is_file()
    done = typed("fit", "intents.toml", "--resume")
    assert done.code == 0
    assert "Saved in intents after" in done.out
    assert (folder / "intents" / "learned.safetensors").read_bytes() == saved


def test_a_run_that_replaces_the_artifact_is_not_finished_before_it_did(folder):
    typed("fit", "intents.toml", "-q")
    (folder / "train.csv").write_text("text,label\nno,\n")
    assert typed("fit", "intents.toml", "--overwrite", "-q").code == 2  # it began, and found an invalid row
    done = typed("fit", "intents.toml", "--resume", "-q")
    assert done.code == 2
    assert "intents already exists" in done.err


# --- rejected before any training


def test_paths_without_a_name(folder):
    where = folder.resolve()
    for name in ("", ".", "runs/.."):
        (folder / "runs").mkdir(exist_ok=True)
        done = typed("fit", "intents.toml", "-o", name)
        assert (done.code, done.err.split(". ")[0]) == (2, f"Error: Nothing was fitted: {where} already exists")
        assert typed("fit", name).code == 2
    assert sorted(path.name for path in folder.parent.iterdir() if path.name.startswith(f"{folder.name}.")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("intents.toml", "-o", "taken"),
            "Nothing was fitted: taken already exists. "
            "Choose another folder with -o, or replace the artifact with --overwrite.",
        ),
        (
            ("intents.toml", "-o", "taken", "--overwrite"),
            "Nothing was fitted: taken is not an artifact, so it is not overwritten. Choose another folder with -o.",
        ),
        (
            ("intents.toml", "-o", "train.csv/model"),
            "Nothing was fitted: {folder}/train.csv cannot be written to (Not a directory). Choose another folder with -o.",
        ),
        (
            ("untrained.toml",),
            "Nothing was fitted: untrained.toml names no training data. Set data.train.",
        ),
        (
            ("aimless.toml",),
            "Nothing was fitted: aimless.toml names no target column. Set data.target.",
        ),
        (
            ("unjudged.toml", "--seeds", "3"),
            "Nothing was fitted: --seeds compares metrics on validation rows, and unjudged.toml has none. "
            "Set data.validation or data.split.",
        ),
        (("intents.tml",), "intents.tml: there is no such file. Did you mean 'intents.toml'?"),
        (
            ("intents.toml", "--set", "epoch=3"),
            "'epoch=3' cannot be set: a recipe has no 'epoch'. Did you mean 'training.epochs'? "
            "Keys: backbone, head, strategy, data, training.",
        ),
    ],
)
def test_what_must_fail_is_rejected_at_once(folder, arguments, message):
    (folder / "taken").mkdir()
    (folder / "taken" / "letter").write_text("precious")
    (folder / "untrained.toml").write_text(RECIPE.replace('train = "train.csv"', ""))
    (folder / "aimless.toml").write_text(RECIPE.replace('target = "label"', ""))
    (folder / "unjudged.toml").write_text(RECIPE.replace('validation = "valid.csv"', ""))
    before = inside(folder)
    done = typed("fit", *arguments)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {message.format(folder=folder)}\n")
    assert inside(folder) == before


def test_another_file_in_an_artifact_keeps_it_from_being_overwritten(folder):
    typed("fit", "intents.toml", "-q")
    (folder / "intents" / "letter").write_text("precious")
    done = typed("fit", "intents.toml", "--overwrite", "-q")
    assert (done.code, done.err) == (
        2,
        "Error: Nothing was fitted: intents also holds letter, which is not part of an artifact, so it is not overwritten. "
        "Choose another folder with -o.\n",
    )
    (folder / "intents" / "letter").unlink()
    assert typed("fit", "intents.toml", "--overwrite", "-q").code == 0


def test_invalid_data_leave_no_artifact(folder):
    (folder / "train.csv").write_text("id,text,label\n1,where is it,a\n2,,b\n")
    done = typed("fit", "intents.toml", "-q")
    assert done.code == 2
    assert "line 3" in done.err
    assert "Traceback" not in done.err
    assert not (folder / "intents").exists()
