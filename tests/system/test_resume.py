import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_tasks import Planned, assert_same_bits, classification, sentences, training_stage, weights, words

from taskgraft import compose
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.model.fit import ModelError
from taskgraft.storage.run_directory import ResumeMismatch

pytestmark = pytest.mark.slow

KILLS = 20


def test_a_run_killed_after_a_random_step_resumes_to_the_weights_of_an_uninterrupted_one(tmp_path, tmp_path_factory):
    here = Path(__file__).parents[1] / "support"
    paths = os.pathsep.join([str(here), *filter(None, sys.path)])
    command = [sys.executable, str(here / "killed_runs.py"), str(tmp_path), str(KILLS)]
    left = {"TMPDIR": str(tmp_path_factory.mktemp("left"))}  # a killed process leaves its temporary folder
    environment = os.environ | {"PYTHONPATH": paths} | left
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole = {path.name.rpartition("-")[0]: path for path in tmp_path.glob("*-whole")}
    killed = [path for path in tmp_path.iterdir() if not path.name.endswith("-whole")]
    assert len(killed) == KILLS
    for path in killed:
        other = whole[path.name.rpartition("-")[0]]
        assert_same_bits(load_file(path / "weights.safetensors"), load_file(other / "weights.safetensors"))
        assert metrics(path / "run") == metrics(other / "run")


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Stop(Exception):
    pass


def stopping(step: int):
    """An on_step_end that raises once."""

    def on_step_end(backbone, now: int) -> None:
        if now == step:
            raise Stop

    return on_step_end


def fit(folder: Path, on_step_end=None, data=None, **training):
    model = compose(words(), classification(), Planned(training_stage("block-1", on_step_end=on_step_end)))
    settings = {"batch_size": 8} | training
    model.fit(data or sentences(), target="label", training=settings, run=folder, resume=True, quiet=True)
    return model


def test_metrics_have_a_line_per_step_and_epoch(tmp_path):
    fit(tmp_path / "run")
    found = metrics(tmp_path / "run")
    assert [sorted(line) for line in found] == [
        *[["epoch", "loss", "rate_factor", "stage", "step"]] * 3,
        ["epoch", "stage", "training_loss"],
    ] * 2
    assert [line["step"] for line in found if "step" in line] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 5}, "training.epochs was 3 and is now 5"),
        ({"seed": 1}, "training.seed was 0 and is now 1"),
    ],
)
def test_a_run_resumes_only_with_the_same_settings(tmp_path, change, message):
    with pytest.raises(Stop):
        fit(tmp_path / "run", stopping(4))
    with pytest.raises(ResumeMismatch) as raised:
        fit(tmp_path / "run", **change)
    assert raised.value.changed == (message,)


def test_a_run_resumes_only_with_the_same_rows(tmp_path):
    with pytest.raises(Stop):
        fit(tmp_path / "run", stopping(4))
    with pytest.raises(ResumeMismatch) as raised:
        fit(tmp_path / "run", data=sentences(seed=1))
    assert [change.split(" was ")[0] for change in raised.value.changed] == ["training rows", "first 8 rows, processed"]


def test_settings_that_do_not_affect_weights_may_change(tmp_path):
    with pytest.raises(Stop):
        fit(tmp_path / "run", stopping(4))
    fit(tmp_path / "run", workers=1, checkpoint_every=7)


def test_a_fit_without_a_run_folder_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = compose(words(), classification(), Planned(training_stage("block-1")))
    model.fit(sentences(), target="label", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_resume_without_a_run_folder_is_rejected():
    model = compose(words(), classification(), Planned(training_stage("block-1")))
    with pytest.raises(ModelError) as raised:
        model.fit(sentences(), target="label", resume=True, quiet=True)
    assert str(raised.value) == "A run is resumed from its folder, but none was named. Name it with run=…."


def test_a_run_resumes_only_with_the_same_versions_of_packages(tmp_path, small_plugin_installed):
    def fit_named():
        model = compose("small-words", "classification", "partial:1")
        model.fit(
            sentences(),
            inputs="text",
            target="label",
            training={"epochs": 1},
            run=tmp_path / "run",
            resume=True,
            quiet=True,
        )

    fit_named()
    (about,) = (tmp_path / "installed").glob("*.dist-info")
    (about / "METADATA").write_text((about / "METADATA").read_text().replace("Version: 1.0", "Version: 1.1"))
    with pytest.raises(ResumeMismatch) as raised:
        fit_named()
    assert raised.value.changed == ('versions.taskgraft-small was "1.0" and is now "1.1"',)


def test_a_backbone_object_with_other_frozen_weights_is_refused(tmp_path):
    with pytest.raises(Stop):
        fit_object(words(), tmp_path / "run", stopping(4))
    other = words()
    with torch.no_grad():
        other.embedding.weight.add_(1)
    with pytest.raises(ResumeMismatch) as raised:
        fit_object(other, tmp_path / "run", resume=True)
    assert raised.value.changed == ("embedding.weight of the backbone object has other values",)


def test_a_backbone_object_resumes_in_the_process_that_was_interrupted(tmp_path):
    backbone = words()
    with pytest.raises(Stop):
        fit_object(backbone, tmp_path / "run", stopping(4))
    resumed = fit_object(backbone, tmp_path / "run", resume=True)
    assert_same_bits(weights(resumed), weights(fit_object(words(), tmp_path / "other")))


def fit_object(backbone, run: Path, on_step_end=None, resume: bool = False):
    stages = (training_stage("block-1", name="last", on_step_end=on_step_end), training_stage("block-0", name="first"))
    model = compose(backbone, classification(), Planned(*stages))
    model.fit(sentences(), target="label", training={"batch_size": 8}, run=run, resume=resume, quiet=True)
    return model


def test_a_finished_run_is_resumed_to_its_weights_without_a_step(tmp_path):
    whole = fit(tmp_path / "run")
    lines = metrics(tmp_path / "run")
    again = fit(tmp_path / "run", stopping(1))
    assert_same_bits(weights(again), weights(whole))
    assert metrics(tmp_path / "run") == lines


def test_a_run_without_a_checkpoint_says_that_it_starts_from_the_beginning(tmp_path, capsys):
    whole = fit(tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").unlink()
    model = compose(words(), classification(), Planned(training_stage("block-1")))
    model.fit(sentences(), target="label", training={"batch_size": 8}, run=tmp_path / "run", resume=True)
    assert (
        f"There is no checkpoint in {tmp_path / 'run'}: training starts from the beginning." in capsys.readouterr().err
    )
    assert_same_bits(weights(model), weights(whole))


def test_another_strategy_object_of_the_same_class_is_refused(tmp_path):
    with pytest.raises(Stop):
        fit(tmp_path / "run", stopping(4))
    model = compose(words(), classification(), Planned(training_stage("block-1", rate=1e-3)))
    with pytest.raises(ResumeMismatch) as raised:
        model.fit(
            sentences(), target="label", training={"batch_size": 8}, run=tmp_path / "run", resume=True, quiet=True
        )
    assert [change.partition(" was ")[0] for change in raised.value.changed] == ["stages"]


def test_another_head_object_of_the_same_class_is_refused(tmp_path):
    with pytest.raises(Stop):
        fit(tmp_path / "run", stopping(4))
    other = Classification(ClassificationConfig(class_weights={"a": 5.0, "b": 1.0, "c": 1.0}))
    model = compose(words(), other, Planned(training_stage("block-1")))
    with pytest.raises(ResumeMismatch) as raised:
        model.fit(
            sentences(), target="label", training={"batch_size": 8}, run=tmp_path / "run", resume=True, quiet=True
        )
    assert [change.partition(" was ")[0] for change in raised.value.changed] == ["head description"]
