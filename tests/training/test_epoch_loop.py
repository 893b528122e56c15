import math
from itertools import pairwise

import pytest
import torch
from small_tasks import (
    PARTS,
    Planned,
    assert_same_bits,
    changed,
    classification,
    copied,
    fitted,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)
from torch import Tensor, nn

from taskgraft import Batch, Features, LossSum, compose
from taskgraft.contract.head import HeadModule
from taskgraft.optimization.train_step import TrainingDiverged
from taskgraft.preparation.errors import ValidationRequired

ADVICE = (
    "The model keeps the weights of the step before. Lower the learning rate, or look for inputs that are not finite."
)


class Snapshots:
    """Keeps the backbone's tensors after each step."""

    def __init__(self) -> None:
        self.after: dict[int, dict[str, Tensor]] = {}

    def __call__(self, backbone: nn.Module, step: int) -> None:
        self.after[step] = copied(backbone)


# --- one seed


def test_one_seed_twice_gives_the_same_bits():
    one, other = (weights(trained(words(), training_stage(*PARTS), seed=3)) for _ in range(2))
    assert_same_bits(one, other)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_loader_workers_does_not_change_a_bit(workers):
    alone = weights(trained(words(), training_stage(*PARTS)))
    assert_same_bits(weights(trained(words(), training_stage(*PARTS), workers=workers)), alone)


def test_loader_workers_read_cached_features_from_files():
    stage = training_stage("block-1", cache_features=True)
    alone = weights(trained(words(), stage))
    assert_same_bits(weights(trained(words(), stage, workers=2, memory=0)), alone)


def test_what_the_user_drew_before_does_not_change_a_bit():
    alone = weights(trained(words(), training_stage(*PARTS)))
    torch.rand(7)
    assert_same_bits(weights(trained(words(), training_stage(*PARTS))), alone)


def test_what_is_drawn_between_steps_does_not_change_a_bit():
    alone = weights(trained(words(), training_stage(*PARTS)))
    drawing = training_stage(*PARTS, on_step_end=lambda backbone, step: torch.rand(7))
    assert_same_bits(weights(trained(words(), drawing)), alone)


def test_another_seed_gives_other_weights():
    one, other = (weights(trained(words(), training_stage(*PARTS), seed=seed)) for seed in (0, 1))
    assert not torch.equal(one["backbone.blocks.1.query.weight"], other["backbone.blocks.1.query.weight"])


# --- steps


def test_the_first_step_moves_a_weight_by_the_rate():
    backbone = words()
    before = copied(backbone)
    trained(backbone, training_stage("block-1", rate=3e-3, epochs=1), batch_size=24, warmup=0.0, weight_decay=0.0)
    moved = copied(backbone)["blocks.1.value.weight"] - before["blocks.1.value.weight"]
    assert float(moved.abs().max()) == pytest.approx(3e-3, rel=1e-2)


def test_rates_rise_linearly_and_fall_to_zero():
    note, backbone = Snapshots(), words(dropout=0.0)
    stage = training_stage("block-1", rate=1e-4, head_learning_rate=0.0, epochs=4, on_step_end=note)
    trained(backbone, stage, batch_size=24, warmup=0.5, weight_decay=0.0)
    places = [copied(words())["norm.bias"], *(note.after[step]["norm.bias"] for step in (1, 2, 3, 4))]
    moves = [float((after - before).abs().max()) for before, after in pairwise(places)]
    assert moves == pytest.approx([1e-4 / 3, 2e-4 / 3, 1e-4, 0.5e-4], rel=5e-2)


def test_each_group_has_its_own_rate():
    note = Snapshots()
    stage = training_stage("block-1", rate=1e-3, head_learning_rate=1e-1, epochs=1, on_step_end=note)
    model = trained(words(), stage, batch_size=24, warmup=0.0)
    assert float(weights(model)["head.readout.bias"].abs().max()) == pytest.approx(1e-1, rel=1e-2)


def test_weight_decay_leaves_biases_and_norms_alone():
    stage = training_stage("block-1", epochs=1)
    without, strong = (
        weights(trained(words(dropout=0.0), stage, batch_size=24, weight_decay=decay)) for decay in (0.0, 10.0)
    )
    differing = {name for name in without if not torch.equal(without[name], strong[name])}
    assert differing == {
        name for name in without if without[name].dim() == 2 and name.startswith(("backbone.blocks.1", "head"))
    }


def test_gradients_are_clipped_to_the_norm_asked_for():
    norms = []

    def note(backbone: nn.Module, step: int) -> None:
        gradients = [parameter.grad for parameter in backbone.parameters() if parameter.grad is not None]
        norms.append(float(nn.utils.get_total_norm(gradients)))

    trained(words(), training_stage(*PARTS, head_learning_rate=None, on_step_end=note), clip=1e-3)
    assert all(norm <= 1e-3 * 1.01 for norm in norms)
    assert max(norms) > 0.5e-3


@pytest.mark.parametrize("size", [1, 7, 24])
def test_the_loss_of_an_epoch_is_the_mean_over_rows_whatever_the_batches(size):
    stage, rows = training_stage(*PARTS, rate=0.0, head_learning_rate=0.0, epochs=1), sentences()
    model, run = fitted(words(dropout=0.0), stage, batch_size=size)
    found = model.predict_proba(rows["text"])
    each = [-math.log(row[label]) for row, label in zip(found, rows["label"], strict=True)]
    assert run.stages[0].losses == pytest.approx((sum(each) / len(each),), rel=1e-5)


def batch_sizes(**settings) -> list[int]:
    """How many rows each batch had that a small model was trained on."""
    seen = []

    def loss(head, output, targets, features):
        seen.append(len(targets))
        return head.loss(output, targets, features)

    trained(words(), training_stage(*PARTS, loss=loss), **settings)
    return seen


def test_a_limit_of_elements_makes_batches_smaller_where_rows_are_long():
    assert max(batch_sizes(batch_size=8)) == 8
    assert max(batch_sizes(batch_size=8, batch_elements=1)) == 1


def test_a_limit_of_elements_that_is_never_reached_changes_no_bit():
    free = weights(trained(words(), training_stage(*PARTS)))
    assert_same_bits(weights(trained(words(), training_stage(*PARTS), batch_elements=10_000)), free)


def test_training_lowers_the_loss():
    _, run = fitted(words(), training_stage(*PARTS, epochs=6))
    losses = run.stages[0].losses
    assert losses[-1] < losses[0] - 0.1


def test_frozen_parts_keep_every_bit():
    backbone = words()
    before = copied(backbone)
    trained(backbone, training_stage("block-1"))
    assert changed(backbone, before)
    assert all(name.startswith(("blocks.1.", "norm.")) for name in changed(backbone, before))


def test_a_loss_around_the_heads_own_is_used():
    def doubled(head: HeadModule, output: Tensor, targets: Batch, features: Features) -> LossSum:
        loss = head.loss(output, targets, features)
        return LossSum(2 * loss.total, loss.weight)

    plain = fitted(words(), training_stage(*PARTS, rate=0.0, head_learning_rate=0.0, epochs=1))[1].stages[0].losses
    twice = (
        fitted(words(), training_stage(*PARTS, rate=0.0, head_learning_rate=0.0, epochs=1, loss=doubled))[1]
        .stages[0]
        .losses
    )
    assert twice[0] == pytest.approx(2 * plain[0])


def test_on_step_end_is_called_with_the_number_of_the_step():
    steps = []
    trained(words(), training_stage("block-1", on_step_end=lambda backbone, step: steps.append(step)))
    assert steps == [1, 2, 3, 4, 5, 6]


# --- batches of one row


@pytest.mark.parametrize("count", [9, 17])
def test_a_last_batch_of_one_row_does_not_stop_batchnorm(count):
    backbone = pictures()
    trained(backbone, training_stage("stem", "middle", "last"), rows=images(count))
    assert int(backbone.stem.norm.num_batches_tracked) == 2 * (count // 8)


def test_a_frozen_batchnorm_takes_a_batch_of_one_row():
    steps = []
    trained(pictures(), training_stage(epochs=1, on_step_end=lambda backbone, step: steps.append(step)), rows=images(9))
    assert steps == [1, 2]


# --- training that diverges


class Failing:
    """The head's own loss, changed in one of its calls."""

    def __init__(self, call: int, change):
        self.calls, self.call, self.change = 0, call, change

    def __call__(self, head: HeadModule, output: Tensor, targets: Batch, features: Features) -> LossSum:
        self.calls += 1
        loss = head.loss(output, targets, features)
        return LossSum(self.change(head, loss.total), loss.weight) if self.calls == self.call else loss


def endless_slope(head: HeadModule, total: Tensor) -> Tensor:
    """The same loss, with a gradient that is not a number."""
    return total + (head.readout.weight * 0).square().sum().sqrt()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_weights_of_the_step_before(value):
    backbone, note = words(), Snapshots()
    stage = training_stage(*PARTS, loss=Failing(3, lambda head, total: total * value), on_step_end=note)
    with pytest.raises(TrainingDiverged) as caught:
        trained(backbone, stage)
    assert str(caught.value) == f"The loss of stage 'first' became {value} at step 3. {ADVICE}"
    assert max(note.after) == 2
    assert changed(backbone, note.after[2]) == set()


def test_a_gradient_that_is_not_finite_stops_with_the_weights_of_the_step_before():
    backbone, note = words(), Snapshots()
    stage = training_stage(*PARTS, loss=Failing(3, endless_slope), on_step_end=note)
    with pytest.raises(TrainingDiverged) as caught:
        trained(backbone, stage)
    error = caught.value
    assert str(error) == (
        f"The loss of stage 'first' is {error.loss:g} at step 3, but its gradient is not finite. {ADVICE}"
    )
    assert 0 < error.loss < 5
    assert changed(backbone, note.after[2]) == set()


def test_a_gradient_that_is_not_finite_stops_without_clipping_too():
    with pytest.raises(TrainingDiverged):
        trained(words(), training_stage(*PARTS, loss=Failing(1, endless_slope)), clip=None)


def test_an_input_that_is_not_finite_leaves_the_statistics_of_the_step_before():
    rows = images(24)
    rows["image"][20][0][0] = math.nan
    backbone, note = pictures(), Snapshots()
    with pytest.raises(TrainingDiverged):
        trained(backbone, training_stage("stem", "middle", "last", epochs=3, on_step_end=note), rows=rows)
    assert changed(backbone, note.after[max(note.after)]) == set()


def test_a_model_whose_training_failed_is_not_fitted():
    model = compose(words(), classification(), Planned(training_stage(*PARTS, loss=Failing(1, endless_slope))))
    with pytest.raises(TrainingDiverged):
        model.fit(sentences(), target="label", quiet=True)
    assert model.fitted is None


# --- patience


def away(head: HeadModule, output: Tensor, targets: Batch, features: Features) -> LossSum:
    """Makes training worsen what validation measures."""
    loss = head.loss(output, targets, features)
    return LossSum(-loss.total, loss.weight)


def test_patience_stops_and_restores_the_best_epoch():
    backbone, note = words(), Snapshots()
    stage = training_stage("block-1", loss=away, epochs=9, patience=2, on_step_end=note)
    _, run = fitted(backbone, stage, validation=sentences(16, seed=1))
    assert len(run.stages[0].losses) == 3
    assert changed(backbone, note.after[3]) == set()
    assert changed(backbone, note.after[9])


def test_patience_restores_the_statistics_of_the_best_epoch():
    backbone, note = pictures(), Snapshots()
    stage = training_stage("stem", "middle", "last", loss=away, epochs=9, patience=1, on_step_end=note, rate=1e-1)
    fitted(backbone, stage, validation=images(16))
    steps = max(note.after)
    assert steps < 18
    assert changed(backbone, note.after[steps - 2]) == set()


def test_patience_of_the_training_settings_holds_where_a_stage_says_none():
    _, run = fitted(
        words(), training_stage("block-1", loss=away, epochs=9), validation=sentences(16, seed=1), patience=1
    )
    assert len(run.stages[0].losses) == 2


def test_patience_of_the_training_settings_needs_validation_rows():
    with pytest.raises(ValidationRequired) as caught:
        fitted(words(), training_stage("block-1"), patience=3)
    assert str(caught.value) == (
        "training.patience stops training after 3 epochs without a lower validation loss, but there are no validation rows. "
        "Give data.validation or data.split."
    )


def test_training_continues_in_training_mode_after_a_validation():
    modes = []
    stage = training_stage(
        "block-1", patience=9, on_step_end=lambda backbone, _: modes.append(backbone.blocks[1].dropout.training)
    )
    trained(words(), stage, validation=sentences(16, seed=1))
    assert modes == [True] * 6


def test_after_training_everything_is_in_eval_mode():
    model = trained(words(), training_stage(*PARTS))
    assert not any(module.training for module in model.fitted.task.modules())
