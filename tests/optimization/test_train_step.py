import math
from itertools import pairwise

import pytest
import torch
from backbones import Words
from small_plugin import WordsConfig
from small_tasks import (
    PARTS,
    Planned,
    assert_same_bits,
    classification,
    fitted,
    images,
    pictures,
    sentences,
    trained,
    training_stage,
    weights,
    words,
)
from torch import nn

from taskgraft import Batch, compose
from taskgraft.engine.memory import NotEnoughMemory

NO_DROPOUT = {"dropout": 0.0}


def differences(one, other):
    """The largest difference of each tensor."""
    return {name: float((tensor.float() - other[name].float()).abs().max()) for name, tensor in one.items()}


class Cramped(Words):
    """An encoder with memory for a few rows, in training passes."""

    def __init__(self, rows: int, error: Exception | None = None):
        super().__init__(WordsConfig(**NO_DROPOUT))
        self.most, self.seen = rows, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory.")

    def forward(self, batch: Batch, layout):
        if torch.is_grad_enabled():
            self.seen.append(len(batch))
            if len(batch) > self.most:
                raise self.error
        return super().forward(batch, layout)


# --- micro-batches


@pytest.mark.parametrize("size", [1, 3, 8])
def test_summed_micro_batches_give_the_weights_of_whole_batches(size):
    whole = weights(trained(words(**NO_DROPOUT), training_stage(*PARTS, rate=1e-3)))
    apart = weights(trained(words(**NO_DROPOUT), training_stage(*PARTS, rate=1e-3), micro_batch=size))
    assert max(differences(whole, apart).values()) < 1e-5


def test_micro_batches_are_as_large_as_asked_for():
    backbone = Cramped(99).eval()
    trained(backbone, training_stage(*PARTS, epochs=1), batch_size=8, micro_batch=3)
    assert backbone.seen == [3, 3, 2] * 3


def test_a_last_row_joins_the_micro_batch_before_when_batchnorm_is_trained():
    _, run = fitted(pictures(), training_stage("last"), rows=images(9), batch_size=9, micro_batch=4)
    assert all(math.isfinite(loss) for loss in run.stages[0].losses)


# --- too little memory


def test_out_of_memory_halves_micro_batches_and_that_is_reported(capfd):
    backbone = Cramped(2).eval()
    model = compose(backbone, classification(), Planned(training_stage(*PARTS, rate=1e-3)))
    model.fit(sentences(), target="label", training={"batch_size": 8})
    assert (
        "Out of memory with 8 rows per pass. Continuing with 4; gradients still add up to batches of 8 "
        "(set training.micro_batch = 4 to start like this).\n"
        "Out of memory with 4 rows per pass. Continuing with 2; gradients still add up to batches of 8 "
        "(set training.micro_batch = 2 to start like this).\n"
    ) in capfd.readouterr().err
    assert backbone.seen == [8, 4, 2, 2, 2, 2] + [2] * 20


def test_a_run_that_ran_out_of_memory_ends_with_the_weights_of_one_that_began_small():
    ran_out = weights(trained(Cramped(2).eval(), training_stage(*PARTS, rate=1e-3)))
    small = weights(trained(Cramped(99).eval(), training_stage(*PARTS, rate=1e-3), micro_batch=2))
    assert_same_bits(ran_out, small)


def test_a_row_that_does_not_fit_alone_ends_training():
    with pytest.raises(NotEnoughMemory) as caught:
        trained(Cramped(0).eval(), training_stage(*PARTS))
    assert str(caught.value) == (
        "There is not enough memory for training the stage 'first' with a single row. "
        "Lower training.micro_batch, shorten the inputs, or train fewer parts."
    )


def test_another_error_is_not_taken_for_out_of_memory():
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trained(Cramped(2, RuntimeError("shapes do not fit")).eval(), training_stage(*PARTS))


# --- precision


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_multiplies_in_sixteen_bits_and_keeps_weights_in_full(precision):
    full = weights(trained(words(**NO_DROPOUT), training_stage(*PARTS, rate=1e-3)))
    half = weights(trained(words(**NO_DROPOUT), training_stage(*PARTS, rate=1e-3), precision=precision))
    assert {tensor.dtype for tensor in half.values() if tensor.is_floating_point()} == {torch.float32}
    assert 0 < max(differences(full, half).values()) < 2e-2


def test_auto_is_full_precision_on_a_cpu_and_the_recipe_says_so():
    model = trained(words(**NO_DROPOUT), training_stage(*PARTS), precision="auto")
    assert model.recipe.training.precision == "fp32"
    assert_same_bits(weights(model), weights(trained(words(**NO_DROPOUT), training_stage(*PARTS))))


def test_an_overflow_of_fp16_is_passed_over_with_a_smaller_scale():
    backbone = words(**NO_DROPOUT)
    with torch.no_grad():
        backbone.blocks[1].value.weight.mul_(300)
    _, run = fitted(backbone, training_stage("block-1", rate=1e-4, epochs=4), precision="fp16")
    assert all(math.isfinite(loss) for loss in run.stages[0].losses)
    assert all(bool(tensor.isfinite().all()) for tensor in backbone.state_dict().values())


# --- steps


def test_steps_end_training_whatever_the_epochs():
    done = []
    stage = training_stage("block-1", epochs=None, on_step_end=lambda _, step: done.append(step))
    _, run = fitted(words(), stage, steps=7)
    assert done == [1, 2, 3, 4, 5, 6, 7]
    assert len(run.stages[0].losses) == 3


def test_rates_reach_zero_with_the_last_step():
    places = []
    stage = training_stage(
        "block-1",
        epochs=None,
        head_learning_rate=0.0,
        on_step_end=lambda backbone, _: places.append(backbone.norm.bias.detach().clone()),
    )
    trained(words(**NO_DROPOUT), stage, steps=5, warmup=0.0, schedule="linear", weight_decay=0.0)
    moves = [float((after - before).abs().max()) for before, after in pairwise(places)]
    assert moves == sorted(moves, reverse=True)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_each_schedule_gives_other_weights(schedule):
    others = {"linear", "cosine", "constant"} - {schedule}
    one = weights(trained(words(**NO_DROPOUT), training_stage(*PARTS), schedule=schedule))
    for other in others:
        assert (
            max(
                differences(one, weights(trained(words(**NO_DROPOUT), training_stage(*PARTS), schedule=other))).values()
            )
            > 0
        )


def test_only_trainable_tensors_have_a_gradient():
    backbone = words()
    with_gradient = []

    def note(backbone: nn.Module, step: int) -> None:
        with_gradient.append({name for name, tensor in backbone.named_parameters() if tensor.grad is not None})

    trained(backbone, training_stage("block-1", epochs=1, on_step_end=note))
    assert all(name.startswith(("blocks.1", "norm")) for names in with_gradient for name in names)
