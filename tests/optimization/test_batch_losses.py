"""Losses that compare rows of a batch: batches are not divided, in no way."""

import random
from dataclasses import replace

import pytest
import torch
from commands import typed
from contrastive import ContrastiveConfig, build, contrastive_terms
from planting import install
from small_tasks import (
    Planned,
    assert_same_bits,
    classification,
    copied,
    images,
    pictures,
    sentences,
    training_stage,
    words,
)
from torch import nn

import taskgraft as tg
from taskgraft import testing as kit
from taskgraft.builtin.strategies.distill import Distill, DistillConfig
from taskgraft.contract.batch import collate
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.head import LossSum
from taskgraft.contract.plan import HeadSolver
from taskgraft.discovery.catalog import catalog
from taskgraft.engine.memory import NotEnoughMemory
from taskgraft.optimization.batch_losses import check_undivided
from taskgraft.preparation.errors import TrainingError
from taskgraft.recipe import TrainingConfig
from taskgraft.testing import ContractViolation
from taskgraft.testing.check_list import checks_of, needs_of

pytestmark = pytest.mark.slow


def contrastive():
    return build(ContrastiveConfig())


def pairs_alone(head, output, targets, features):
    """The contrastive loss of the head's output, over the rows that have another of their label."""
    terms, label = contrastive_terms(output, targets["label"]), targets["label"]
    counts = (label[:, None] == label).sum(-1)
    return LossSum(terms.sum(), (counts > 1).sum().float())


def in_batch_negatives(head, output, targets, features):
    """Cross-entropy over the labels of the batch: a row's own label is its positive, the others are negatives."""
    label = targets["label"]
    scores = output[:, label].float()  # (row, row whose label it is)
    repeated = (label[:, None] == label) & ~torch.eye(len(label), dtype=torch.bool)
    scores = scores.masked_fill(repeated, -torch.inf)
    total = nn.functional.cross_entropy(scores, torch.arange(len(label)), reduction="sum")
    return LossSum(total, output.new_tensor(float(len(label))))


TOPICS = {
    "a": ("card", "lost", "send", "transfer"),
    "b": ("rain", "late", "slow", "stop"),
    "c": ("where", "why", "new"),
}


def topics(count, seed=0):
    """Texts of 1 to 5 words, labelled by what they are about."""
    chance = random.Random(seed)
    labels = [chance.choice("abc") for _ in range(count)]
    return {
        "text": [" ".join(chance.choices(TOPICS[label], k=1 + row % 5)) for row, label in enumerate(labels)],
        "label": labels,
    }


STAGE = training_stage("block-1", loss=pairs_alone, loss_over_batch=True, epochs=6)


def fit(stage=STAGE, head=None, rows=None, validation=None, **training):
    model = tg.compose(words(dropout=0.0), head or classification(), Planned(stage))
    training = {"batch_size": 16, **training}
    report = model.fit(rows or sentences(48), validation=validation, target="label", training=training, quiet=True)
    return model, report


# --- they train


def margin(backbone, rows):
    """How much more alike rows of one label are than those of two, in the mean of their cosines."""
    batch = collate([backbone.processor.prepare({"text": [text]}).batch for text in rows["text"]])
    with torch.no_grad():
        features = nn.functional.normalize(backbone(batch, Layout.VECTOR).value, dim=-1)
    label = torch.tensor(["abc".index(one) for one in rows["label"]])
    same, alone = label[:, None] == label, torch.eye(len(label), dtype=torch.bool)
    cosines = features @ features.T
    return float(cosines[same & ~alone].mean() - cosines[~same].mean())


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The plugin is installed."""
    install(tmp_path, "acme-contrastive", "contrastive")
    monkeypatch.syspath_prepend(tmp_path)
    catalog.cache_clear()
    yield
    catalog.cache_clear()


def test_a_planted_contrastive_head_separates_the_classes(planted):
    rows, held = topics(60), topics(30, seed=5)
    strategy = {"name": "full", "learning_rate": 1e-2, "head_learning_rate": 1e-2}
    model = tg.compose(words(dropout=0.0), "contrastive", strategy)
    report = model.fit(rows, validation=held, target="label", training={"batch_size": 20, "epochs": 10}, quiet=True)
    assert margin(words(), held) < 0.2
    assert margin(model.fitted.task.backbone.eval(), held) > 0.9
    assert report.metrics["accuracy"] > 0.9
    (stage,) = report.stages
    assert stage.validation_losses[-1] < stage.validation_losses[0]


def test_in_batch_negatives_train_a_classifier():
    stage = training_stage("block-1", loss=in_batch_negatives, loss_over_batch=True, epochs=12)
    rows = topics(48)
    model, _ = fit(stage, rows=rows)
    right = [one == other for one, other in zip(model.predict(rows["text"]), rows["label"], strict=True)]
    assert sum(right) / len(right) > 0.9


# --- they are not divided

HEADS = pytest.mark.parametrize("head", [None, contrastive()], ids=["of the stage", "of the head"])


def stage_of(head, **settings):
    return replace(STAGE, **settings) if head is None else training_stage("block-1", **settings)


@HEADS
def test_micro_batches_are_refused_before_any_row_is_processed(head, monkeypatch):
    model = tg.compose(words(), head or classification(), Planned(stage_of(head)))
    monkeypatch.setattr(type(model.composition.backbone.value), "processor", None)
    with pytest.raises(TrainingError) as caught:
        model.fit(sentences(48), target="label", training={"batch_size": 16, "micro_batch": 4}, quiet=True)
    assert str(caught.value) == (
        "training.micro_batch = 4 would divide batches of 16 rows, but the loss of the stage 'first' compares all rows of a "
        "batch with each other. Leave micro_batch out, or lower training.batch_size."
    )


@HEADS
def test_several_processes_are_refused(head):
    described = (head or classification()).description
    with pytest.raises(TrainingError) as caught:
        check_undivided((stage_of(head),), described, TrainingConfig(), 2)
    assert str(caught.value) == (
        "2 processes would divide each batch, but the loss of the stage 'first' compares all rows of a batch with each other. "
        "Train in one process."
    )
    check_undivided((stage_of(head),), described, TrainingConfig(), 1)


@HEADS
def test_batches_are_not_divided_when_memory_runs_out(head, monkeypatch):
    def failing(*given):
        raise MemoryError

    if head is not None:
        monkeypatch.setattr("contrastive.Module.loss", failing)
    with pytest.raises(NotEnoughMemory) as caught:
        fit(stage_of(head, **({} if head else {"loss": failing})), head)
    assert str(caught.value) == (
        "There is not enough memory for training the stage 'first' with 16 rows at once, and they cannot be divided: its loss "
        "compares them. Lower training.batch_size, or shorten the inputs."
    )


def test_a_stage_with_a_loss_of_its_own_does_not_compare_rows():
    def squares(head, output, targets, features):
        return LossSum(output.square().sum(), output.new_tensor(float(len(output))))

    fit(training_stage("block-1", loss=squares, epochs=1), contrastive(), micro_batch=4)


@pytest.mark.parametrize(("mix", "compares"), [(0.0, True), (0.5, True), (1.0, False)])
def test_a_student_compares_rows_if_its_head_does_and_its_labels_count(mix, compares):
    described = replace(contrastive().description, supports_distillation=True)
    (stage,) = Distill(DistillConfig(teacher="teacher", mix=mix)).plan(words().description, described)
    assert stage.loss_over_batch == compares
    (stage,) = Distill(DistillConfig(teacher="teacher")).plan(words().description, classification().description)
    assert not stage.loss_over_batch


def test_a_solver_is_refused():
    with pytest.raises(TrainingError) as caught:
        fit(training_stage(solve=HeadSolver.CONVEX), contrastive())
    assert str(caught.value) == (
        "A solver cannot fit the head: the loss of the stage 'first' compares all rows of a batch with each other. Choose a "
        "strategy that trains in steps."
    )


# --- batches in which there is nothing to compare


def test_a_batch_without_a_pair_gives_no_gradient_and_no_nan():
    rows = {"text": ["card", "lost", "rain"] * 8, "label": [str(row) for row in range(24)]}
    model = tg.compose(words(dropout=0.0), classification(), Planned(replace(STAGE, epochs=1)))
    before = copied(model.composition.backbone.value)
    report = model.fit(rows, target="label", training={"batch_size": 8}, quiet=True)
    assert report.stages[0].losses == (0.0,)
    assert_same_bits(copied(model.composition.backbone.value), before)


def test_a_last_batch_of_one_row_trains_and_validates():
    held = {"text": ["card", "lost", "rain"], "label": ["a", "b", "c"]}
    _, report = fit(training_stage("block-1", epochs=1), contrastive(), sentences(17), held)
    (stage,) = report.stages
    assert 0 < stage.losses[0] < 20
    assert 0 < stage.validation_losses[0] < 20


def test_the_validation_loss_is_the_mean_over_batches_by_their_weight():
    """Each batch of validation rows has its own loss, so another size of batches gives another one."""
    held = sentences(12, seed=3)

    def validated(size):
        stage = training_stage(epochs=1, head_learning_rate=1e-9)
        return fit(stage, contrastive(), validation=held, batch_size=size)[1].stages[0].validation_losses[0]

    assert validated(12) > validated(4) + 0.1  # fewer rows to tell apart


def test_statistics_of_batch_norm_stay_those_of_whole_batches():
    model = tg.compose(pictures(), contrastive(), Planned(training_stage("last", epochs=1)))
    model.fit(images(16), target="label", training={"batch_size": 8}, quiet=True)
    assert len(model.predict(images(3))) == 3


# --- the kit

COMPARES = "The loss compares rows of a batch with each other (loss_over_batch)."
LABELS = {"label": ["a", "b", "a", "c", "b", "c"]}


def described(**changes):
    """The contrastive head with another description."""
    head = contrastive()
    other = type("Described", (type(head),), {"description": replace(head.description, **changes)})
    return other(head._config)


def test_the_head_keeps_all_laws_that_apply():
    given = {"head": contrastive(), "targets": LABELS, "columns": {}}
    checks = [check for check in checks_of("head") if set(needs_of(check)) <= given.keys()]
    reasons = {check.__name__: check(**{name: given[name] for name in needs_of(check)}) for check in checks}
    assert {name: reason for name, reason in reasons.items() if reason} == {"check_loss_is_a_sum_over_rows": COMPARES}


def test_the_law_of_mixed_targets_does_not_apply():
    assert kit.check_mixed_targets_have_the_mixed_loss(described(supports_soft_labels=True), LABELS) == COMPARES


def violation(check, head):
    with pytest.raises(ContractViolation) as caught:
        check(head, LABELS)
    return str(caught.value)


def test_it_cannot_be_described_as_convex():
    assert violation(kit.check_convex_loss_is_convex, described(convex=True)) == (
        "Described breaks the law 'convex loss is convex':\n"
        "the loss compares rows of a batch, but a solver computes it over parts of all rows.\n"
        "Describe it with convex=False."
    )


def test_a_row_alone_that_gives_nan_is_found(monkeypatch):
    def mean_over_others(self, output, targets, features):
        distances = torch.cdist(output, output).sum() / (len(output) - 1)
        return LossSum(distances, output.new_tensor(float(len(output))))

    monkeypatch.setattr("contrastive.Module.loss", mean_over_others)
    assert violation(kit.check_loss_is_a_sum_over_rows, contrastive()) == (
        "Contrastive breaks the law 'loss is a sum over rows':\n"
        "for vector features, the total of a batch of one row is nan.\n"
        "Leave rows without another to compare with out of total and weight."
    )


def test_doctor_counts_the_law_that_does_not_apply(planted):
    lines = typed("doctor", "acme-contrastive").out.splitlines()
    place = lines.index("  n/a        loss is a sum over rows:")
    assert lines[place + 1].strip() == COMPARES
    assert lines[-1].endswith(", 0 not tried, 1 not applicable.")
