import csv
import json

import numpy as np
import pytest
from commands import apart, typed
from planting import OPENING
from pyarrow import parquet
from small_recipe import RECIPE, write_rows
from small_tasks import sentences, words

import taskgraft as tg

UNTIL = f'''{OPENING}
from pydantic import Field

from taskgraft.plugin import BackboneSpec, Config


class Settings(Config):
    """Words of which only the first blocks run."""

    until: str | None = Field(default=None, description="the last part")
    pooling: str = "mean"


def _words(config):
    from small_plugin import WordsConfig

    return WordsConfig(blocks=1 if config.until == "block-0" else 2)


def _describe(config):
    from small_plugin import describe_words

    return describe_words(_words(config))


def _build(config):
    from backbones import Words

    return Words(_words(config))


@hookimpl
def taskgraft_backbones():
    yield BackboneSpec(name="shortened", summary="can be shortened", config=Settings, describe=_describe, build=_build)
'''


@pytest.fixture
def place(tmp_path, monkeypatch, small_plugin_installed):
    """The working directory, with a file of rows."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    write_rows(place / "rows.csv", 12, 1)
    return place


def refusal(*arguments):
    done = typed("features", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    return done.err.removeprefix("Error: ").removesuffix("\n")


def expected(layout="vector", **settings):
    return tg.extract_features(words(**settings), sentences(12, 1), layout=layout, quiet=True)


# --- files


def test_features_of_a_named_backbone_go_to_a_file(place):
    done = typed("features", "small-words", "rows.csv", "-o", "out.npy")
    assert (done.code, done.out, done.err) == (0, "", "Vector features (16) of 12 rows are in out.npy.\n")
    assert np.array_equal(np.load("out.npy"), expected().values)
    assert sorted(path.name for path in place.iterdir()) == ["out.npy", "rows.csv"]


def test_kept_columns_are_written_next_to_them(place):
    assert typed("features", "small-words", "rows.csv", "-o", "out.parquet", "--keep", "id,label", "-q").code == 0
    table = parquet.read_table("out.parquet")
    with open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == ["id", "label", "features"]
    assert table.select(["id", "label"]).to_pylist() == [{"id": row["id"], "label": row["label"]} for row in rows]
    assert np.array_equal(np.array(table.column("features").to_pylist(), np.float32), expected().values)


def test_sequences_are_written_on_request_and_reported_as_json(place):
    done = typed("features", "small-words", "rows.csv", "-o", "out.npz", "--layout", "sequence", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {"output": "out.npz", "rows": 12, "layout": "sequence", "shape": [16], "notes": {}}
    arrays, wanted = np.load("out.npz"), expected("sequence")
    assert np.array_equal(arrays["features"], wanted.values)
    assert np.array_equal(arrays["lengths"], wanted.lengths)


def test_a_quiet_command_prints_nothing(place):
    done = typed("features", "small-words", "rows.csv", "-o", "out.npy", "-q", "--device", "cpu", "--batch-size", "5")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_the_backbone_is_set_by_key(place):
    settings = ("--set", "blocks=1", "--set", "seed=3")
    assert typed("features", "small-words", "rows.csv", "-o", "out.npy", *settings, "-q").code == 0
    assert np.array_equal(np.load("out.npy"), expected(blocks=1, seed=3).values)


def test_parts_and_pooling_are_settings_of_the_backbone(garden, tmp_path, monkeypatch):
    garden.plant(UNTIL)
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.csv", 12, 1)
    done = typed("features", "shortened", "rows.csv", "-o", "o.npy", "--until", "block-0", "--pooling", "cls", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert np.array_equal(np.load("o.npy"), expected(blocks=1).values)


def test_inputs_are_named(place):
    (place / "said.csv").write_text((place / "rows.csv").read_text().replace("text", "said", 1))
    assert typed("features", "small-words", "said.csv", "-o", "out.npy", "--input", "said", "-q").code == 0
    assert np.array_equal(np.load("out.npy"), expected().values)


def test_an_artifact_gives_its_trained_backbone(place):
    write_rows(place / "train.csv", 24, 0)
    write_rows(place / "valid.csv", 12, 1)
    (place / "intents.toml").write_text(RECIPE)
    assert typed("fit", "intents.toml", "-q", "--set", "strategy=full", "--set", "training.epochs=1").code == 0
    assert typed("features", "intents", "rows.csv", "-o", "out.npy", "-q").code == 0
    trained = tg.load("intents").fitted.task.backbone
    assert np.array_equal(np.load("out.npy"), tg.extract_features(trained, "rows.csv", quiet=True).values)
    assert np.abs(np.load("out.npy") - expected().values).max() > 1e-4


def test_an_existing_file_is_overwritten_on_request_only(place):
    (place / "out.npz").write_text("precious")
    assert refusal("small-words", "rows.csv", "-o", "out.npz") == (
        "The features cannot be written to out.npz: the file exists; choose another one, or pass overwrite (--overwrite)."
    )
    assert (place / "out.npz").read_text() == "precious"
    assert typed("features", "small-words", "rows.csv", "-o", "out.npz", "--overwrite", "-q").code == 0
    assert np.array_equal(np.load("out.npz")["features"], expected().values)


@pytest.mark.slow
def test_no_traceback_leaves_a_process_of_its_own(place):
    done = apart("features", "nothing", "rows.csv", "-o", "out.npy")
    assert (done.code, done.out, "Traceback" in done.err) == (2, "", False)
    assert done.err.startswith("Error: No backbone named 'nothing'.")


# --- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("small-words", "rows.csv", "--until", "block-0"),
            "backbone 'small-words': there is no setting 'until'. Settings: seed, blocks, dropout.",
        ),
        (
            ("small-words", "rows.csv", "--pooling", "cls"),
            "backbone 'small-words': there is no setting 'pooling'. Settings: seed, blocks, dropout.",
        ),
        (
            ("small-words", "rows.csv", "--set", "block=1"),
            "backbone 'small-words': there is no setting 'block'. Did you mean 'blocks'? Settings: seed, blocks, dropout.",
        ),
        (("small-words", "rows.csv", "--set", "blocks"), "'blocks' cannot be set: it is not written KEY=VALUE."),
        (
            ("small-words", "rows.csv", "--set", "blocks=0"),
            "backbone 'small-words': the setting 'blocks' is 0: input should be greater than or equal to 1.",
        ),
        (
            ("small-words", "rows.csv", "--layout", "grid"),
            "'small-words' has no grid features. Choose vector or sequence.",
        ),
        (
            ("small-words", "rows.csv", "--input", "txt"),
            "rows.csv has no column 'txt'. Did you mean 'text'? Columns: id, text, label.",
        ),
        (
            ("small-words", "rows.csv", "--input", "text", "--input", "id"),
            "The backbone reads text, but 2 columns were named: text, id. Name the columns to read with inputs=….",
        ),
        (
            ("small-words", "rows.csv", "--keep", "idd"),
            "rows.csv has no column 'idd'. Did you mean 'id'? Columns: id, text, label.",
        ),
        (
            ("small-words", "rows.csv", "--precision", "fp8"),
            "features: the setting 'precision' is 'fp8': input should be 'fp32' or 'bf16'.",
        ),
        (
            ("small-words", "rows.csv", "--batch-size", "0"),
            "features: the setting 'batch_size' is 0: input should be greater than or equal to 1.",
        ),
        (("small-words", "missing.csv"), "missing.csv: there is no such file."),
        (("small-words", "empty.csv"), "empty.csv has columns but no rows."),
        (
            ("small-table", "numbers.csv"),
            "'small-table' fits its preprocessing to the training rows, so it has no features before a fit. "
            "Fit and save a model with it, then name the artifact as the backbone.",
        ),
    ],
)
def test_an_impossible_request_is_one_sentence_and_leaves_no_file(place, arguments, message):
    (place / "empty.csv").write_text("id,text\n")
    (place / "numbers.csv").write_text("amount\n1\n2\n")
    before = sorted(path.name for path in place.iterdir())
    assert refusal(*arguments, "-o", "out.npz", "-q") == message
    assert sorted(path.name for path in place.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("out.csv", "supported file endings are .parquet, .npz, .npy"),
        ("nowhere/out.npy", "there is no folder nowhere"),
    ],
)
def test_an_unwritable_path_is_rejected(place, name, problem):
    message = refusal("small-words", "rows.csv", "-o", name, "-q")
    assert message == f"The features cannot be written to {name}: {problem}."


def test_an_unknown_backbone_is_reported_with_what_is_installed(place):
    message = refusal("small-word", "rows.csv", "-o", "out.npy", "-q")
    assert message.startswith(
        "No backbone named 'small-word'. Did you mean 'small-words' (from taskgraft-small 1.0)?\n"
    )


def test_an_invalid_row_is_reported_with_its_line_and_leaves_no_file(place):
    with (place / "rows.csv").open("a") as file:
        file.write('012," ",a\n')
    message = refusal("small-words", "rows.csv", "-o", "out.npz", "-q")
    assert message == (
        "rows.csv, line 14: the text is empty.\n"
        'Fix these rows, or leave them out: on_bad_row = "skip" (--on-bad-row skip).'
    )


def test_invalid_rows_are_left_out_on_request(place):
    (place / "bad.csv").write_text('id,text\n1,late\n2,""\n3,late,again\n4,lost\n')
    done = typed("features", "small-words", "bad.csv", "-o", "out.parquet", "--keep", "id", "--on-bad-row", "skip")
    assert done.err.endswith("are in out.parquet.\n")
    assert "skipped, since the text is empty: 1 of 4 rows\n" in done.err
    assert "skipped, since the row has 3 values, but the header names 2 columns: 1 of 4 rows\n" in done.err
    table = parquet.read_table(place / "out.parquet")
    assert table.select(["line", "id"]).to_pydict() == {"line": [2, 5], "id": ["1", "4"]}
    expected = tg.extract_features("small-words", ["late", "lost"], quiet=True).values
    np.testing.assert_allclose(np.array(table["features"].to_pylist()), expected, atol=1e-6)
    done = typed("features", "small-words", "bad.csv", "-o", "out.npy", "--on-bad-row", "skip", "-q")
    assert done.err == (
        "Error: The features cannot be written to out.npy: a .npy file cannot hold other columns; write .npz or .parquet.\n"
    )
