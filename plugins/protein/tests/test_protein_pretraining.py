"""Pretraining on sequences without labels, then a task: by name, through artifacts, as a user does it."""

import pytest
import torch

import taskgraft as tg
from taskgraft.plugin import Stage, TaskgraftError, Unfreeze

pytestmark = pytest.mark.slow

MOTIFS = ("ACDEFGHIKL", "WYWYWYWYWY", "MNPQRSTVMN")
SEQUENCES = {"sequence": [motif[start:] + motif[: start + 3] for motif in MOTIFS for start in range(8)]}
LABELLED = SEQUENCES | {"fold": [name for name in "abc" for _ in range(8)]}
RESIDUES = SEQUENCES | {
    "labels": [" ".join("h" if letter in "AWM" else "c" for letter in text) for text in SEQUENCES["sequence"]]
}
NEW = {"name": "new-esm", "blocks": 2, "feature_size": 32, "heads": 2}
FULL = {"name": "full", "learning_rate": 3e-3, "head_learning_rate": 3e-3}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The artifact of a small pretrained ESM, and its metrics on the training sequences."""
    model = tg.compose(NEW, head="masked-elements", strategy=FULL)
    model.fit(SEQUENCES, training={"epochs": 120, "batch_size": 8}, quiet=True)
    folder = model.save(tmp_path_factory.mktemp("pretrained") / "esm")
    return folder, model.evaluate(SEQUENCES, quiet=True)


def test_a_new_esm_is_trained_to_recover_residues(pretrained):
    _, metrics = pretrained

    assert metrics["hidden_accuracy"] > 0.6  # the most frequent residue is one in six


@pytest.mark.parametrize("strategy", ["linear-probe", "partial:1", "full"])
def test_its_artifact_is_the_base_of_another_model(pretrained, strategy, tmp_path):
    folder, _ = pretrained
    model = tg.compose(f"new-esm:{folder}", head="classification", strategy=strategy)
    model.fit(LABELLED, target="fold", training={"epochs": 20, "batch_size": 8}, quiet=True)

    assert model.predict(SEQUENCES) == LABELLED["fold"]
    again = tg.load(model.save(tmp_path / "folds"))
    assert again.predict_proba(SEQUENCES) == model.predict_proba(SEQUENCES)


def test_residues_are_classified_one_by_one(pretrained):
    folder, _ = pretrained
    model = tg.compose(f"new-esm:{folder}", head="element-classification", strategy="linear-probe")
    model.fit(RESIDUES, target="labels", quiet=True)

    assert [" ".join(row) for row in model.predict(SEQUENCES)] == RESIDUES["labels"]


@pytest.mark.parametrize("family", ["esm2", "protbert"])
def test_pretraining_continues_from_a_checkpoint(saved, family, tmp_path):
    model = tg.compose(f"protein:{saved(family)}", head="masked-elements", strategy=FULL)
    run = model.fit(SEQUENCES, training={"epochs": 5, "batch_size": 8}, quiet=True)

    assert run.stages[0].losses[-1] < run.stages[0].losses[0]
    base = tg.compose(f"protein:{model.save(tmp_path / 'base')}", head="classification", strategy="linear-probe")
    base.fit(LABELLED, target="fold", quiet=True)


def test_a_model_without_a_mask_token_cannot_be_masked(saved):
    with pytest.raises(TaskgraftError) as error:
        tg.compose(f"protein:{saved('prott5')}", head="masked-elements", strategy="full")
    first, second = str(error.value).splitlines()
    assert first == (
        f"'masked-elements' predicts masked elements, but 'protein:{saved('prott5')}' does not support masking."
    )
    assert second.startswith(
        "Choose a backbone that does (some have a setting for it: taskgraft show NAME), or a head that is trained on a"
    )


def test_an_invalid_sequence_is_reported_with_its_row(saved):
    model = tg.compose(f"protein:{saved('esm2')}", head="classification", strategy="linear-probe")
    with pytest.raises(TaskgraftError) as error:
        model.fit({"sequence": ["MKT", "MK-T"], "fold": ["a", "b"]}, target="fold", quiet=True)
    assert str(error.value) == (
        "the training data, row 1: '-' at position 3 is a gap; give sequences, not the rows of an alignment.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


@pytest.mark.parametrize("family", ["esm2", "prott5"])
def test_training_from_cached_features_equals_training_without(saved, family):
    """The last block is trained; the features before it are cached, also in windows."""
    settings = {"name": "protein", "checkpoint": str(saved(family)), "long": "windows", "max_length": 9, "overlap": 4}
    results = []
    for cache in (True, False):
        model = tg.compose(settings, head="classification", strategy=LastBlock(cache=cache))
        stage = model.fit(LABELLED, target="fold", training={"epochs": 2, "batch_size": 8}, quiet=True).stages[0]
        probabilities = torch.tensor([list(row.values()) for row in model.predict_proba(SEQUENCES)])
        results.append((stage.stored_at, probabilities))

    assert [stored_at for stored_at, _ in results] == [2, None]
    assert torch.allclose(results[0][1], results[1][1], atol=1e-4)


class LastBlock(tg.Strategy):
    """Trains the last block, with or without caching the features before it."""

    def __init__(self, *, cache: bool):
        self._cache = cache

    def plan(self, backbone, head):
        return (
            Stage(
                "last",
                (Unfreeze((backbone.parts[-1].name,), 1e-3),),
                head_learning_rate=1e-2,
                cache_features=self._cache,
            ),
        )
