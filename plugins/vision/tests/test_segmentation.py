"""Segmentation: masks are encoded, aligned with their images, and predicted for each pixel."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import taskgraft as tg
from taskgraft.plugin import (
    FeatureDescription,
    Features,
    GridGeometry,
    InvalidRows,
    InvalidTargets,
    Layout,
    TaskgraftError,
)
from taskgraft.testing import HeadLaws
from taskgraft_vision.errors import VisionError
from taskgraft_vision.masks import load_mask
from taskgraft_vision.plugin import taskgraft_heads
from taskgraft_vision.segmentation_head import SegmentationHead, SegmentationTarget
from taskgraft_vision.settings import SegmentationConfig

pytestmark = pytest.mark.slow

SEGMENTATION = next(spec for spec in taskgraft_heads() if spec.name == "segmentation")

GRID = FeatureDescription(Layout.GRID, (3,), strides=(1,))
PYRAMID = FeatureDescription(Layout.PYRAMID, (3, 5), strides=(4, 8))
IDENTITY = [[1.0, 0, 0], [0, 1, 0]]

MASK = np.random.default_rng(5).integers(0, 2, (6, 8))
"""A mask of zeros and ones without any symmetry."""


def masks_of(count):
    """Masks of different sizes with the classes 0, 3 and 7 and ignored pixels."""
    rng = np.random.default_rng(0)
    return [rng.choice([0, 3, 7, 255], (5 + row, 9 - row)) for row in range(count)]


def save(path, mask):
    Image.fromarray(np.asarray(mask, np.uint8)).save(path)
    return str(path)


def segmentation(**settings):
    return SegmentationHead(SegmentationConfig(**settings))


def fit_targets(*masks, **settings):
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
        return {"mask": [save(tmp_path / f"{row}.png", mask) for row, mask in enumerate(masks_of(4))]}


class TestEither(SegmentationLaws):
    @pytest.fixture
    def config(self):
        return SegmentationConfig(channels=4)

    @pytest.fixture
    def targets(self):
        return {"mask": [mask.tolist() for mask in masks_of(4)]}


# --- targets


def test_the_classes_are_the_ids_that_occur_except_the_ignored_one():
    assert fit_targets([[7, 3], [255, 0]], [[3, 3]]) == SegmentationTarget(
        column="mask", vocabulary=(0, 3, 7), ignore=255, ignored=1
    )
    assert fit_targets([[7, 3], [255, 0]], ignore=0).vocabulary == (3, 7, 255)


def test_ignored_pixels_are_reported_unless_their_value_was_named():
    masks = [[[7, 3], [255, 0]], [[3, 3]], [[255, 3]]]
    assert segmentation().summary(fit_targets(*masks)) == (
        "Pixels of 255 are ignored; 2 training masks have some. If that is a class, set head.ignore to another number (-1).",
    )
    assert segmentation(ignore=255).summary(fit_targets(*masks, ignore=255)) == ()
    assert segmentation().summary(fit_targets([[0, 1]])) == ()


@pytest.mark.parametrize("mark", [-1, -100])
def test_a_negative_value_is_no_class(mark):
    with pytest.raises(VisionError) as caught:
        fit_targets([[0, 1]], [[mark, 1]])
    assert str(caught.value) == (
        f"The masks of the target column 'mask' have the negative value {mark} (1 of 2 masks), but classes are numbers from 0. "
        f"If it marks pixels without a class, set head.ignore = {mark}."
    )
    assert fit_targets([[0, 1]], [[mark, 1]], ignore=mark).vocabulary == (0, 1)


def test_masks_of_different_sizes_are_padded_with_ignored_pixels():
    target = fit_targets([[0, 3]], [[7], [255]])

    batch = segmentation().encode({"mask": [[[3, 0]], [[7], [255]]]}, target)

    assert batch["mask"].tolist() == [[[2, 1], [0, 0]], [[3, 0], [0, 0]]]
    assert batch["mask"].dtype == torch.uint8
    assert batch.axes == {"mask": ("height", "width")}
    assert {axis: length.tolist() for axis, length in batch.lengths.items()} == {"height": [1, 2], "width": [2, 1]}


@pytest.mark.parametrize(("classes", "dtype"), [(255, torch.uint8), (256, torch.int16), (32_768, torch.int32)])
def test_encoded_masks_have_the_smallest_dtype_that_fits(classes, dtype):
    mask = np.arange(classes)[None]
    target = fit_targets(mask, ignore=-1)

    encoded = segmentation().encode({"mask": [mask]}, target)

    assert encoded["mask"].dtype == dtype
    assert encoded["mask"].tolist() == [(mask + 1).tolist()]


@pytest.mark.parametrize(("ignore", "dtype"), [(255, np.uint8), (-1, np.int16), (1000, np.uint16)])
def test_decoded_targets_are_the_raw_masks_in_the_smallest_dtype_that_fits(ignore, dtype):
    masks = [np.array([[0, ignore, 200]]), np.array([[200], [0]])]
    target = fit_targets(*masks, ignore=ignore)

    decoded = segmentation().decode_targets(segmentation().encode({"mask": masks}, target), target)

    assert [mask.tolist() for mask in decoded] == [mask.tolist() for mask in masks]
    assert {mask.dtype for mask in decoded} == {np.dtype(dtype)}


def test_a_class_without_training_masks_is_invalid():
    target = fit_targets([[0, 3]])

    with pytest.raises(InvalidTargets) as caught:
        segmentation().encode({"mask": [[[0, 255]], [[3, 9]]]}, target)

    assert str(caught.value) == "row 1: the label 9 does not occur in the training split, which has 0, 3"


@pytest.mark.parametrize(
    ("mask", "settings", "message"),
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
def test_fewer_than_two_classes_are_an_error(mask, settings, message):
    with pytest.raises(VisionError) as caught:
        fit_targets(mask, **settings)

    assert str(caught.value) == f"The masks of the target column 'mask' {message}"


def test_black_and_white_masks_work_if_white_is_not_ignored():
    assert fit_targets([[0, 255]], ignore=-1).vocabulary == (0, 255)


def test_two_target_columns_are_an_error():
    with pytest.raises(TaskgraftError) as caught:
        segmentation().fit_targets({"mask": [[[0, 1]]], "other": [[[0, 1]]]})

    assert str(caught.value) == "'segmentation' reads one target column, but was given 2: mask, other."


# --- alignment of masks and images


def build(target, feature=GRID):
    return segmentation().build_module(feature, target)


def features_at(*sizes, transform=IDENTITY, cells=(6, 8)):
    """Features with this position in images of these sizes."""
    geometry = GridGeometry(torch.tensor([transform] * len(sizes)), torch.tensor(sizes))
    return Features(Layout.GRID, (torch.zeros(len(sizes), 3, *cells),), None, geometry)


def certain_logits(*masks):
    """Logits that are certain of masks of 0 and 1: (batch, 2, height, width)."""
    labels = torch.tensor(np.stack(masks))
    return torch.stack([labels == 0, labels == 1], 1) * 100.0


def loss_of(logits, masks, features):
    """Total and weight of the loss."""
    target = fit_targets([[0, 1]])
    loss = build(target).loss(logits, segmentation().encode({"mask": masks}, target), features)
    return float(loss.total), float(loss.weight)


def predict(logits, features):
    return build(fit_targets([[0, 1]])).predict(logits, features).values


def test_logits_that_equal_the_mask_have_no_loss_and_predict_it():
    features = features_at((6, 8))

    assert loss_of(certain_logits(MASK), [MASK], features) == (0, 48)
    assert (predict(certain_logits(MASK), features)[0] == MASK).all()


def test_a_flipped_image_is_compared_with_its_flipped_mask():
    features = features_at((6, 8), transform=[[-1.0, 0, 0], [0, 1, 0]])
    flipped = MASK[:, ::-1].copy()

    assert loss_of(certain_logits(flipped), [MASK], features) == (0, 48)
    assert loss_of(certain_logits(MASK), [MASK], features)[0] > 1000
    assert (predict(certain_logits(flipped), features)[0] == MASK).all()


def test_a_rotated_image_is_compared_with_its_rotated_mask():
    features = features_at((6, 8), transform=[[0.0, 1, 0], [-1, 0, 0]], cells=(8, 6))
    rotated = np.array([[MASK[5 - column, line] for column in range(6)] for line in range(8)])

    assert loss_of(certain_logits(rotated), [MASK], features) == (0, 48)
    assert (predict(certain_logits(rotated), features)[0] == MASK).all()


def test_a_cropped_image_is_compared_with_its_part_of_the_mask():
    features = features_at((6, 8), transform=[[0.5, 0, -0.5], [0, 0.5, 0.5]], cells=(3, 4))
    lower_left = MASK[3:, :4]

    assert loss_of(certain_logits(lower_left), [MASK], features) == (0, 12)
    assert loss_of(certain_logits(MASK[:3, 4:]), [MASK], features)[0] > 100
    assert (predict(certain_logits(lower_left), features)[0][3:, :4] == lower_left).all()


def test_outside_the_grid_the_nearest_prediction_is_used():
    features = features_at((1, 4), transform=[[0.5, 0, 0], [0, 1, 0]], cells=(1, 2))

    assert predict(certain_logits([[0, 1]]), features)[0].tolist() == [[0, 0, 1, 1]]


def test_padding_outside_the_image_does_not_count():
    features = features_at((6, 8), transform=[[2.0, 0, 0], [0, 2, 0]], cells=(12, 16))
    logits = certain_logits(np.pad(MASK, ((3, 3), (4, 4)), constant_values=1))

    assert loss_of(logits, [MASK], features) == (0, 48)
    assert (predict(logits, features)[0] == MASK).all()


def test_masks_of_different_sizes_fit_their_own_images():
    half = MASK[:3, :4]
    features = features_at((3, 4), (6, 8))
    logits = certain_logits(np.kron(half, np.ones((2, 2), np.int64)), MASK)

    assert loss_of(logits, [half, MASK], features) == (0, 96)
    first, second = predict(logits, features)
    assert (first == half).all()
    assert (second == MASK).all()


def test_ignored_pixels_have_no_loss():
    mask = MASK.copy()
    mask[:2] = 255
    wrong_above = MASK.copy()
    wrong_above[:2] = 1 - MASK[:2]

    assert loss_of(certain_logits(wrong_above), [mask], features_at((6, 8))) == (0, 32)
    assert loss_of(certain_logits(MASK), [np.full_like(MASK, 255)], features_at((6, 8))) == (0, 0)


def test_the_loss_is_cross_entropy_in_nats():
    total, weight = loss_of(torch.zeros(1, 2, 6, 8), [MASK], features_at((6, 8)))

    assert total / weight == pytest.approx(np.log(2))


def test_mixed_precision_does_not_move_pixels():
    wide = np.tile(np.array([0, 0, 1, 1, 0, 1]), 300)[None]
    features = features_at(wide.shape, cells=wide.shape)

    with torch.autocast("cpu", torch.bfloat16):
        assert loss_of(certain_logits(wide), [wide], features) == (0, 1800)
        assert (predict(certain_logits(wide), features)[0] == wide).all()


def test_the_loss_covers_every_pixel_that_the_model_read():
    target = fit_targets([[0, 1]])
    batch = segmentation().encode({"mask": [MASK]}, target)

    loss = build(target, PYRAMID).loss(torch.zeros(1, 2, 2, 3), batch, features_at((6, 8)))

    assert float(loss.weight) == 2 * 4 * 3 * 4


def test_without_geometry_the_grid_covers_the_image():
    target = fit_targets([[0, 1]])
    module = build(target, replace(GRID, strides=(2,)))
    features = Features(Layout.GRID, (torch.zeros(1, 3, 1, 3),))
    mask = np.array([[0, 1, 0]])

    prediction = module.predict(certain_logits(mask), features).values[0]
    loss = module.loss(certain_logits(mask), segmentation().encode({"mask": [mask]}, target), features)

    assert prediction.tolist() == [[0, 0, 1, 1, 0, 0]] * 2
    assert (float(loss.total), float(loss.weight)) == (0, 12)


def test_a_large_image_is_predicted_in_bands(monkeypatch):
    monkeypatch.setattr("taskgraft_vision.segmentation_head.PIXELS_PER_BAND", 16)

    assert (predict(certain_logits(MASK), features_at((6, 8)))[0] == MASK).all()


def test_predictions_are_class_ids_without_probabilities():
    predictions = build(fit_targets([[4, 300]])).predict(certain_logits(MASK), features_at((6, 8)))

    assert (predictions.values[0] == np.where(MASK == 1, 300, 4)).all()
    assert predictions.values[0].dtype == np.uint16
    assert (predictions.probabilities, predictions.classes) == (None, (4, 300))


def test_each_level_is_divided_by_its_root_mean_square():
    module = build(fit_targets([[0, 1]]), PYRAMID)

    module.fit_feature_scale(Features(Layout.PYRAMID, (torch.full((1, 3, 4, 4), -5.0), torch.zeros(1, 5, 2, 2))))

    assert module.scale.tolist() == [5, 1]


# --- with a backbone


def backbone(**settings):
    return {"name": "timm", "model": "test_resnet", "weights": "random", "image_size": 64} | settings


def vit():
    """A transformer, which has no pyramid."""
    sizes = {"depth": 1, "embed_dim": 12, "num_heads": 2}
    return backbone(model="vit_tiny_patch16_224", arguments=sizes)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A folder of noisy images of a bright square, and a table of them."""
    folder = tmp_path_factory.mktemp("squares")
    lines = ["image,mask"]
    for row in range(16):
        rng = np.random.default_rng(row)
        height, width = rng.integers(40, 70, 2)
        mask = np.zeros((height, width), np.uint8)
        top, left = rng.integers(0, 20, 2)
        mask[top : top + 24, left : left + 24] = 1
        pixels = rng.integers(0, 100, (height, width, 3)) + 150 * mask[:, :, None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.jpg")
        save(folder / f"{row}.png", mask)
        lines.append(f"{row}.jpg,{row}.png")
    (folder / "rows.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def model(squares):
    """A model trained to segment the square."""
    full = {"name": "full", "learning_rate": 3e-3, "head_learning_rate": 1e-2}
    model = tg.compose(backbone(augment="light"), "segmentation", full)
    model.fit(squares / "rows.csv", target="mask", training={"epochs": 15, "batch_size": 8, "workers": 0}, quiet=True)
    return model


def test_a_model_learns_to_segment_the_square(model, squares):
    masks = [load_mask(str(squares / f"{row}.png")) for row in range(16)]
    background = np.mean(np.concatenate([mask.ravel() for mask in masks]) == 0)

    evaluation = model.evaluate(squares / "rows.csv", resamples=20)

    assert background / 2 < 0.45  # the mean of this and 0: what predicting only background reaches
    assert evaluation["mean_iou"] > 0.6
    low, high = evaluation.intervals["mean_iou"]
    assert low <= evaluation["mean_iou"] <= high
    assert (evaluation.confusion, evaluation.per_class) == (None, {})
    assert evaluation.to_json()["metrics"].keys() == {"mean_iou", "pixel_accuracy"}


def test_predictions_are_the_same_after_saving_and_loading(model, squares, tmp_path):
    images = [str(squares / f"{row}.jpg") for row in range(3)]
    before = model.predict(images)
    model.save(tmp_path / "saved")

    after = tg.load(tmp_path / "saved").predict(images)

    assert [value.shape for value in before] == [load_mask(str(squares / f"{row}.png")).shape for row in range(3)]
    assert all(np.array_equal(first, second) for first, second in zip(before, after, strict=True))


def test_a_missing_mask_is_reported_with_its_line(squares):
    lines = (squares / "rows.csv").read_text().replace(",3.png", ",gone.png")
    (squares / "bad.csv").write_text(lines)

    with pytest.raises(InvalidRows) as caught:
        tg.compose(backbone(), "segmentation", "full").fit(squares / "bad.csv", target="mask", quiet=True)

    assert str(caught.value) == (
        f"bad.csv, line 5: there is no file {squares}/gone.png.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_the_pyramid_is_read_if_there_is_one():
    layouts = [
        tg.compose(base, {"name": "segmentation", "layout": layout}, "full")._composed.layout
        for base, layout in ((backbone(), None), (backbone(), "grid"), (vit(), None))
    ]

    assert layouts == [Layout.PYRAMID, Layout.GRID, Layout.GRID]


def test_augmentation_that_moves_pixels_without_a_record_is_an_error():
    with pytest.raises(TaskgraftError) as caught:
        tg.compose(backbone(augment="rand-augment"), "segmentation", "full")

    assert str(caught.value) == (
        "The augmentation of 'timm:test_resnet' moves positions, but 'segmentation' has a target per position of pyramid "
        "features.\nChoose an augmentation that moves the targets along, or none."
    )


@pytest.mark.parametrize("policy", ["mix-up", "cut-mix"])
def test_mixing_images_is_an_error(policy):
    with pytest.raises(TaskgraftError) as caught:
        tg.compose(backbone(augment=policy), "segmentation", "full")

    assert str(caught.value) == (
        "'timm:test_resnet' mixes training examples (mixup), but 'segmentation' does not support soft labels.\n"
        "Choose another augmentation, or a head that supports them (classification)."
    )


@pytest.mark.parametrize("name", ["test_convnext2", "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("layout", [None, "grid"])
def test_full_training_freezes_parameters_that_the_grids_do_not_use(squares, name, layout):
    """A last norm or convolution that only the pooled vector needs gets no gradient here."""
    backbone = {"name": f"timm:{name}", "weights": "random", "image_size": 32, "crop_mode": "squash", "crop": 1.0}
    model = tg.compose(backbone, {"name": "segmentation", "layout": layout}, "full")
    model.fit(squares / "rows.csv", target="mask", training={"steps": 2, "batch_size": 8, "workers": 0}, quiet=True)

    assert model.fitted is not None
