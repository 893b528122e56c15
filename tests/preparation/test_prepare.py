"""A skipped row leaves nothing behind: the weights are those of the file without it, and the backbone is built once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import Words, WordsProcessor
from small_plugin import WordsConfig, describe_words
from small_tasks import PARTS, Planned, assert_same_bits, copied, sentences, training_stage

import taskgraft as tg
from taskgraft.builtin.strategies.distill import SoftLoss
from taskgraft.composition.compose import combine
from taskgraft.composition.resolve import GivenObject, ResolvedComponent, resolve
from taskgraft.contract.plan import Teacher
from taskgraft.contract.processor import AugmentedBatch
from taskgraft.contract.rows import InvalidRows
from taskgraft.contract.specs import BackboneSpec, HeadSpec
from taskgraft.discovery.catalog import catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.progress import ProgressReporter
from taskgraft.reading.splitting import read_train_and_validation
from taskgraft.recipe import DataConfig, TrainingConfig
from taskgraft.training.fit import fit

SOURCE = PluginSource("acme-backbones", "2.0", "main", "acme")


class NoisyProcessor(WordsProcessor):
    """Swaps words at random when it augments."""

    cacheable = False
    augments = True

    def augment(self, inputs, seeds):
        made = self.prepare(inputs)
        words = made.batch["words"]
        for row, seed in enumerate(seeds):
            if np.random.default_rng(seed).random() < 0.5:
                words[row].clamp_(max=30)
        return AugmentedBatch(made.batch, invalid=made.invalid)


class RandomWords(Words):
    """Words with weights from torch's random generator, as a plugin's backbone has them."""

    built: list[WordsConfig] = []

    def __init__(self, config):
        super().__init__(config)
        self.built.append(config)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn_like(parameter) / 4)


class Augmented(RandomWords):
    processor = NoisyProcessor()


def count_words(config, inputs):
    """Fits the number of distinct words, as a vocabulary would be."""
    return config.model_copy(update={"seed": len({word for text in inputs["text"] for word in (text or "").split()})})


def fitted(
    folder: Path,
    rows: list[str],
    validation: list[str] | None = None,
    *,
    head="classification",
    backbone=RandomWords,
    stages=None,
    fit_config=None,
    on_bad_row="skip",
    header="text,label",
):
    """Fit on lines of a CSV file; give the result, and the settings of the backbones that were built."""
    RandomWords.built = []
    folder.mkdir()
    for name, lines in (("train", rows), ("validation", validation)):
        if lines is not None:
            (folder / f"{name}.csv").write_text("\n".join([header, *lines]))
    spec = BackboneSpec(
        name="random-words",
        summary="random words",
        config=WordsConfig,
        describe=describe_words,
        build=backbone,
        fit_config=fit_config,
    )
    target = () if head == "masked-elements" else ("label",)
    data = DataConfig(
        train=str(folder / "train.csv"),
        validation=None if validation is None else str(folder / "validation.csv"),
        inputs={"text": "text"},
        target=target,
        on_bad_row=on_bad_row,
        split="column:part" if "part" in header else None,
    )
    composition = combine(
        catalog(),
        ResolvedComponent(spec, SOURCE, WordsConfig()),
        resolve(catalog(), HeadSpec, head),
        GivenObject(Planned(*(stages or [training_stage(*PARTS)]))),
    )
    training = TrainingConfig(batch_size=4, epochs=2, workers=0, patience=None if validation is None else 2)
    recipe = composition.to_recipe().model_copy(update={"data": data, "training": training})
    train, held = read_train_and_validation(data.train, data.validation, data, 0, catalog())
    reporter = ProgressReporter(quiet=True)
    return fit(composition, recipe, train, held, reporter, folder / "temporary"), RandomWords.built


def lines(count=14, seed=0, per_element=False):
    rows = sentences(count, seed)
    labels = [" ".join("ab"[len(word) % 2] for word in text.split()) for text in rows["text"]]
    return [
        f"{text},{label}" for text, label in zip(rows["text"], labels if per_element else rows["label"], strict=True)
    ]


def with_line(rows, bad, place=5):
    return [*rows[:place], bad, *rows[place:]]


def assert_same_fit(one, other):
    assert one.fitted.target == other.fitted.target
    assert_same_bits(copied(one.fitted.task), copied(other.fitted.task))
    assert one.recipe.backbone == other.recipe.backbone


INVALID = {
    "the reader cannot read it": ("lost", "classification"),
    "its label is empty": ("lost card,", "classification"),
    "the processor cannot use it": (",a", "classification"),
    "the processor cannot use it, and its label is new": (",q", "classification"),
    "its number of labels is not that of its elements": ("lost card,b", "element-classification"),
}


@pytest.mark.parametrize(("bad", "head"), INVALID.values(), ids=INVALID)
def test_a_skipped_training_row_leaves_the_weights_of_the_file_without_it(tmp_path, bad, head):
    rows = lines(per_element=head != "classification")
    skipped, built = fitted(tmp_path / "skipped", with_line(rows, bad), head=head)
    without, _ = fitted(tmp_path / "without", rows, head=head)
    assert_same_fit(skipped, without)
    assert len(built) == 1
    assert sum(skipped.notes.values()) == 1


@pytest.mark.parametrize(("bad", "head"), INVALID.values(), ids=INVALID)
def test_a_skipped_validation_row_leaves_the_weights_and_predictions_of_the_file_without_it(tmp_path, bad, head):
    per_element = head != "classification"
    rows, validation = lines(per_element=per_element), lines(8, seed=1, per_element=per_element)
    skipped, built = fitted(tmp_path / "skipped", rows, with_line(validation, bad), head=head)
    without, _ = fitted(tmp_path / "without", rows, validation, head=head)
    assert_same_fit(skipped, without)
    assert len(built) == 1
    assert skipped.validation.predictions.values == without.validation.predictions.values
    assert len(skipped.validation.rows) == 8


@pytest.mark.parametrize(("bad", "head"), INVALID.values(), ids=INVALID)
def test_without_skipping_an_invalid_row_is_an_error_that_names_its_line(tmp_path, bad, head):
    with pytest.raises(InvalidRows) as caught:
        fitted(
            tmp_path / "error",
            with_line(lines(per_element=head != "classification"), bad),
            head=head,
            on_bad_row="error",
        )
    assert str(caught.value).startswith("train.csv, line 7: ")


def test_a_label_that_only_a_skipped_row_has_is_not_in_the_vocabulary(tmp_path):
    skipped, _ = fitted(tmp_path / "skipped", with_line(lines(), ",q"))
    assert skipped.fitted.target.vocabulary == ("a", "b", "c")


def test_invalid_labels_are_reported_before_the_backbone_is_built(tmp_path):
    with pytest.raises(InvalidRows):
        fitted(tmp_path / "error", with_line(lines(), "lost card,"), on_bad_row="error")
    assert RandomWords.built == []


def test_a_row_that_the_split_reports_as_invalid_leaves_the_weights_of_the_file_without_it(tmp_path):
    rows = [f"{line},{'valid' if index % 4 == 0 else 'train'}" for index, line in enumerate(lines(16))]
    skipped, built = fitted(tmp_path / "skipped", with_line(rows, "lost card,a,nowhere"), header="text,label,part")
    without, _ = fitted(tmp_path / "without", rows, header="text,label,part")
    assert_same_fit(skipped, without)
    assert len(built) == 1


def test_a_skipped_row_does_not_shift_the_seeds_of_augmentation(tmp_path):
    skipped, _ = fitted(tmp_path / "skipped", with_line(lines(), ",a"), backbone=Augmented)
    without, _ = fitted(tmp_path / "without", lines(), backbone=Augmented)
    plain, _ = fitted(tmp_path / "plain", lines())
    assert_same_fit(skipped, without)
    with pytest.raises(AssertionError):
        assert_same_fit(without, plain)


def test_a_skipped_row_does_not_shift_the_masks(tmp_path):
    skipped, built = fitted(tmp_path / "skipped", with_line(lines(), ",a"), head="masked-elements")
    without, _ = fitted(tmp_path / "without", lines(), head="masked-elements")
    assert_same_fit(skipped, without)
    assert len(built) == 1


# --- teachers


@pytest.fixture
def teacher(tmp_path, small_plugin_installed):
    model = tg.compose("small-words", "classification", "linear-probe")
    model.fit(sentences(), target="label", inputs="text", quiet=True)
    return str(model.save(tmp_path / "teacher"))


@pytest.fixture
def reads_notes(tmp_path, small_plugin_installed):
    """A teacher that reads a column of its own, so that it may be unable to use a row that its student can read."""
    rows = sentences()
    model = tg.compose("small-words", "classification", "linear-probe")
    model.fit({"note": rows["text"], "label": rows["label"]}, target="label", inputs={"text": "note"}, quiet=True)
    return str(model.save(tmp_path / "reads-notes"))


def distilled(teacher, name="first"):
    return replace(training_stage(*PARTS, name=name), teacher=Teacher(teacher, 2.0), loss=SoftLoss(2.0, 0.5))


def test_a_label_that_the_teacher_does_not_know_leaves_the_weights_of_the_file_without_it(tmp_path, teacher):
    stages = [distilled(teacher)]
    skipped, built = fitted(tmp_path / "skipped", with_line(lines(), "lost card,q"), stages=stages)
    without, _ = fitted(tmp_path / "without", lines(), stages=stages)
    assert_same_fit(skipped, without)
    assert len(built) == 1


@pytest.mark.parametrize("first", [True, False], ids=["the first teacher", "the second teacher"])
@pytest.mark.slow
def test_a_row_that_one_of_two_teachers_cannot_use_leaves_the_weights_of_the_file_without_it(
    tmp_path, teacher, reads_notes, first
):
    teachers = [reads_notes, teacher] if first else [teacher, reads_notes]
    stages = [distilled(folder, name) for folder, name in zip(teachers, ("first", "second"), strict=True)]
    rows = [f"{line},{line.partition(',')[0]}" for line in lines()]
    bad = with_line(rows, "lost card,b,")
    skipped, built = fitted(tmp_path / "skipped", bad, stages=stages, header="text,label,note")
    without, _ = fitted(tmp_path / "without", rows, stages=stages, header="text,label,note")
    assert_same_fit(skipped, without)
    assert len(built) == 1
    assert skipped.notes == {"skipped, since the teacher cannot use it: the text is empty": 1}


# --- settings that are fitted on the inputs


@pytest.mark.parametrize(("bad", "builds"), [("my the my,b", 1), ("unheard of,b", 2)], ids=["known words", "new words"])
def test_settings_are_fitted_on_the_rows_that_are_kept(tmp_path, bad, builds):
    rows, head = lines(per_element=True), "element-classification"
    skipped, built = fitted(tmp_path / "skipped", with_line(rows, bad), head=head, fit_config=count_words)
    without, (config,) = fitted(tmp_path / "without", rows, head=head, fit_config=count_words)
    assert_same_fit(skipped, without)
    assert len(built) == builds
    assert built[-1] == config
