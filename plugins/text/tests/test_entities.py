import json
import os
from pathlib import Path

import numpy as np
import pytest

from taskgraft_text.entities import entity_scores, extract_entities

DATA = Path(os.environ.get("TASKGRAFT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_entities_have_a_type_and_two_borders():
    assert extract_entities(["B-person", "I-person", "O", "B-place"]) == [("person", 0, 2), ("place", 3, 4)]


def test_an_inside_label_without_an_entity_before_it_begins_one():
    assert extract_entities(["I-person", "I-place", "I-place"]) == [("person", 0, 1), ("place", 1, 3)]


def test_two_entities_may_touch():
    assert extract_entities(["B-person", "B-person", "I-person"]) == [("person", 0, 1), ("person", 1, 3)]


def test_words_without_label_belong_to_no_entity():
    assert extract_entities(["B-person", None, "I-person"]) == [("person", 0, 1), ("person", 2, 3)]


def test_only_whole_entities_count():
    scores = score([["B-a", "I-a", "O"], ["B-b", "O", "O"]], [["B-a", "O", "O"], ["B-b", "O", "B-a"]])

    assert scores == {"entity_precision": 0.5, "entity_recall": pytest.approx(1 / 3), "entity_f1": 0.4}


def test_no_predicted_entity_scores_zero():
    assert score([["O"]], [["B-a"]]) == {"entity_precision": 0.0, "entity_recall": 0.0, "entity_f1": 0.0}


def score(predicted, truth):
    """Compute the scores over all rows."""
    return entity_scores(predicted, truth)(np.arange(len(truth)))


def labels(path):
    return {row["id"]: row["tags"] for row in map(json.loads, path.read_text().splitlines())}


def test_the_published_score_of_a_published_system_comes_out():
    """WNUT17 (Derczynski and others, 2017): the system UH-RiTUAL has entity F1 41.86."""
    folder = DATA / "text" / "wnut17_ner"
    if not folder.is_dir():
        pytest.skip(f"the shared data are not at {DATA}; set TASKGRAFT_DATA")
    truth, system = (labels(folder / name) for name in ("test.jsonl", "test_predictions_uh_ritual.jsonl"))

    scores = score([system[name] for name in truth], list(truth.values()))

    assert round(100 * scores["entity_f1"], 2) == 41.86
