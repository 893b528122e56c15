"""The README's recipe runs, and its backbone learns what the generator writes."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import taskgraft as tg

from plugin_audio.generate import write_sounds

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
    (tmp_path / "sounds.toml").write_text(RECIPE)
    write_sounds(tmp_path / "sounds", per_label=4)
    command = [sys.executable, "-m", "taskgraft", "fit", "sounds.toml", "-o", "fitted", "--set", "training.epochs=1"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_learns(strategy, tmp_path):
    if strategy == "lora" and find_spec("taskgraft_peft") is None:
        pytest.skip("taskgraft-peft is not installed")
    write_sounds(tmp_path / "train")
    write_sounds(tmp_path / "test", per_label=15, seed=1)
    recipe = tomllib.loads(RECIPE)
    model = tg.compose(recipe["backbone"], recipe["head"], {"name": strategy, **STRATEGIES[strategy]})
    model.fit(tmp_path / "train", target="label", inputs="audio", training={"epochs": EPOCHS[strategy]}, quiet=True)
    files = sorted((tmp_path / "test").glob("*/*.wav"))
    labels = model.predict([str(file) for file in files], quiet=True)
    right = sum(label == file.parent.name for label, file in zip(labels, files, strict=True))
    assert right / len(files) >= 0.9
