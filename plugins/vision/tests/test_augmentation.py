import random

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field

from taskgraft.plugin import Config, ConfigError, Layout, parse_config
from taskgraft_vision.augmentation import apply_rand_augment, mix_images, random_crop
from taskgraft_vision.augmentation_settings import CutMix, Light, MixUp, Policies, PolicyList, RandAugment

SEEDS = range(200)


class Settings(Config):
    augment: Policies = Field(default=())


def policies(value):
    return PolicyList(parse_config(Settings, {"augment": value}, "backbone 'some'").augment)


def error_message(value):
    with pytest.raises(ConfigError) as caught:
        policies(value)
    return str(caught.value)


def images(rows=6, size=8):
    return np.random.default_rng(0).integers(0, 256, (rows, 3, size, size), dtype=np.uint8)


def image():
    return Image.fromarray(images(1, 32)[0].transpose(1, 2, 0)).resize((64, 64))


# --- settings


def test_a_policy_is_a_name_a_dict_or_one_of_several():
    assert policies("light").root == (Light(),)
    assert policies({"name": "light", "flip": 0}).root == (Light(flip=0),)
    assert policies(["rand-augment", {"name": "mix-up", "alpha": 1}]).root == (RandAugment(), MixUp(alpha=1))


def test_by_default_there_is_no_augmentation():
    assert len(Settings().augment) == 0
    assert not PolicyList(Settings().augment).mixes_examples


def test_policies_are_read_back_from_json():
    settings = Settings(augment=["light", "cut-mix"])

    assert parse_config(Settings, settings.model_dump(mode="json"), "backbone 'some'") == settings


def test_an_unknown_policy_is_an_error_that_suggests_the_closest():
    known = "Policies: light, rand-augment, mix-up, cut-mix."

    assert error_message(["light", "mixup"]) == (
        "backbone 'some': the setting 'augment' is ['light', 'mixup']: there is no policy 'mixup'. "
        f"Did you mean 'mix-up'? {known}"
    )
    assert error_message({"flip": 0}) == (
        f"backbone 'some': the setting 'augment' is {{'flip': 0}}: a policy needs a name. {known}"
    )
    assert error_message(3) == (
        "backbone 'some': the setting 'augment' is 3: "
        "input should be a policy's name, a dict with its name, or a list of these."
    )


def test_a_policy_can_be_listed_only_once():
    assert error_message(["light", "light"]) == (
        "backbone 'some': the setting 'augment' is ['light', 'light']: 'light' can be listed only once."
    )


def test_ranges_are_ordered_and_crops_not_larger_than_the_image():
    assert error_message([{"name": "light", "ratio": [2, 1]}]) == (
        "backbone 'some': the setting 'augment.0.ratio' is [2, 1]: the smaller number must come first."
    )
    assert error_message([{"name": "light", "scale": [1, 2]}]) == (
        "backbone 'some': the setting 'augment.0.scale' is [1, 2]: a crop cannot be larger than the image, so at most 1."
    )


@pytest.mark.parametrize(
    ("value", "mixes_examples"), [("light", False), ("rand-augment", False), ("mix-up", True), ("cut-mix", True)]
)
def test_mix_up_and_cut_mix_mix_examples(value, mixes_examples):
    assert policies(value).mixes_examples == mixes_examples


def test_light_moves_positions_in_sequences_and_rand_augment_in_all_layouts():
    assert policies("mix-up").moves_positions_in == set()
    assert policies("light").moves_positions_in == {Layout.SEQUENCE, Layout.PAIR}
    assert policies(["light", "rand-augment"]).moves_positions_in == {
        Layout.SEQUENCE,
        Layout.PAIR,
        Layout.GRID,
        Layout.PYRAMID,
    }


# --- light


def test_crops_have_the_configured_areas_and_aspect_ratios():
    crops = [random_crop(Light(scale=(0.25, 0.5)), 400, 400, 1.0, seed) for seed in SEEDS]
    sides = np.array([(crop.right - crop.left, crop.bottom - crop.top) for crop in crops])

    areas, ratios = sides.prod(axis=1) / 160_000, sides[:, 0] / sides[:, 1]

    assert 0.245 < areas.min() < 0.27 < 0.48 < areas.max() < 0.505
    assert 0.74 < ratios.min() < 0.8 < 1.25 < ratios.max() < 1.35


def test_crops_are_anywhere_in_the_image():
    crops = [random_crop(Light(scale=(0.5, 0.5), ratio=(1, 1)), 20, 10, 1.0, seed) for seed in SEEDS]

    assert {crop.left for crop in crops} == set(range(11))
    assert {(crop.top, crop.bottom) for crop in crops} == {(0, 10)}


def test_crops_have_the_aspect_ratio_of_the_models_input():
    crop = random_crop(Light(scale=(0.1, 0.1), ratio=(1, 1)), 500, 500, 2.0, 7)

    assert (crop.right - crop.left) / (crop.bottom - crop.top) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_crops_fit_into_any_image(size):
    for seed in SEEDS:
        crop = random_crop(Light(), *size, 1.0, seed)

        assert 0 <= crop.left < crop.right <= size[0]
        assert 0 <= crop.top < crop.bottom <= size[1]


def test_half_of_the_images_are_flipped_by_default():
    assert 80 < sum(random_crop(Light(), 9, 9, 1.0, seed).flipped for seed in SEEDS) < 120
    assert not any(random_crop(Light(flip=0), 9, 9, 1.0, seed).flipped for seed in SEEDS)
    assert all(random_crop(Light(flip=1), 9, 9, 1.0, seed).flipped for seed in SEEDS)


# --- rand-augment


def test_a_seed_determines_the_changes():
    results = [
        apply_rand_augment(image(), RandAugment(), (0, 0, 0), Image.Resampling.BILINEAR, seed) for seed in (3, 4, 3)
    ]

    assert results[0].tobytes() == results[2].tobytes()
    assert results[0].size == (64, 64)


def test_different_seeds_give_different_changes():
    results = {
        apply_rand_augment(image(), RandAugment(), (0, 0, 0), Image.Resampling.LANCZOS, seed).tobytes()
        for seed in range(30)
    }

    assert len(results) > 15


def test_more_magnitude_changes_more():
    def distance(magnitude):
        policy = RandAugment(magnitude=magnitude, deviation=0)
        results = [
            apply_rand_augment(image(), policy, (0, 0, 0), Image.Resampling.BILINEAR, seed) for seed in range(60)
        ]
        return np.mean([np.abs(np.asarray(result).astype(float) - np.asarray(image())).mean() for result in results])

    assert distance(1) < distance(10)


def test_every_operation_supports_the_largest_magnitude():
    policy = RandAugment(magnitude=10, layers=10, deviation=5)

    for seed in SEEDS:
        assert apply_rand_augment(image(), policy, (0, 0, 0), Image.Resampling.BILINEAR, seed).size == (64, 64)


def test_the_global_generators_are_restored():
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    apply_rand_augment(image(), RandAugment(layers=5), (0, 0, 0), Image.Resampling.BILINEAR, 11)
    mix_images(images(), range(6), policies(["mix-up", "cut-mix"]), range(6))
    random_crop(Light(), 9, 9, 1.0, 5)

    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_the_state_of_the_global_generators_does_not_matter():
    random.seed(1), np.random.seed(2)
    first = apply_rand_augment(image(), RandAugment(), (0, 0, 0), Image.Resampling.BILINEAR, 11)
    random.seed(7), np.random.seed(8)
    second = apply_rand_augment(image(), RandAugment(), (0, 0, 0), Image.Resampling.BILINEAR, 11)

    assert first.tobytes() == second.tobytes()


# --- mixing


def test_mix_up_blends_each_row_with_its_partner_and_rounds():
    pixels = images()

    mixed = mix_images(pixels, range(6), policies({"name": "mix-up", "alpha": 1}), range(6))

    shares = mixed.shares.astype(np.float64)[:, None, None, None]
    assert (mixed.pixels == np.rint(shares * pixels + (1 - shares) * pixels[mixed.partners])).all()
    assert (mixed.partners != np.arange(6)).all()


def test_cut_mix_pastes_a_rectangle_of_the_partner_with_the_area_that_the_share_leaves():
    pixels = np.repeat(np.arange(40, dtype=np.uint8), 3 * 64).reshape(40, 3, 8, 8)

    mixed = mix_images(pixels, range(40), policies("cut-mix"), range(40))

    for row in range(40):
        foreign = mixed.pixels[row, 0] == mixed.partners[row]
        assert (foreign | (mixed.pixels[row, 0] == row)).all()
        assert mixed.shares[row] == pytest.approx(1 - foreign.mean())
        assert foreign.sum() == foreign.any(axis=0).sum() * foreign.any(axis=1).sum()


def test_with_two_mixing_policies_each_row_chooses_one():
    pixels = np.repeat(np.arange(200, dtype=np.uint8), 3 * 64).reshape(200, 3, 8, 8)

    mixed = mix_images(pixels, range(200), policies(["cut-mix", {"name": "mix-up", "alpha": 50}]), SEEDS)

    blended = sum(row not in mixed.pixels[row] for row in SEEDS)
    assert 60 < blended < 140


def test_partners_and_shares_come_from_the_seed_of_the_row():
    once = mix_images(images(), range(6), policies("mix-up"), range(6))
    again = mix_images(images(), range(6), policies("mix-up"), [0, 1, 2, 13, 14, 15])

    assert (once.partners[:3] == again.partners[:3]).all()
    assert (once.shares[:3] == again.shares[:3]).all()
    assert (once.shares[3:] != again.shares[3:]).all()


def test_every_other_row_can_be_the_partner():
    partners = {int(mix_images(images(4), range(4), policies("mix-up"), [seed] * 4).partners[1]) for seed in SEEDS}

    assert partners == {0, 2, 3}


def test_invalid_rows_are_not_mixed():
    pixels = images()

    mixed = mix_images(pixels, [0, 2, 5], policies("mix-up"), range(6))

    assert (mixed.pixels[[1, 3, 4]] == pixels[[1, 3, 4]]).all()
    assert mixed.partners[[1, 3, 4]].tolist() == [1, 3, 4]
    assert mixed.shares[[1, 3, 4]].tolist() == [1, 1, 1]
    assert set(mixed.partners[[0, 2, 5]].tolist()) <= {0, 2, 5}


def test_a_single_row_is_not_mixed():
    mixed = mix_images(images(1), [0], policies("cut-mix"), [5])

    assert (mixed.pixels == images(1)).all()
    assert (mixed.partners.tolist(), mixed.shares.tolist()) == ([0], [1.0])


def test_shares_follow_the_beta_distribution():
    def spread(policy):
        return np.std([mix_images(images(2), range(2), policies(policy), [seed] * 2).shares[0] for seed in SEEDS])

    assert spread(MixUp(alpha=50)) < 0.1 < spread(MixUp(alpha=1)) < 0.4 < spread(MixUp(alpha=0.2))
    assert spread(CutMix(alpha=50)) < spread(CutMix(alpha=0.5))
