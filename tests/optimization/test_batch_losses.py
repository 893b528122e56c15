"""Losses that compare rows of a batch: batches are not divided, in no way."""

from dataclasses import replace

import pytest
import torch
from small_tasks import Planned, assert_same_bits, copied, sentences, training_stage, words
from torch import nn

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.head import LossSum
from taskgraft.contract.plan import HeadSolver
from taskgraft.engine.memory import NotEnoughMemory
from taskgraft.preparation.errors import TrainingError


def contrastive(head, output, targets, features):
    """Supervised contrastive loss (Khosla et al. 2020, equation 2) of the head's output; 0 without a pair of one label."""
    codes = nn.functional.normalize(output.float(), dim=-1)
    same = targets["label"][:, None] == targets["label"][None]
    alone = torch.eye(len(codes), dtype=torch.bool)
    scores = (codes @ codes.T / 0.5).masked_fill(alone, -torch.inf)
    shares = torch.log_softmax(scores, dim=-1).masked_fill(alone, 0.0)
    pairs = same & ~alone
    anchors = pairs.any(-1)
    total = -(torch.where(pairs, shares, 0.0).sum(-1) / pairs.sum(-1).clamp(min=1)).sum()
    return LossSum(total, anchors.sum().float())


class Contrastive(Classification):
    """Classification under a contrastive loss."""

    @property
    def description(self):
        return replace(super().description, convex=False, loss_over_batch=True)

    def build_module(self, features, target):
        module = super().build_module(features, target)
        module.loss = lambda output, targets, features: contrastive(module, output, targets, features)
        return module


STAGE = training_stage("block-1", loss=contrastive, loss_over_batch=True, epochs=6)


def fit(stage=STAGE, head=None, **training):
    model = tg.compose(words(dropout=0.0), head or Classification(ClassificationConfig()), Planned(stage))
    report = model.fit(sentences(48), target="label", training={"batch_size": 16, **training}, quiet=True)
    return model, report


@pytest.mark.parametrize("head", [None, Contrastive(ClassificationConfig())], ids=["of the stage", "of the head"])
def test_a_contrastive_loss_brings_rows_of_one_label_together(head):
    stage = STAGE if head is None else training_stage("block-1", epochs=6)
    _, report = fit(stage, head)
    losses = report.stages[0].losses
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("head", [None, Contrastive(ClassificationConfig())], ids=["of the stage", "of the head"])
def test_micro_batches_are_refused(head):
    stage = STAGE if head is None else training_stage("block-1", epochs=6)
    with pytest.raises(TrainingError) as caught:
        fit(stage, head, micro_batch=4)
    assert str(caught.value) == (
        "training.micro_batch = 4 would divide batches of 16 rows, but the loss of the stage 'first' compares all rows of a "
        "batch with each other. Leave micro_batch out, or lower training.batch_size."
    )


def test_a_stage_with_a_loss_of_its_own_does_not_compare_rows():
    def squares(head, output, targets, features):
        return LossSum(output.square().sum(), output.new_tensor(float(len(output))))

    fit(training_stage("block-1", loss=squares), Contrastive(ClassificationConfig()), micro_batch=4)


def test_batches_are_not_divided_when_memory_runs_out():
    def failing(head, output, targets, features):
        raise MemoryError

    with pytest.raises(NotEnoughMemory) as caught:
        fit(training_stage("block-1", loss=failing, loss_over_batch=True))
    assert str(caught.value) == (
        "There is not enough memory for training the stage 'first' with 16 rows at once, and they cannot be divided: its loss "
        "compares them. Lower training.batch_size, or shorten the inputs."
    )


def test_a_solver_is_refused():
    stage = training_stage(solve=HeadSolver.CONVEX)
    with pytest.raises(TrainingError) as caught:
        fit(stage, Contrastive(ClassificationConfig()))
    assert str(caught.value) == (
        "A solver cannot fit the head: the loss of the stage 'first' compares all rows of a batch with each other. Choose a "
        "strategy that trains in steps."
    )


def test_a_batch_without_a_pair_gives_no_gradient_and_no_nan():
    rows = {"text": ["card", "lost", "rain"] * 8, "label": [str(row) for row in range(24)]}
    model = tg.compose(words(dropout=0.0), Classification(ClassificationConfig()), Planned(replace(STAGE, epochs=1)))
    before = copied(model.composition.backbone.value)
    report = model.fit(rows, target="label", training={"batch_size": 8}, quiet=True)
    assert report.stages[0].losses == (0.0,)
    assert_same_bits(copied(model.composition.backbone.value), before)
