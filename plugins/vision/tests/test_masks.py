"""Masks: class ids as stored in the file, or the reason why a mask is invalid."""

import numpy as np
import pytest
from PIL import Image
from sample_images import encode, png

from taskgraft.plugin import InvalidTargets
from taskgraft_vision.images import InvalidImage
from taskgraft_vision.masks import load_mask
from taskgraft_vision.segmentation_head import SegmentationHead
from taskgraft_vision.settings import SegmentationConfig

CLASS_IDS = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)


def reason(value):
    with pytest.raises(InvalidImage) as caught:
        load_mask(value)
    return str(caught.value)


# --- valid masks


@pytest.mark.parametrize("mode", ["L", "P"])
def test_class_ids_are_the_values_in_the_file_with_or_without_a_palette(mode, tmp_path):
    image = Image.fromarray(CLASS_IDS)
    if mode == "P":
        image = Image.fromarray(CLASS_IDS)
        image.putpalette([7, 90, 30] * 256)
    image.save(tmp_path / "mask.png")
    content = (tmp_path / "mask.png").read_bytes()

    for value in (str(tmp_path / "mask.png"), content, {"bytes": content, "path": None}):
        assert (load_mask(value) == CLASS_IDS).all()


@pytest.mark.parametrize(("bits", "line", "ids"), [(1, 0b01100000, 8), (2, 0b00011011, 4), (4, 0x3A, 2)])
@pytest.mark.parametrize("colour", [0, 3])
def test_low_bit_depths_are_class_ids_too(bits, line, ids, colour, tmp_path):
    expected = {1: [0, 1, 1, 0, 0, 0, 0, 0], 2: [0, 1, 2, 3], 4: [3, 10]}[bits]
    (tmp_path / "mask.png").write_bytes(png(bits, colour, bytes([line])))

    assert load_mask(png(bits, colour, bytes([line]))).tolist() == [expected]
    assert load_mask(str(tmp_path / "mask.png")).tolist() == [expected]


def test_16_bits_allow_more_than_255_classes():
    assert load_mask(encode(Image.fromarray(np.array([[0, 300, 65535]], np.uint16)))).tolist() == [[0, 300, 65535]]


def test_a_mask_is_rotated_like_its_image():
    exif = Image.Exif()
    exif[0x0112] = 6

    assert load_mask(encode(Image.fromarray(CLASS_IDS), exif=exif)).tolist() == [[3, 0], [200, 1], [255, 2]]


@pytest.mark.parametrize("value", [CLASS_IDS, CLASS_IDS.astype(np.int32), CLASS_IDS.tolist(), [*CLASS_IDS]])
def test_arrays_and_nested_lists_are_masks(value):
    assert load_mask(value).tolist() == CLASS_IDS.tolist()


def test_booleans_are_the_classes_1_and_0():
    assert load_mask([[True, False]]).tolist() == [[1, 0]]
    assert load_mask([[True, False]]).dtype == np.uint8


# --- invalid masks


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        (
            "RGB",
            {},
            "the value has several channels (RGB); a mask needs one channel, or a palette, of class ids",
        ),
        (
            "LA",
            {},
            "the value has several channels (LA); a mask needs one channel, or a palette, of class ids",
        ),
        (
            "L",
            {"form": "JPEG"},
            "the value is a JPEG, whose compression changes class ids; save masks as PNG",
        ),
        ("L", {"form": "BMP"}, "the value has the format BMP; a mask must be a PNG"),
    ],
)
def test_images_that_are_not_masks_are_invalid(mode, settings, message):
    assert reason(encode(Image.new(mode, (3, 2)), **settings)) == message


def test_a_file_is_named_by_its_path(tmp_path):
    path = tmp_path / "mask.jpg"
    Image.new("L", (3, 2)).save(path)

    message = f"{path} is a JPEG, whose compression changes class ids; save masks as PNG"
    assert reason(str(path)) == message
    assert reason({"bytes": path.read_bytes(), "path": str(path)}) == message


def test_missing_empty_and_truncated_files_are_invalid(tmp_path):
    whole = encode(Image.fromarray(np.random.default_rng(0).integers(0, 9, (50, 50), np.uint8)))
    (tmp_path / "cut.png").write_bytes(whole[:-200])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")

    assert reason(f"{tmp_path}/gone.png") == f"there is no file {tmp_path}/gone.png"
    assert reason(f"{tmp_path}/empty.png") == f"{tmp_path}/empty.png is an empty file"
    assert reason(f"{tmp_path}/text.png") == f"{tmp_path}/text.png is not an image that Pillow can read"
    assert reason(f"{tmp_path}/cut.png") == f"{tmp_path}/cut.png is truncated or damaged (image file is truncated)"
    assert reason(str(tmp_path)) == f"{tmp_path} is a folder"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "the mask is 7, not a path, an encoded PNG or (height, width) of integers"),
        ([[0, 1], [2]], "the mask is [[0, 1], [2]], not a path, an encoded PNG or (height, width) of integers"),
        ([[0, None]], "the mask is [[0, None]], not a path, an encoded PNG or (height, width) of integers"),
        ([["a", "b"]], "the mask is [['a', 'b']], not a path, an encoded PNG or (height, width) of integers"),
        ([[]], "the mask is [[]], not a path, an encoded PNG or (height, width) of integers"),
        (np.zeros((2, 3, 4), np.uint8), "the mask is an array (2, 3, 4) of uint8, not (height, width) of integers"),
        (np.zeros((2, 3)), "the mask is an array (2, 3) of float64, not (height, width) of integers"),
    ],
)
def test_values_that_are_not_masks_are_invalid(value, message):
    assert reason(value) == message


def test_missing_and_invalid_masks_are_reported_by_row():
    values = [CLASS_IDS, None, "", float("nan"), {"bytes": None, "path": None}, 7]

    with pytest.raises(InvalidTargets) as caught:
        SegmentationHead(SegmentationConfig()).fit_targets({"mask": values})

    empty = "the target column 'mask' is empty"
    wrong = "the mask is 7, not a path, an encoded PNG or (height, width) of integers"
    assert caught.value.reasons == {1: empty, 2: empty, 3: empty, 4: empty, 5: wrong}
