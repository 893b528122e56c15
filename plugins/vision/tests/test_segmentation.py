"""Segmentation: masks learned from and encoded, aligned with their pictures, and predicted for each pixel of those."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import taskgraft as tg
from taskgraft.composition.resolve import CompositionError
from taskgraft.contract.targets import TargetError
from taskgraft.plugin import FeatureDescription, Features, GridGeometry, InvalidRows, InvalidTargets, Layout
from taskgraft.testing import HeadLaws
from taskgraft_vision.masks import load_mask
from taskgraft_vision.plugin import taskgraft_heads
from taskgraft_vision.segmentation_head import OneClass, SegmentationHead, SegmentationTarget
from taskgraft_vision.settings import SegmentationConfig

SEGMENTATION = next(spec for spec in taskgraft_heads() if spec.name == "segmentation")

GRID = FeatureDescription(Layout.GRID, (3,), strides=(1,))
PYRAMID = FeatureDescription(Layout.PYRAMID, (3, 5), strides=(4, 8))
IDENTITY = [[1.0, 0, 0], [0, 1, 0]]

DRAWN = np.random.default_rng(5).integers(0, 2, (6, 8))
"""A mask of zeros and ones that looks like none of its mirror images."""


def masks_of(count):
    """Masks of the classes 0, 3 and 7, some pixels ignored, each of another size."""
    chance = np.random.default_rng(0)
    return [chance.choice([0, 3, 7, 255], (5 + row, 9 - row)) for row in range(count)]


def saved(path, mask):
    Image.fromarray(np.asarray(mask, np.uint8)).save(path)
    return str(path)


def segmentation(**settings):
    return SegmentationHead(SegmentationConfig(**settings))


def learned(*masks, **settings):
    return segmentation(**settings).fit_targets({"mask": list(masks)})


# --- the conformance kit


class SegmentationLaws(HeadLaws):
    @pytest.fixture
    def head(self, config):
        return SEGMENTATION.build(config)

    @pytest.fixture
    def spec(self):
        return SEGMENTATION

    @pytest.fixture
    def targets(self):
        return {"mask": masks_of(4)}


class TestPyramid(SegmentationLaws):
    @pytest.fixture
    def config(self):
        return SegmentationConfig(layout="pyramid", channels=4)


class TestGrid(SegmentationLaws):
    @pytest.fixture
    def config(self):
        return SegmentationConfig(layout="grid", channels=4)

    @pytest.fixture
    def targets(self, tmp_path):
        return {"mask": [saved(tmp_path / f"{row}.png", mask) for row, mask in enumerate(masks_of(4))]}


class TestEither(SegmentationLaws):
    @pytest.fixture
    def config(self):
        return SegmentationConfig(channels=4)

    @pytest.fixture
    def targets(self):
        return {"mask": [mask.tolist() for mask in masks_of(4)]}


# --- what is learned and encoded


def test_the_classes_are_the_numbers_that_occur_but_for_the_ignored_one():
    assert learned([[7, 3], [255, 0]], [[3, 3]]) == SegmentationTarget(column="mask", vocabulary=(0, 3, 7), ignore=255)
    assert learned([[7, 3], [255, 0]], ignore=0).vocabulary == (3, 7, 255)


def test_masks_of_unlike_sizes_are_padded_with_what_is_ignored():
    target = learned([[0, 3]], [[7], [255]])

    batch = segmentation().encode({"mask": [[[3, 0]], [[7], [255]]]}, target)

    assert batch["mask"].tolist() == [[[2, 1], [0, 0]], [[3, 0], [0, 0]]]
    assert batch["mask"].dtype == torch.uint8
    assert batch.axes == {"mask": ("height", "width")}
    assert {axis: length.tolist() for axis, length in batch.lengths.items()} == {"height": [1, 2], "width": [2, 1]}


@pytest.mark.parametrize(("classes", "dtype"), [(255, torch.uint8), (256, torch.int16), (32_768, torch.int32)])
def test_encoded_masks_have_the_smallest_dtype_that_fits(classes, dtype):
    mask = np.arange(classes)[None]
    target = learned(mask, ignore=-1)

    encoded = segmentation().encode({"mask": [mask]}, target)

    assert encoded["mask"].dtype == dtype
    assert encoded["mask"].tolist() == [(mask + 1).tolist()]


@pytest.mark.parametrize(("ignore", "dtype"), [(255, np.uint8), (-1, np.int16), (1000, np.uint16)])
def test_truth_is_the_raw_mask_in_the_smallest_dtype_that_fits(ignore, dtype):
    masks = [np.array([[0, ignore, 200]]), np.array([[200], [0]])]
    target = learned(*masks, ignore=ignore)

    truth = segmentation().decode_targets(segmentation().encode({"mask": masks}, target), target)

    assert [mask.tolist() for mask in truth] == [mask.tolist() for mask in masks]
    assert {mask.dtype for mask in truth} == {np.dtype(dtype)}


def test_a_class_that_no_training_mask_shows_is_refused():
    target = learned([[0, 3]])

    with pytest.raises(InvalidTargets) as caught:
        segmentation().encode({"mask": [[[0, 255]], [[3, 9]]]}, target)

    assert str(caught.value) == "row 1: the label 9 does not occur in the training split, which has 0, 3"


@pytest.mark.parametrize(
    ("mask", "settings", "said"),
    [
        ([[4, 4]], {}, "have only the class 4 in the training split; segmentation needs two or more."),
        (
            [[0, 255]],
            {},
            "have only the class 0 in the training split; segmentation needs two or more.\n"
            "Pixels of 255 are ignored. If that is a class, set head.ignore to another number (-1).",
        ),
        (
            [[8, 8]],
            {"ignore": 8},
            "have no class at all in the training split; segmentation needs two or more.\n"
            "Pixels of 8 are ignored. If that is a class, set head.ignore to another number (-1).",
        ),
    ],
)
def test_masks_without_two_classes_are_refused(mask, settings, said):
    with pytest.raises(OneClass) as caught:
        learned(mask, **settings)

    assert str(caught.value) == f"The masks of the target column 'mask' {said}"


def test_black_and_white_masks_are_learned_from_when_white_is_not_ignored():
    assert learned([[0, 255]], ignore=-1).vocabulary == (0, 255)


def test_two_target_columns_are_refused():
    with pytest.raises(TargetError) as caught:
        segmentation().fit_targets({"mask": [[[0, 1]]], "other": [[[0, 1]]]})

    assert str(caught.value) == "'segmentation' reads one target column, but was given 2: mask, other."


# --- masks and their pictures


def built(target, feature=GRID):
    return segmentation().build_module(feature, target)


def placed(*sizes, transform=IDENTITY, cells=(6, 8)):
    """Features that lie somewhere in pictures of some sizes."""
    place = GridGeometry(torch.tensor([transform] * len(sizes)), torch.tensor(sizes))
    return Features(Layout.GRID, (torch.zeros(len(sizes), 3, *cells),), None, place)


def sure(*masks):
    """Logits that leave no doubt of masks of 0 and 1, (batch, 2, height, width)."""
    wanted = torch.tensor(np.stack(masks))
    return torch.stack([wanted == 0, wanted == 1], 1) * 100.0


def judged(logits, masks, features):
    """The loss of logits: its total and its weight."""
    target = learned([[0, 1]])
    loss = built(target).loss(logits, segmentation().encode({"mask": masks}, target), features)
    return float(loss.total), float(loss.weight)


def predicted(logits, features):
    return built(learned([[0, 1]])).predict(logits, features).values


def test_logits_that_equal_the_mask_have_no_loss_and_give_it_back():
    features = placed((6, 8))

    assert judged(sure(DRAWN), [DRAWN], features) == (0, 48)
    assert (predicted(sure(DRAWN), features)[0] == DRAWN).all()


def test_a_mirrored_picture_is_compared_with_its_mirrored_mask():
    features = placed((6, 8), transform=[[-1.0, 0, 0], [0, 1, 0]])
    mirrored = DRAWN[:, ::-1].copy()

    assert judged(sure(mirrored), [DRAWN], features) == (0, 48)
    assert judged(sure(DRAWN), [DRAWN], features)[0] > 1000
    assert (predicted(sure(mirrored), features)[0] == DRAWN).all()


def test_a_turned_picture_is_compared_with_its_turned_mask():
    features = placed((6, 8), transform=[[0.0, 1, 0], [-1, 0, 0]], cells=(8, 6))
    turned = np.array([[DRAWN[5 - column, line] for column in range(6)] for line in range(8)])

    assert judged(sure(turned), [DRAWN], features) == (0, 48)
    assert (predicted(sure(turned), features)[0] == DRAWN).all()


def test_a_cropped_picture_is_compared_with_its_part_of_the_mask():
    features = placed((6, 8), transform=[[0.5, 0, -0.5], [0, 0.5, 0.5]], cells=(3, 4))
    lower_left = DRAWN[3:, :4]

    assert judged(sure(lower_left), [DRAWN], features) == (0, 12)
    assert judged(sure(DRAWN[:3, 4:]), [DRAWN], features)[0] > 100
    assert (predicted(sure(lower_left), features)[0][3:, :4] == lower_left).all()


def test_where_the_picture_reaches_beyond_the_grid_the_nearest_prediction_holds():
    features = placed((1, 4), transform=[[0.5, 0, 0], [0, 1, 0]], cells=(1, 2))

    assert predicted(sure([[0, 1]]), features)[0].tolist() == [[0, 0, 1, 1]]


def test_what_the_model_read_beyond_the_picture_does_not_count():
    features = placed((6, 8), transform=[[2.0, 0, 0], [0, 2, 0]], cells=(12, 16))
    logits = sure(np.pad(DRAWN, ((3, 3), (4, 4)), constant_values=1))

    assert judged(logits, [DRAWN], features) == (0, 48)
    assert (predicted(logits, features)[0] == DRAWN).all()


def test_masks_of_unlike_sizes_each_fit_their_own_picture():
    half = DRAWN[:3, :4]
    features = placed((3, 4), (6, 8))
    logits = sure(np.kron(half, np.ones((2, 2), np.int64)), DRAWN)

    assert judged(logits, [half, DRAWN], features) == (0, 96)
    first, second = predicted(logits, features)
    assert (first == half).all()
    assert (second == DRAWN).all()


def test_ignored_pixels_are_not_learned_from():
    mask = DRAWN.copy()
    mask[:2] = 255
    wrong_above = DRAWN.copy()
    wrong_above[:2] = 1 - DRAWN[:2]

    assert judged(sure(wrong_above), [mask], placed((6, 8))) == (0, 32)
    assert judged(sure(DRAWN), [np.full_like(DRAWN, 255)], placed((6, 8))) == (0, 0)


def test_the_loss_is_cross_entropy_in_nats():
    total, weight = judged(torch.zeros(1, 2, 6, 8), [DRAWN], placed((6, 8)))

    assert total / weight == pytest.approx(np.log(2))


def test_mixed_precision_does_not_move_pixels():
    wide = np.tile(np.array([0, 0, 1, 1, 0, 1]), 300)[None]
    features = placed(wide.shape, cells=wide.shape)

    with torch.autocast("cpu", torch.bfloat16):
        assert judged(sure(wide), [wide], features) == (0, 1800)
        assert (predicted(sure(wide), features)[0] == wide).all()


def test_the_logits_are_compared_at_every_pixel_that_the_model_read():
    target = learned([[0, 1]])
    batch = segmentation().encode({"mask": [DRAWN]}, target)

    loss = built(target, PYRAMID).loss(torch.zeros(1, 2, 2, 3), batch, placed((6, 8)))

    assert float(loss.weight) == 2 * 4 * 3 * 4


def test_without_a_place_the_grid_covers_the_picture():
    target = learned([[0, 1]])
    module = built(target, replace(GRID, strides=(2,)))
    features = Features(Layout.GRID, (torch.zeros(1, 3, 1, 3),))
    mask = np.array([[0, 1, 0]])

    found = module.predict(sure(mask), features).values[0]
    loss = module.loss(sure(mask), segmentation().encode({"mask": [mask]}, target), features)

    assert found.tolist() == [[0, 0, 1, 1, 0, 0]] * 2
    assert (float(loss.total), float(loss.weight)) == (0, 12)


def test_a_picture_of_many_pixels_is_predicted_band_by_band(monkeypatch):
    monkeypatch.setattr("taskgraft_vision.segmentation_head.PIXELS_PER_BAND", 16)

    assert (predicted(sure(DRAWN), placed((6, 8)))[0] == DRAWN).all()


def test_predictions_are_class_numbers_without_probabilities():
    found = built(learned([[4, 300]])).predict(sure(DRAWN), placed((6, 8)))

    assert (found.values[0] == np.where(DRAWN == 1, 300, 4)).all()
    assert found.values[0].dtype == np.uint16
    assert (found.probabilities, found.classes) == (None, (4, 300))


def test_each_level_is_divided_by_its_root_mean_square():
    module = built(learned([[0, 1]]), PYRAMID)

    module.fit_feature_scale(Features(Layout.PYRAMID, (torch.full((1, 3, 4, 4), -5.0), torch.zeros(1, 5, 2, 2))))

    assert module.scale.tolist() == [5, 1]


# --- with a backbone


def backbone(**settings):
    return {"name": "timm", "model": "test_resnet", "weights": "random", "image_size": 64} | settings


def flat():
    """A transformer, which has no pyramid."""
    sizes = {"depth": 1, "embed_dim": 12, "num_heads": 2}
    return backbone(model="vit_tiny_patch16_224", arguments=sizes)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with noisy pictures of a bright square, and a table of them."""
    folder = tmp_path_factory.mktemp("drawn")
    lines = ["image,mask"]
    for row in range(16):
        chance = np.random.default_rng(row)
        height, width = chance.integers(40, 70, 2)
        mask = np.zeros((height, width), np.uint8)
        top, left = chance.integers(0, 20, 2)
        mask[top : top + 24, left : left + 24] = 1
        pixels = chance.integers(0, 100, (height, width, 3)) + 150 * mask[:, :, None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.jpg")
        saved(folder / f"{row}.png", mask)
        lines.append(f"{row}.jpg,{row}.png")
    (folder / "rows.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def model(drawn):
    """A model that learned to find the square."""
    full = {"name": "full", "learning_rate": 3e-3, "head_learning_rate": 1e-2}
    model = tg.compose(backbone(augment="light"), "segmentation", full)
    model.fit(drawn / "rows.csv", target="mask", training={"epochs": 15, "batch_size": 8, "workers": 0}, quiet=True)
    return model


def test_a_model_learns_where_the_square_is(model, drawn):
    masks = [load_mask(str(drawn / f"{row}.png")) for row in range(16)]
    background = np.mean(np.concatenate([mask.ravel() for mask in masks]) == 0)

    found = model.evaluate(drawn / "rows.csv", resamples=20)

    assert background / 2 < 0.45  # the mean of this and 0: what nothing but background reaches
    assert found["mean_iou"] > 0.6
    low, high = found.intervals["mean_iou"]
    assert low <= found["mean_iou"] <= high
    assert (found.confusion, found.per_class) == (None, {})
    assert found.to_json()["metrics"].keys() == {"mean_iou", "pixel_accuracy"}


def test_a_saved_model_predicts_the_same_for_each_pixel_of_a_picture(model, drawn, tmp_path):
    images = [str(drawn / f"{row}.jpg") for row in range(3)]
    before = model.predict(images)
    model.save(tmp_path / "saved")

    after = tg.load(tmp_path / "saved").predict(images)

    assert [value.shape for value in before] == [load_mask(str(drawn / f"{row}.png")).shape for row in range(3)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_mask_that_is_missing_is_told_with_its_line(drawn):
    lines = (drawn / "rows.csv").read_text().replace(",3.png", ",gone.png")
    (drawn / "bad.csv").write_text(lines)

    with pytest.raises(InvalidRows) as caught:
        tg.compose(backbone(), "segmentation", "full").fit(drawn / "bad.csv", target="mask", quiet=True)

    assert str(caught.value) == (
        f"bad.csv, line 5: there is no file {drawn}/gone.png.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_the_pyramid_is_read_where_there_is_one():
    layouts = [
        tg.compose(one, {"name": "segmentation", "layout": layout}, "full")._composed.layout
        for one, layout in ((backbone(), None), (backbone(), "grid"), (flat(), None))
    ]

    assert layouts == [Layout.PYRAMID, Layout.GRID, Layout.GRID]


def test_changes_that_move_pixels_without_a_trace_are_refused():
    with pytest.raises(CompositionError) as caught:
        tg.compose(backbone(augment="rand-augment"), "segmentation", "full")

    assert str(caught.value) == (
        "The augmentation of 'timm:test_resnet' moves positions, but 'segmentation' has a target per position of pyramid "
        "features.\nChoose an augmentation that moves the targets along, or none."
    )


@pytest.mark.parametrize("policy", ["mix-up", "cut-mix"])
def test_mixed_pictures_are_refused(policy):
    with pytest.raises(CompositionError) as caught:
        tg.compose(backbone(augment=policy), "segmentation", "full")

    assert str(caught.value) == (
        "'timm:test_resnet' mixes training examples (mixup), but 'segmentation' does not support soft labels.\n"
        "Choose another augmentation, or a head that supports them (classification)."
    )


@pytest.mark.parametrize("name", ["test_convnext2", "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("layout", [None, "grid"])
def test_full_training_keeps_still_what_the_grids_do_not_need(drawn, name, layout):
    """A last norm or convolution that only the pooled vector needs gets no gradient here."""
    backbone = {"name": f"timm:{name}", "weights": "random", "image_size": 32, "crop_mode": "squash", "crop": 1.0}
    model = tg.compose(backbone, {"name": "segmentation", "layout": layout}, "full")
    model.fit(drawn / "rows.csv", target="mask", training={"steps": 2, "batch_size": 8, "workers": 0}, quiet=True)

    assert model.fitted is not None
