import random

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field

from taskgraft.plugin import Config, ConfigError, Layout, parse_config
from taskgraft_vision.augmentation import changed, mixed, rectangle
from taskgraft_vision.augmentation_settings import CutMix, Light, MixUp, Policies, PolicyList, RandAugment

SEEDS = range(200)


class Settings(Config):
    augment: Policies = Field(default=())


def policies(value):
    return PolicyList(parse_config(Settings, {"augment": value}, "backbone 'some'").augment)


def refusal(value):
    with pytest.raises(ConfigError) as caught:
        policies(value)
    return str(caught.value)


def pictures(rows=6, size=8):
    return np.random.default_rng(0).integers(0, 256, (rows, 3, size, size), dtype=np.uint8)


def scene():
    return Image.fromarray(pictures(1, 32)[0].transpose(1, 2, 0)).resize((64, 64))


# --- settings


def test_a_policy_is_a_name_a_dict_or_one_of_several():
    assert policies("light").root == (Light(),)
    assert policies({"name": "light", "flip": 0}).root == (Light(flip=0),)
    assert policies(["rand-augment", {"name": "mix-up", "alpha": 1}]).root == (RandAugment(), MixUp(alpha=1))


def test_without_a_setting_nothing_varies():
    assert len(Settings().augment) == 0
    assert not PolicyList(Settings().augment).mixes


def test_policies_are_read_back_from_json():
    settings = Settings(augment=["light", "cut-mix"])

    assert parse_config(Settings, settings.model_dump(mode="json"), "backbone 'some'") == settings


def test_a_policy_that_nobody_knows_is_refused_with_the_nearest():
    known = "Policies: light, rand-augment, mix-up, cut-mix."

    assert refusal(["light", "mixup"]) == (
        "backbone 'some': the setting 'augment' is ['light', 'mixup']: there is no policy 'mixup'. "
        f"Did you mean 'mix-up'? {known}"
    )
    assert refusal({"flip": 0}) == (
        f"backbone 'some': the setting 'augment' is {{'flip': 0}}: a policy has a name. {known}"
    )
    assert refusal(3) == (
        "backbone 'some': the setting 'augment' is 3: "
        "input should be a policy's name, a dict with its name, or a list of these."
    )


def test_a_policy_stands_once():
    assert refusal(["light", "light"]) == (
        "backbone 'some': the setting 'augment' is ['light', 'light']: 'light' should stand there once."
    )


def test_a_range_begins_with_the_smaller_number_and_no_area_is_more_than_all():
    assert refusal([{"name": "light", "ratio": [2, 1]}]) == (
        "backbone 'some': the setting 'augment.0.ratio' is [2, 1]: the smaller number should stand first."
    )
    assert refusal([{"name": "light", "scale": [1, 2]}]) == (
        "backbone 'some': the setting 'augment.0.scale' is [1, 2]: a rectangle of the image has no more than 1 of its area."
    )


@pytest.mark.parametrize(
    ("value", "mixes"), [("light", False), ("rand-augment", False), ("mix-up", True), ("cut-mix", True)]
)
def test_mix_up_and_cut_mix_mix(value, mixes):
    assert policies(value).mixes == mixes


def test_a_grid_knows_what_light_moves_and_nothing_knows_what_rand_augment_moves():
    assert policies("mix-up").displaces == set()
    assert policies("light").displaces == {Layout.SEQUENCE, Layout.PAIR}
    assert policies(["light", "rand-augment"]).displaces == {Layout.SEQUENCE, Layout.PAIR, Layout.GRID, Layout.PYRAMID}


# --- light


def test_a_rectangle_has_the_area_and_the_shape_that_were_asked_for():
    found = [rectangle(Light(scale=(0.25, 0.5)), 400, 400, 1.0, seed) for seed in SEEDS]
    sides = np.array([(one.right - one.left, one.bottom - one.top) for one in found])

    areas, ratios = sides.prod(axis=1) / 160_000, sides[:, 0] / sides[:, 1]

    assert 0.245 < areas.min() < 0.27 < 0.48 < areas.max() < 0.505
    assert 0.74 < ratios.min() < 0.8 < 1.25 < ratios.max() < 1.35


def test_a_rectangle_lies_anywhere_inside():
    found = [rectangle(Light(scale=(0.5, 0.5), ratio=(1, 1)), 20, 10, 1.0, seed) for seed in SEEDS]

    assert {one.left for one in found} == set(range(11))
    assert {(one.top, one.bottom) for one in found} == {(0, 10)}


def test_a_rectangle_has_the_shape_of_what_the_model_reads():
    found = rectangle(Light(scale=(0.1, 0.1), ratio=(1, 1)), 500, 500, 2.0, 7)

    assert (found.right - found.left) / (found.bottom - found.top) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_a_rectangle_fits_into_any_picture(size):
    for seed in SEEDS:
        found = rectangle(Light(), *size, 1.0, seed)

        assert 0 <= found.left < found.right <= size[0]
        assert 0 <= found.top < found.bottom <= size[1]


def test_half_of_the_pictures_are_mirrored_unless_settled_otherwise():
    assert 80 < sum(rectangle(Light(), 9, 9, 1.0, seed).mirrored for seed in SEEDS) < 120
    assert not any(rectangle(Light(flip=0), 9, 9, 1.0, seed).mirrored for seed in SEEDS)
    assert all(rectangle(Light(flip=1), 9, 9, 1.0, seed).mirrored for seed in SEEDS)


# --- rand-augment


def test_a_seed_changes_a_picture_always_in_the_same_way():
    made = [changed(scene(), RandAugment(), (0, 0, 0), Image.Resampling.BILINEAR, seed) for seed in (3, 4, 3)]

    assert made[0].tobytes() == made[2].tobytes()
    assert made[0].size == (64, 64)


def test_seeds_change_a_picture_in_many_ways():
    made = {changed(scene(), RandAugment(), (0, 0, 0), Image.Resampling.LANCZOS, seed).tobytes() for seed in range(30)}

    assert len(made) > 15


def test_more_magnitude_changes_more():
    def distance(magnitude):
        policy = RandAugment(magnitude=magnitude, deviation=0)
        made = [changed(scene(), policy, (0, 0, 0), Image.Resampling.BILINEAR, seed) for seed in range(60)]
        return np.mean([np.abs(np.asarray(one).astype(float) - np.asarray(scene())).mean() for one in made])

    assert distance(1) < distance(10)


def test_the_largest_magnitude_is_taken_by_every_change():
    policy = RandAugment(magnitude=10, layers=10, deviation=5)

    for seed in SEEDS:
        assert changed(scene(), policy, (0, 0, 0), Image.Resampling.BILINEAR, seed).size == (64, 64)


def test_the_global_generators_are_as_before():
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    changed(scene(), RandAugment(layers=5), (0, 0, 0), Image.Resampling.BILINEAR, 11)
    mixed(pictures(), range(6), policies(["mix-up", "cut-mix"]), range(6))
    rectangle(Light(), 9, 9, 1.0, 5)

    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_what_the_global_generators_hold_changes_nothing():
    random.seed(1), np.random.seed(2)
    one = changed(scene(), RandAugment(), (0, 0, 0), Image.Resampling.BILINEAR, 11)
    random.seed(7), np.random.seed(8)
    other = changed(scene(), RandAugment(), (0, 0, 0), Image.Resampling.BILINEAR, 11)

    assert one.tobytes() == other.tobytes()


# --- mixing


def test_mix_up_blends_each_row_with_its_partner_and_rounds():
    pixels = pictures()

    made = mixed(pixels, range(6), policies({"name": "mix-up", "alpha": 1}), range(6))

    shares = made.shares.astype(np.float64)[:, None, None, None]
    assert (made.pixels == np.rint(shares * pixels + (1 - shares) * pixels[made.partners])).all()
    assert (made.partners != np.arange(6)).all()


def test_cut_mix_shows_the_partner_in_a_rectangle_whose_area_the_share_leaves():
    pixels = np.repeat(np.arange(40, dtype=np.uint8), 3 * 64).reshape(40, 3, 8, 8)

    made = mixed(pixels, range(40), policies("cut-mix"), range(40))

    for row in range(40):
        foreign = made.pixels[row, 0] == made.partners[row]
        assert (foreign | (made.pixels[row, 0] == row)).all()
        assert made.shares[row] == pytest.approx(1 - foreign.mean())
        assert foreign.sum() == foreign.any(axis=0).sum() * foreign.any(axis=1).sum()


def test_of_two_ways_to_mix_each_row_draws_one():
    pixels = np.repeat(np.arange(200, dtype=np.uint8), 3 * 64).reshape(200, 3, 8, 8)

    made = mixed(pixels, range(200), policies(["cut-mix", {"name": "mix-up", "alpha": 50}]), SEEDS)

    blended = sum(row not in made.pixels[row] for row in SEEDS)
    assert 60 < blended < 140


def test_partners_and_shares_come_from_the_seed_of_the_row():
    once = mixed(pictures(), range(6), policies("mix-up"), range(6))
    again = mixed(pictures(), range(6), policies("mix-up"), [0, 1, 2, 13, 14, 15])

    assert (once.partners[:3] == again.partners[:3]).all()
    assert (once.shares[:3] == again.shares[:3]).all()
    assert (once.shares[3:] != again.shares[3:]).all()


def test_every_other_row_is_a_partner_at_times():
    partners = {int(mixed(pictures(4), range(4), policies("mix-up"), [seed] * 4).partners[1]) for seed in SEEDS}

    assert partners == {0, 2, 3}


def test_rows_without_a_picture_mix_with_nothing():
    pixels = pictures()

    made = mixed(pixels, [0, 2, 5], policies("mix-up"), range(6))

    assert (made.pixels[[1, 3, 4]] == pixels[[1, 3, 4]]).all()
    assert made.partners[[1, 3, 4]].tolist() == [1, 3, 4]
    assert made.shares[[1, 3, 4]].tolist() == [1, 1, 1]
    assert set(made.partners[[0, 2, 5]].tolist()) <= {0, 2, 5}


def test_a_row_alone_stays_as_it_is():
    made = mixed(pictures(1), [0], policies("cut-mix"), [5])

    assert (made.pixels == pictures(1)).all()
    assert (made.partners.tolist(), made.shares.tolist()) == ([0], [1.0])


def test_the_share_is_drawn_as_the_papers_say():
    def spread(policy):
        return np.std([mixed(pictures(2), range(2), policies(policy), [seed] * 2).shares[0] for seed in SEEDS])

    assert spread(MixUp(alpha=50)) < 0.1 < spread(MixUp(alpha=1)) < 0.4 < spread(MixUp(alpha=0.2))
    assert spread(CutMix(alpha=50)) < spread(CutMix(alpha=0.5))
