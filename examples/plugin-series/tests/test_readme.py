"""The README's recipe runs, and its backbone learns what the generator writes."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import taskgraft as tg

from plugin_series.generate import write_series
from plugin_series.long_table import read_long_table
from plugin_series.settings import LongTableConfig

(RECIPE,) = re.findall(
    r"^```toml\n(.*?)^```", (Path(__file__).parents[1] / "README.md").read_text(), re.MULTILINE | re.DOTALL
)
EPOCHS = {"full": 12, "partial": 50, "lora": 40}
RATES = {"learning_rate": 2e-3, "head_learning_rate": 5e-3}
STRATEGIES = {
    "full": RATES,
    "partial": {"learn": 2, **RATES},
    "lora": {"rank": 16, "learning_rate": 1e-2, "head_learning_rate": 1e-2},
}


def test_the_recipe_runs_on_the_command_line(tmp_path):
    (tmp_path / "series.toml").write_text(RECIPE)
    write_series(tmp_path / "series.csv", per_label=4)
    command = [sys.executable, "-m", "taskgraft", "fit", "series.toml", "-o", "fitted", "--set", "training.epochs=1"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_learns(strategy, tmp_path):
    if strategy == "lora" and find_spec("taskgraft_peft") is None:
        pytest.skip("taskgraft-peft is not installed")
    train, test = rows(tmp_path / "train.csv", 40, seed=0), rows(tmp_path / "test.csv", 12, seed=1)
    recipe = tomllib.loads(RECIPE)
    model = tg.compose(recipe["backbone"], recipe["head"], {"name": strategy, **STRATEGIES[strategy]})
    model.fit(train, target="kind", inputs=["x", "y"], training={"epochs": EPOCHS[strategy]}, quiet=True)
    labels = model.predict({"x": test["x"], "y": test["y"]}, quiet=True)
    right = sum(label == kind for label, kind in zip(labels, test["kind"], strict=True))
    assert right / len(labels) >= 0.9


def rows(path, per_label, seed):
    write_series(path, per_label, seed)
    return read_long_table(
        path, LongTableConfig(id="sensor", time="second", values=("x", "y"), step=1)
    ).table.to_pydict()
