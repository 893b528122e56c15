import dataclasses

import pandas as pd
import pytest
from forged_artifact import rewrite_manifest
from small_tasks import sentences, words

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.builtin.splits import FractionConfig, by_fraction
from taskgraft.contract.config import ConfigError
from taskgraft.contract.rows import UnreadableFile
from taskgraft.discovery.catalog import catalog
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.model.compose import load
from taskgraft.reading.read import read_rows
from taskgraft.storage.manifest import InvalidArtifact

pytestmark = pytest.mark.slow

PLUGIN = """
from taskgraft.plugin import BaselineSpec, Config, TargetKind, hookimpl

TASKGRAFT_CONTRACT = "1.0"


class ParrotConfig(Config):
    positional = "word"

    word: str | None = None


@hookimpl
def taskgraft_baselines():
    for name, fit, predict, kind in (
        ("parrot", heard, repeat, TargetKind.CATEGORY),
        ("deaf", refuse, repeat, TargetKind.CATEGORY),
        ("mute", heard, refuse, TargetKind.CATEGORY),
        ("of-numbers", heard, repeat, TargetKind.NUMBERS),
    ):
        yield BaselineSpec(
            name=name,
            summary="knows the training rows by heart",
            config=ParrotConfig,
            targets=frozenset({kind}),
            fit=fit,
            predict=predict,
        )


def heard(inputs, truth, settings):
    return dict(zip(inputs["text"], truth, strict=True)), object()


def repeat(state, inputs, elements, settings):
    from taskgraft.plugin import Predictions

    known = state[0]
    return Predictions([settings.word or known.get(text, "c") for text in inputs["text"]], classes=("a", "b", "c"))


def refuse(*given):
    raise ValueError("no luck today.")
"""


class Compared(Classification):
    """A classification head that is compared with the parrot."""

    def __init__(self):
        super().__init__(ClassificationConfig())

    @property
    def description(self):
        return dataclasses.replace(super().description, baselines=("parrot", "majority"))


@pytest.fixture
def place(tmp_path, beside_others, monkeypatch):
    """The working directory, with training rows, and a plugin of baselines without a stored state."""
    beside_others.plant(PLUGIN)
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame(sentences() | {"part": ["train", "train", "validation"] * 8})
    rows.to_csv("train.csv", index=False)
    return tmp_path


def fitted(head="classification", train="train.csv", **data):
    model = tg.compose(words(), head, "linear-probe")
    run = model.fit(train, inputs="text", target="label", quiet=True, **data)
    return model, run


# --- on request


def test_a_requested_baseline_is_fitted_on_the_training_rows_alone(place):
    model, _ = fitted(split="column:part")
    rows = pd.read_csv("train.csv")
    training, validation = rows[rows.part == "train"], rows[rows.part != "train"]
    found = model.evaluate(training, baselines="parrot", quiet=True)
    assert list(found.baselines) == ["majority", "parrot"]
    assert found.baselines["parrot"]["accuracy"] == 1.0
    unheard = model.evaluate(validation, baselines=["parrot"], quiet=True).baselines["parrot"]["accuracy"]
    assert unheard == pytest.approx((validation.label[~validation.text.isin(training.text)] == "c").mean())


def test_a_split_that_is_drawn_is_drawn_again(place):
    rows = pd.DataFrame(sentences())
    rows["text"] = [f"{text} {row}" for row, text in rows.text.items()]
    rows.to_csv("train.csv", index=False)
    parts = by_fraction(read_rows("train.csv", catalog(), "the rows"), ["label"], FractionConfig(validation=0.5), 7)
    training = rows.iloc[parts["train"]]
    shares = {}
    for seed in (7, 8):
        model, _ = fitted(split="fraction:0.5", training={"seed": seed})
        shares[seed] = model.evaluate(training, baselines="parrot", quiet=True).baselines["parrot"]["accuracy"]
    assert shares[7] == 1.0
    assert shares[8] < 1.0


def test_invalid_rows_are_skipped_again_if_the_recipe_says_so(place):
    with (place / "train.csv").open("a") as file:
        file.write(',a,train\n"some text",,train\n')
    model, run = fitted(on_bad_row="skip")
    assert sum(run.notes.values()) == 2
    assert model.evaluate(sentences(), baselines="parrot", quiet=True).baselines["parrot"]["accuracy"] == 1.0


def test_a_loaded_model_finds_its_training_rows_from_another_folder(place, monkeypatch):
    model, _ = fitted()
    model.save("models/one")
    monkeypatch.chdir(place / "models")
    found = load("one", backbone=words()).evaluate(sentences(), baselines=["parrot"], quiet=True)
    assert found.baselines["parrot"]["accuracy"] == 1.0


def test_a_baseline_takes_settings(place):
    model, _ = fitted()
    share = sentences()["label"].count("b") / 24
    for reference in ("parrot:b", {"name": "parrot", "word": "b"}):
        found = model.evaluate(sentences(), baselines=reference, quiet=True)
        assert found.baselines["parrot:b"]["accuracy"] == pytest.approx(share)
    with pytest.raises(ConfigError) as caught:
        model.evaluate(sentences(), baselines={"name": "parrot", "words": "b"})
    assert str(caught.value) == ("baseline 'parrot': there is no setting 'words'. Did you mean 'word'? Settings: word.")


# --- errors of the user


def test_training_rows_from_memory_cannot_be_read_again(place):
    model, _ = fitted(train=sentences())
    with pytest.raises(EvaluationError) as caught:
        model.evaluate(sentences(), baselines=["parrot", "mute"])
    assert str(caught.value) == (
        "Baselines ('parrot', 'mute') are fitted on the training rows, but those came from memory, so the recipe names no "
        "file to read them from. Write them to one, such as Parquet, and fit the model from that."
    )


def test_training_rows_that_are_gone_are_an_error(place):
    model, _ = fitted()
    (place / "train.csv").unlink()
    with pytest.raises(UnreadableFile) as caught:
        model.evaluate(sentences(), baselines="parrot")
    assert str(caught.value) == "train.csv: there is no such file."


def test_a_baseline_of_other_targets_is_rejected(place):
    with pytest.raises(EvaluationError) as caught:
        fitted()[0].evaluate(sentences(), baselines="of-numbers")
    assert str(caught.value) == "The baseline 'of-numbers' cannot predict what 'classification' predicts."


@pytest.mark.parametrize("name", ["deaf", "mute"])
def test_a_requested_baseline_that_fails_is_an_error(place, name):
    with pytest.raises(EvaluationError) as caught:
        fitted()[0].evaluate(sentences(), baselines=name, quiet=True)
    assert str(caught.value) == (
        f"The baseline '{name}' failed: it raised ValueError (no luck today) in acme 1.0. Evaluate without it, or request "
        "another."
    )


# --- in a head's description, and in an artifact


def test_a_head_cannot_name_a_baseline_without_a_stored_state(place):
    _, run = fitted(Compared(), validation=sentences(12, seed=1))
    note = "the baseline 'parrot' was left out: its state cannot be stored, so request it when you evaluate"
    assert run.notes == {note: 24}
    assert run.metrics.baselines.keys() == {"majority"}


def test_an_artifact_with_a_state_that_cannot_be_stored_is_rejected(place):
    folder = fitted()[0].save(place / "one")
    rewrite_manifest(folder, lambda manifest: manifest.update(baselines={"parrot": {}}))
    with pytest.raises(InvalidArtifact) as caught:
        load(folder, backbone=words())
    assert caught.value.problem == "The state of the baseline 'parrot' cannot be stored"
