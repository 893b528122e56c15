"""What `predict -o` writes is read back as a target of the same head, and scores 1."""

import csv
import json

import pyarrow as pa
import pytest
from pyarrow import parquet
from small_tasks import sentences, words

import taskgraft as tg

pytestmark = pytest.mark.slow

TEXTS = sentences(40, seed=3)["text"]
FIRST = [text.split()[0] for text in TEXTS]


def several(text):
    return sorted({word for word in text.split() if word in ("card", "lost", "rain")})


TASKS = {
    "labels": ("classification", {"label": ["abc"[len(word) % 3] for word in FIRST]}),
    "odd labels": (
        "classification",
        {"label": [['a, "b"', "l'\u00e9t\u00e9", "a|b"][len(word) % 3] for word in FIRST]},
    ),
    "numbers": ("classification", {"label": [len(word) % 3 for word in FIRST]}),
    "whole floats": ("classification", {"label": [float(len(word) % 3) for word in FIRST]}),
    "truth values": ("classification", {"label": [len(word) > 4 for word in FIRST]}),
    "lists of labels": ("multi-label", {"label": [several(text) for text in TEXTS]}),
    "lists of numbers": ("multi-label", {"label": [[ord(word[0]) for word in several(text)] for text in TEXTS]}),
    "texts of labels": ("multi-label", {"label": ["|".join(several(text)) for text in TEXTS]}),
    "one-hot lists": ("multi-label", {"label": [[int("card" in text), int("rain" in text)] for text in TEXTS]}),
    "named one-hot lists": (
        {"name": "multi-label", "classes": ["card", "rain"]},
        {"label": [["card" in text, "rain" in text] for text in TEXTS]},
    ),
    "dicts": ("multi-label", {"label": [{"card": "card" in text, "rain": "rain" in text} for text in TEXTS]}),
    "elements": ("element-classification", {"label": [["ab"[word < "m"] for word in text.split()] for text in TEXTS]}),
    "elements as texts": (
        "element-classification",
        {"label": [" ".join("ab"[word < "m"] for word in text.split()) for text in TEXTS]},
    ),
    "elements as numbers": (
        "element-classification",
        {"label": [[int(word < "s") if word != "rain" else -100 for word in text.split()] for text in TEXTS]},
    ),
    "elements with spaces": (
        "element-classification",
        {"label": [[["New York", "O"][word < "m"] for word in text.split()] for text in TEXTS]},
    ),
}

SCORES = {"classification": "accuracy", "multi-label": "f1_micro", "element-classification": "accuracy"}


def rename_prediction(path):
    """Rename the column ``prediction`` to ``label``, as a user does, with a tool that knows only the format."""
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        parquet.write_table(
            table.rename_columns(["label" if name == "prediction" else name for name in table.column_names]), path
        )
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({"text": row["text"], "label": row["prediction"]}) + "\n" for row in rows))
    else:
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        rows[0] = ["label" if name == "prediction" else name for name in rows[0]]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    head, targets = TASKS[request.param]
    model = tg.compose(words(), head, "linear-probe")
    model.fit({"text": TEXTS, **targets}, target="label", quiet=True)
    return model, SCORES[head if isinstance(head, str) else head["name"]]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_predictions_are_a_target_that_the_same_head_reads_and_scores_one(task, suffix, tmp_path):
    model, score = task
    path = tmp_path / f"predictions{suffix}"
    model.predict_to({"text": TEXTS}, path, keep=["text"], quiet=True)
    rename_prediction(path)
    assert model.evaluate(path, resamples=0, quiet=True)[score] == 1.0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_head_is_fitted_to_predictions(task, suffix, tmp_path):
    model, _ = task
    path = tmp_path / f"predictions{suffix}"
    model.predict_to({"text": TEXTS}, path, keep=["text"], quiet=True)
    student = tg.compose(words(), model.recipe.head.name, "linear-probe")
    student.fit(path, inputs="text", target="prediction", quiet=True)
    learned, known = ([*map(str, fitted.target.vocabulary)] for fitted in (student.fitted, model.fitted))
    assert set(learned) <= {*known, *(label.removesuffix(".0") for label in known)}


def test_the_predictions_of_labels_with_columns_of_their_own_are_a_list(tmp_path):
    columns = {"card": ["card" in text for text in TEXTS], "rain": ["rain" in text for text in TEXTS]}
    model = tg.compose(words(), "multi-label", "linear-probe")
    model.fit({"text": TEXTS, **columns}, inputs="text", target=["card", "rain"], quiet=True)
    model.predict_to({"text": TEXTS}, tmp_path / "predictions.parquet", quiet=True)
    assert parquet.read_schema(tmp_path / "predictions.parquet").field("prediction").type == pa.list_(pa.string())
