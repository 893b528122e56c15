"""Augmented training examples: the same bits from any worker, in any batch."""

import numpy as np
import pytest
import torch
from backbones import Pictures, PicturesProcessor
from small_tasks import Planned, assert_same_bits, images, weights

import taskgraft as tg
from taskgraft.composition.resolve import CompositionError
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.plan import Stage, Unfreeze
from taskgraft.contract.processor import AugmentedBatch
from taskgraft.data.examples import EpochSeed
from taskgraft.training.frozen_features import AUGMENTATION_OFF

ALL = Stage("all", (Unfreeze(("stem", "middle", "last"), 1e-2),), head_learning_rate=1e-2)
LAST = Stage("last", (Unfreeze(("last",), 1e-2),), head_learning_rate=1e-2, cache_features=True)


class Varying(PicturesProcessor):
    """Adds noise to each image; on request mixes it with another."""

    augments = True
    cacheable = False

    def __init__(self, side, *, mixes):
        super().__init__(side)
        self.mixes = mixes

    def augment(self, inputs, seeds):
        made = self.prepare(inputs)
        image = made.batch["image"]
        chances = [np.random.default_rng(seed) for seed in seeds]
        noisy = image + torch.stack([torch.from_numpy(one.normal(size=image.shape[1:])).float() for one in chances])
        if not self.mixes:
            return AugmentedBatch(type(made.batch)({"image": noisy}), invalid=made.invalid)
        partners = torch.tensor([int(one.integers(len(seeds))) for one in chances])
        shares = torch.tensor([one.uniform() for one in chances], dtype=torch.float32)
        mixed = torch.lerp(noisy[partners], noisy, shares[:, None, None, None])
        return AugmentedBatch(type(made.batch)({"image": mixed}), partners, shares, made.invalid)


class Noisy(Pictures):
    mixes = False

    @property
    def processor(self):
        return Varying(self.config.side, mixes=self.mixes)


class Mixing(Noisy):
    mixes = True

    @property
    def description(self):
        from dataclasses import replace

        return replace(super().description, mixes_examples=True)


class Displacing(Pictures):
    @property
    def description(self):
        from dataclasses import replace

        return replace(super().description, moves_positions_in=frozenset({Layout.GRID}))


def trained(backbone, stage=ALL, **training):
    model = tg.compose(backbone, "classification", Planned(stage))
    settings = {"epochs": 2, "batch_size": 5, "workers": 0} | training
    model.fit(images(), inputs={"image": "image"}, target="label", training=settings, quiet=True)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Noisy, Mixing])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_does_not_change_a_bit(kind, workers):
    assert_same_bits(weights(trained(kind())), weights(trained(kind(), workers=workers)))


def test_training_examples_are_augmented():
    plain, noisy = trained(Pictures()), trained(Noisy())

    assert any(
        not torch.equal(one, other) for one, other in zip(weights(plain).values(), weights(noisy).values(), strict=True)
    )


def test_a_seed_of_a_row_depends_on_seed_epoch_and_row_alone():
    turn = EpochSeed(seed=3, epoch=1)

    assert turn.seeds([4, 9])[1] == turn.seeds([9])[0] == EpochSeed(3, 1).seeds([9])[0]
    others = [EpochSeed(3, 2).seeds([9]), EpochSeed(4, 1).seeds([9]), turn.seeds([8])]
    assert turn.seeds([9]) not in others
    assert all(0 <= seed < 2**32 for seed in turn.seeds(range(100)))


def test_where_frozen_features_are_cached_augmentation_is_off_and_that_is_reported(capsys):
    model = tg.compose(Noisy(), "classification", Planned(LAST))
    model.fit(images(), inputs={"image": "image"}, target="label", training={"epochs": 2, "batch_size": 5})
    still = trained(Pictures(), LAST)

    assert AUGMENTATION_OFF in capsys.readouterr().err.replace("\n", " ")
    assert_same_bits(weights(model), weights(still))


def test_inputs_processed_on_the_fly_give_the_same_bits_as_cached_ones():
    class Forgetful(Pictures):
        @property
        def processor(self):
            return NotKept(self.config.side)

    assert_same_bits(weights(trained(Pictures())), weights(trained(Forgetful(), memory=0, workers=2)))


class NotKept(PicturesProcessor):
    cacheable = False


def test_mixed_examples_need_a_head_that_supports_soft_labels():
    with pytest.raises(CompositionError) as caught:
        tg.compose(Mixing(), "regression", Planned(ALL))
    assert str(caught.value) == (
        "'Mixing' mixes training examples (mixup), but 'regression' does not support soft labels.\n"
        "Choose another augmentation, or a head that supports them (classification)."
    )


def test_augmentation_that_moves_positions_needs_a_head_without_a_target_per_position():
    from taskgraft.builtin.heads.classification import Classification
    from taskgraft.builtin.heads.configs import ClassificationConfig
    from taskgraft.composition.compose import PER_POSITION
    from taskgraft.contract.descriptions import HeadDescription, TargetKind

    class PerCell(Classification):
        description = HeadDescription((Layout.GRID,), TargetKind.GRID_CATEGORIES)

    assert {TargetKind.GRID_CATEGORIES, TargetKind.PAIR_CATEGORIES} <= PER_POSITION
    with pytest.raises(CompositionError) as caught:
        tg.compose(Displacing(), PerCell(ClassificationConfig()), Planned(ALL))
    assert str(caught.value) == (
        "The augmentation of 'Displacing' moves positions, but 'PerCell' has a target per position of grid features.\n"
        "Choose an augmentation that moves the targets along, or none."
    )
