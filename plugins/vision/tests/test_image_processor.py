import io
import json
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch.nn.functional import adaptive_avg_pool2d, affine_grid

from taskgraft.plugin import Config
from taskgraft_vision.augmentation_settings import Policies, PolicyList
from taskgraft_vision.processor import Geometry, ImageProcessor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPES = [(64, 64), (50, 77), (77, 50), (20, 33), (33, 101), (7, 3), (1, 1)]


class Settings(Config):
    augment: Policies = ()


def noise(height, width):
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gradient(height, width):
    """An image whose red increases with x and green with y, from 0 at one edge to 255 at the other."""
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    return np.rint(np.stack([x, y, 0 * x], axis=2) * 255).astype(np.uint8)


def processor(*policies, **geometry):
    return ImageProcessor(
        Geometry(**{"height": 32, "width": 32, **geometry}), PolicyList(Settings(augment=policies).augment)
    )


def pixels(processed):
    return processed.batch["pixels"]


def largest_error(batch):
    """Largest distance, in pixels of the result, of the pixels of a gradient from their position according to ``place``.

    Averaged over sixteenths of the image, without its edges, where resizing flattens the gradient.
    """
    height, width = batch["pixels"].shape[2:]
    position = affine_grid(batch["place"], (len(batch), 3, height, width), align_corners=False).permute(0, 3, 1, 2)
    error = batch["pixels"][:, :2] - (position + 1) / 2 * 255
    inside = (position.abs() < 0.9).all(dim=1, keepdim=True)
    per_pixel = batch["place"][:, [0, 1], [0, 1]].abs() * 255 / torch.tensor([width, height])
    averages = adaptive_avg_pool2d(error * inside, 4).abs().amax(dim=(2, 3))
    return float((averages / per_pixel).max())


# --- pixels


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(32, 32), (31, 31), (30, 44), (48, 24)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_equal_those_of_timm(mode, size, interpolation):
    for crop in (0.875, 0.95, 1.0):
        transform = create_transform(
            (3, *size), crop_pct=crop, crop_mode=mode, interpolation=interpolation, mean=MEAN, std=DEVIATION
        )
        images = [noise(*shape) for shape in SHAPES]

        result = pixels(
            ImageProcessor(Geometry(*size, crop, mode, interpolation), PolicyList()).prepare({"image": images})
        )

        normalized = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = normalized * torch.tensor(DEVIATION)[:, None, None] + torch.tensor(MEAN)[:, None, None]
        assert result.dtype == torch.uint8
        assert torch.equal(result, (expected * 255).round().to(torch.uint8))


def test_shortest_is_the_shorter_side_of_the_resized_image():
    image = Image.fromarray(noise(50, 75))

    result = pixels(processor(shortest=40).prepare({"image": [np.asarray(image)]}))[0]

    expected = image.resize((60, 40), Image.Resampling.BICUBIC).crop((14, 4, 46, 36))
    assert (result.permute(1, 2, 0).numpy() == np.asarray(expected)).all()


def test_padding_of_a_small_resized_image_is_black():
    result = pixels(processor(shortest=20).prepare({"image": [np.full((9, 9, 3), 255, np.uint8)]}))[0]

    assert (result[:, 6:26, 6:26] == 255).all()
    assert int(result.sum()) == 3 * 400 * 255


def test_a_strip_is_never_resized_as_a_whole(monkeypatch):
    resize, sizes = Image.Image.resize, []
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, size, *rest: sizes.append(size) or resize(self, size, *rest)
    )

    batch = processor().prepare({"image": [gradient(2, 40_000)]}).batch

    assert sizes == [(32, 32)]
    assert batch["place"][0, 0].tolist() == pytest.approx([2 / 40_000, 0, 0], abs=1e-6)
    assert batch["pixels"][0, 0].unique().tolist() in ([127], [128], [127, 128])


def test_pixels_do_not_depend_on_the_batch():
    images = [noise(*shape) for shape in SHAPES]

    together = pixels(processor().prepare({"image": images}))

    alone = [pixels(processor().prepare({"image": [image]})) for image in images]
    assert torch.equal(together, torch.cat(alone))


# --- positions


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(64, 64), (61, 45), (40, 80)])
@pytest.mark.parametrize("shape", [(300, 300), (301, 487), (480, 311)])
@pytest.mark.parametrize("crop", [0.875, 1.0])
def test_place_gives_the_positions_of_processed_pixels(mode, size, shape, crop):
    processed = ImageProcessor(Geometry(*size, crop, mode, "bilinear"), PolicyList()).prepare(
        {"image": [gradient(*shape)]}
    )

    assert processed.batch["sizes"].tolist() == [list(shape)]
    assert largest_error(processed.batch) < 0.2


def test_place_extends_beyond_the_image_with_a_border():
    place = processor(mode="border").prepare({"image": [noise(16, 32), noise(32, 16)]}).batch["place"]

    assert place.tolist() == [[[1, 0, 0], [0, 2, 0]], [[2, 0, 0], [0, 1, 0]]]


def test_sizes_are_those_of_the_upright_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(gradient(300, 200)).save(file, "PNG", exif=exif)

    batch = processor().prepare({"image": [file.getvalue()]}).batch

    assert batch["sizes"].tolist() == [[200, 300]]


@pytest.mark.parametrize("size", [(64, 64), (61, 45)])
@pytest.mark.parametrize("shape", [(300, 300), (301, 487)])
def test_place_gives_the_positions_of_augmented_pixels(size, shape):
    augmented = processor(
        {"name": "light", "scale": [0.2, 0.8]}, height=size[0], width=size[1], interpolation="bilinear"
    )

    batch = augmented.augment({"image": [gradient(*shape)] * 20}, range(20)).batch

    assert largest_error(batch) < 0.2
    assert set(batch["place"][:, 0, 0].sign().tolist()) == {-1, 1}
    assert batch["sizes"].tolist() == [list(shape)] * 20


def test_other_policies_do_not_change_place():
    images, seeds = {"image": [noise(40, 50)] * 8}, range(8)

    alone = processor("light").augment(images, seeds).batch
    together = processor("light", "rand-augment", "mix-up").augment(images, seeds).batch

    assert torch.equal(alone["place"], together["place"])
    assert not torch.equal(alone["pixels"], together["pixels"])


# --- invalid rows


def test_an_invalid_row_is_zero_and_has_a_reason():
    processed = processor().prepare({"image": [noise(9, 9), None, 7, noise(8, 8)]})

    assert processed.invalid == {1: "the image is empty", 2: "the image is 7, not a path or an encoded image"}
    assert not pixels(processed)[[1, 2]].any()
    assert torch.equal(pixels(processed)[[0, 3]], pixels(processor().prepare({"image": [noise(9, 9), noise(8, 8)]})))
    assert processed.batch["sizes"].tolist() == [[9, 9], [1, 1], [1, 1], [8, 8]]


def test_notes_are_counted(tmp_path):
    still = Image.fromarray(noise(9, 9))
    still.save(tmp_path / "two.gif", save_all=True, append_images=[Image.fromarray(noise(9, 8)).resize((9, 9))])
    image = str(tmp_path / "two.gif")

    assert processor().prepare({"image": [image, noise(9, 9), image]}).notes == {"used the first of several frames": 2}
    assert processor().prepare({"image": [noise(9, 9)]}).notes == {}


def test_an_invalid_row_is_never_a_partner():
    augmented = processor("mix-up").augment({"image": [noise(9, 9), None, noise(8, 8)]}, range(3))

    assert augmented.invalid == {1: "the image is empty"}
    assert augmented.partners.tolist() == [2, 1, 0]
    assert not augmented.batch["pixels"][1].any()


# --- augmentation


def test_without_policies_images_are_not_augmented():
    images = {"image": [noise(40, 50)] * 2}

    augmented = processor().augment(images, [1, 2])

    assert not processor().augments
    assert torch.equal(augmented.batch["pixels"], pixels(processor().prepare(images)))
    assert (augmented.partners, augmented.shares) == (None, None)


def test_with_policies_images_are_augmented():
    assert processor("light").augments


@pytest.mark.parametrize("policies", [("light",), ("rand-augment",), ("light", "rand-augment")])
def test_augmented_pixels_depend_only_on_the_seed(policies):
    images = [noise(40, 50), noise(33, 33), noise(60, 41)]

    together = processor(*policies).augment({"image": images}, [7, 8, 9]).batch
    alone = processor(*policies).augment({"image": images[1:2]}, [8]).batch

    assert torch.equal(together["pixels"][1:2], alone["pixels"])


def test_different_seeds_give_different_pixels():
    processed = processor("light").augment({"image": [noise(40, 50)] * 9}, range(9)).batch["pixels"]

    assert len({row.numpy().tobytes() for row in processed}) == 9


def test_rand_augment_alone_starts_from_the_processed_pixels():
    image = {"image": [noise(40, 50)] * 30}

    processed = processor("rand-augment").augment(image, range(30)).batch["pixels"]

    untouched = (processed == pixels(processor().prepare(image))).flatten(1).all(dim=1)
    assert 2 < int(untouched.sum()) < 20  # each of two operations is applied with probability 0.5


def test_mixing_comes_after_the_other_policies():
    images = {"image": [noise(40, 50), noise(33, 33), noise(60, 41)]}

    alone = processor("light").augment(images, range(3)).batch["pixels"].double()
    augmented = processor("light", {"name": "mix-up", "alpha": 1}).augment(images, range(3))

    shares = augmented.shares.double()[:, None, None, None]
    assert (augmented.partners.dtype, augmented.shares.dtype) == (torch.int64, torch.float32)
    assert torch.equal(
        augmented.batch["pixels"].double(), (shares * alone + (1 - shares) * alone[augmented.partners]).round()
    )


# --- settings and copies


def test_the_settings_are_everything_that_determines_the_pixels():
    processed = processor("light", crop=0.875).settings()

    assert json.loads(json.dumps(processed)) == processed
    assert processed == {
        "height": 32,
        "width": 32,
        "crop": 0.875,
        "mode": "center",
        "interpolation": "bicubic",
        "halves": "round",
        "shortest": None,
        "fill": [124, 116, 104],
    }


def test_processed_images_are_not_written_to_files():
    assert not processor().cacheable


def test_a_copy_in_another_process_gives_the_same_pixels():
    images, one = {"image": [noise(40, 50)] * 3}, processor("light", "rand-augment", "mix-up")

    with multiprocessing.get_context("fork").Pool(1) as pool:
        result = pool.apply(_augment, (pickle.dumps(one), images))

    assert (result == one.augment(images, range(3)).batch["pixels"].numpy()).all()


def _augment(processor, images):
    return pickle.loads(processor).augment(images, range(3)).batch["pixels"].numpy()
