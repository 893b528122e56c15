"""Exported protein backbones, loaded by plain transformers and as backbones again."""

import numpy as np
import pytest
import torch
from components import strategy as build_strategy
from grafts import Biases, Grafts
from transformers import AutoModel, AutoModelForTextEncoding, AutoTokenizer

import taskgraft as tg
from taskgraft.plugin import LayerRole

pytestmark = pytest.mark.slow

SEQUENCES = ["MKTAYIAKQRQISFVK", "GAVLI", "MSTNPKPQRKTKRNTNRRPQDV", "WYFHC"]
ROWS = {"sequence": SEQUENCES, "label": ["in", "out", "in", "out"]}
WAYS = {
    "full": lambda: build_strategy("full", learning_rate=1e-2),
    "biases": Biases,
    "grafts": lambda: Grafts(LayerRole.QUERY, LayerRole.VALUE),
}


def fitted(backbone, way="full"):
    model = tg.compose(backbone, "classification", WAYS[way]())
    model.fit(ROWS, target="label", training={"batch_size": 2, "epochs": 1}, quiet=True)
    return model


def features(backbone):
    return tg.extract_features(backbone, {"sequence": SEQUENCES}, layout="sequence", quiet=True).values


def plain(folder, make=AutoModel, spaced=False):
    """Compute the vectors of all residues by transformers alone."""
    model, tokenizer = make.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    hidden = []
    for sequence in SEQUENCES:
        inputs = tokenizer(" ".join(sequence) if spaced else sequence, return_tensors="pt")
        first = 0 if make is AutoModelForTextEncoding else 1
        with torch.no_grad():
            hidden.append(model(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state[0][first:-1])
    return torch.cat(hidden).numpy()


@pytest.mark.parametrize("way", WAYS)
def test_plain_transformers_gives_the_same_features_of_esm(saved, tmp_path, way):
    base = plain(saved("esm2"))
    model = fitted(f"protein:{saved('esm2')}", way)
    folder = model.export(tmp_path / "plain")
    ours = features(model.fitted.task.backbone)
    assert np.abs(plain(folder) - ours).max() < 1e-5
    assert np.abs(base - ours).max() > 1e-3
    assert np.abs(features(f"protein:{folder}") - ours).max() < 1e-5


@pytest.mark.parametrize("family", ["protbert", "prott5"])
def test_plain_transformers_gives_the_same_features_for_other_families(saved, tmp_path, family):
    model = fitted(f"protein:{saved(family)}")
    folder = model.export(tmp_path / "plain")
    make = AutoModelForTextEncoding if family == "prott5" else AutoModel
    ours = features(model.fitted.task.backbone)
    assert np.abs(plain(folder, make, spaced=True) - ours).max() < 1e-5
    assert np.abs(features(f"protein:{folder}") - ours).max() < 1e-5


def test_a_new_esm_is_exported_with_its_vocabulary(tmp_path):
    model = fitted({"name": "new-esm", "blocks": 2, "feature_size": 16, "heads": 2})
    folder = model.export(tmp_path / "plain")
    ours = features(model.fitted.task.backbone)
    assert np.abs(plain(folder) - ours).max() < 1e-5
    assert np.abs(features(f"protein:{folder}") - ours).max() < 1e-5
