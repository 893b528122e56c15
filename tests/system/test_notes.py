"""Notes of all domains: fit, evaluate and predict say the same about the same rows, and JSON has them also with -q."""

import csv
import json

import pytest
from commands import typed
from sample_images import encode, noise_image
from tiny import save as save_text_encoder
from tiny_proteins import save as save_protein_model

import taskgraft as tg

pytestmark = pytest.mark.slow

LABELS = ["a", "b"] * 6


def text_rows(folder):
    save_text_encoder("bert", folder / "encoder")
    texts = ["my card is lost", "where is the parcel", *["please help " * 40] * 3, *["the money is late"] * 7]
    backbone = {"name": "hf-text", "checkpoint": str(folder / "encoder"), "max_length": 16}
    return backbone, {"text": texts}, {"truncated to 16 tokens": 3}


def image_rows(folder):
    names = []
    for number in range(12):
        frames = [noise_image(70, 70, number), noise_image(70, 70, 99)][: 2 if number < 2 else 1]
        more = {"save_all": True, "append_images": frames[1:]}
        names.append(folder / f"{number}.gif")
        names[-1].write_bytes(encode(frames[0], "GIF", **more))
    backbone = {"name": "timm", "model": "test_resnet", "weights": "random"}
    return backbone, {"image": [*map(str, names)]}, {"used the first of several frames": 2}


def table_rows(folder):
    backbone = {"name": "mlp-plr", "feature_size": 8, "blocks": 1, "columns": {"shop": "category"}}
    return (
        backbone,
        {"amount": [*map(str, range(12))], "shop": ["food"] * 5 + ["books"] * 5 + ["toys", "cars"]},
        {"'shop' has an unknown or rare category": 2},
    )


def protein_rows(folder):
    (folder / "model").mkdir()
    save_protein_model("esm2", folder / "model")
    backbone = {"name": "protein", "checkpoint": str(folder / "model"), "max_length": 8, "long": "truncate"}
    sequences = ["MKVLAA", "MKT", "MKVLAAGIVGLLLAQ", "MKVLAAGIVGAAAA", *["MKVLAW"] * 8]
    return backbone, {"sequence": sequences}, {"truncated to 8 residues": 2}


@pytest.mark.parametrize("make", [text_rows, image_rows, table_rows, protein_rows], ids=lambda make: make.__name__)
def test_fit_evaluate_and_predict_give_the_same_notes(make, tmp_path, capfd):
    (tmp_path / "files").mkdir()
    backbone, inputs, expected = make(tmp_path / "files")
    rows = inputs | {"label": LABELS}
    model = tg.compose(backbone, "classification", "linear-probe")
    report = model.fit(rows, validation=rows, inputs=list(inputs), target="label")
    said = capfd.readouterr().err
    assert report.notes == expected
    for note, count in report.notes.items():
        assert f"{note}: {count} of 12 training rows\n" in said
        assert f"{note}: {count} of 12 validation rows\n" in said
    assert report.metrics.notes == report.notes
    assert model.evaluate(rows).notes == report.notes
    evaluated = capfd.readouterr().err
    model.predict(inputs)
    assert evaluated.splitlines() == capfd.readouterr().err.splitlines()
    assert evaluated.splitlines() == [f"{note}: {count} of 12 rows" for note, count in report.notes.items()]


def test_json_has_the_notes_also_if_nothing_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_text_encoder("bert", tmp_path / "encoder")
    texts = ["please help " * 40, *["my card is lost", "where is the parcel"] * 9]
    for name in ("rows.csv", "valid.csv", "test.csv"):
        with open(name, "w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *zip(texts, "ab" * 10, strict=False)])
    (tmp_path / "recipe.toml").write_text(
        'head = "classification"\nstrategy = "linear-probe"\n'
        'backbone = {name = "hf-text", checkpoint = "encoder", max_length = 16}\n'
        'data = {train = "rows.csv", validation = "valid.csv", inputs = "text", target = "label"}\n'
    )
    notes = {"truncated to 16 tokens": 1}
    fitted = typed("fit", "recipe.toml", "-o", "run", "-q", "--json")
    assert (fitted.code, fitted.err) == (0, "")
    assert (json.loads(fitted.out)["notes"], json.loads(fitted.out)["metrics"]["notes"]) == (notes, notes)
    evaluated = typed("evaluate", "run", "test.csv", "-q", "--json")
    assert (json.loads(evaluated.out)["notes"], evaluated.err) == (notes, "")
    assert typed("evaluate", "run", "test.csv").err == "truncated to 16 tokens: 1 of 19 rows\n"
    predicted = typed("predict", "run", "test.csv", "--json")
    assert predicted.err == "truncated to 16 tokens: 1 of 19 rows\n"
    assert len(predicted.out.splitlines()) == 19
    assert typed("predict", "run", "test.csv", "-q").err == ""
