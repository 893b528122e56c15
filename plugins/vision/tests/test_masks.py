"""Masks: class numbers as the file holds them, or a reason that a person can act on."""

import numpy as np
import pytest
from drawing import encoded, png
from PIL import Image

from taskgraft.plugin import InvalidTargets
from taskgraft_vision.images import Unusable
from taskgraft_vision.masks import class_numbers
from taskgraft_vision.segmentation import Segmentation
from taskgraft_vision.settings import SegmentationConfig

NUMBERS = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)


def refused(value):
    with pytest.raises(Unusable) as caught:
        class_numbers(value)
    return str(caught.value)


# --- what is read


@pytest.mark.parametrize("mode", ["L", "P"])
def test_class_numbers_are_what_the_file_holds_with_or_without_a_palette(mode, tmp_path):
    image = Image.fromarray(NUMBERS)
    if mode == "P":
        image = Image.fromarray(NUMBERS)
        image.putpalette([7, 90, 30] * 256)
    image.save(tmp_path / "mask.png")
    content = (tmp_path / "mask.png").read_bytes()

    for value in (str(tmp_path / "mask.png"), content, {"bytes": content, "path": None}):
        assert (class_numbers(value) == NUMBERS).all()


@pytest.mark.parametrize(("bits", "line", "numbers"), [(1, 0b01100000, 8), (2, 0b00011011, 4), (4, 0x3A, 2)])
@pytest.mark.parametrize("colour", [0, 3])
def test_few_bits_are_class_numbers_too(bits, line, numbers, colour, tmp_path):
    wanted = {1: [0, 1, 1, 0, 0, 0, 0, 0], 2: [0, 1, 2, 3], 4: [3, 10]}[bits]
    (tmp_path / "mask.png").write_bytes(png(bits, colour, bytes([line])))

    assert class_numbers(png(bits, colour, bytes([line]))).tolist() == [wanted]
    assert class_numbers(str(tmp_path / "mask.png")).tolist() == [wanted]


def test_sixteen_bits_hold_more_than_255_classes():
    assert class_numbers(encoded(Image.fromarray(np.array([[0, 300, 65535]], np.uint16)))).tolist() == [[0, 300, 65535]]


def test_a_mask_is_turned_upright_as_its_picture_is():
    turned = Image.Exif()
    turned[0x0112] = 6

    assert class_numbers(encoded(Image.fromarray(NUMBERS), exif=turned)).tolist() == [[3, 0], [200, 1], [255, 2]]


@pytest.mark.parametrize("value", [NUMBERS, NUMBERS.astype(np.int32), NUMBERS.tolist(), [*NUMBERS]])
def test_arrays_and_nested_lists_are_masks(value):
    assert class_numbers(value).tolist() == NUMBERS.tolist()


def test_true_and_false_are_the_classes_1_and_0():
    assert class_numbers([[True, False]]).tolist() == [[1, 0]]
    assert class_numbers([[True, False]]).dtype == np.uint8


# --- what is refused


@pytest.mark.parametrize(
    ("mode", "settings", "said"),
    [
        (
            "RGB",
            {},
            "the value has several channels (RGB); the pixels of a mask are class numbers, in one channel or a palette",
        ),
        (
            "LA",
            {},
            "the value has several channels (LA); the pixels of a mask are class numbers, in one channel or a palette",
        ),
        (
            "L",
            {"form": "JPEG"},
            "the value is a JPEG, which does not keep class numbers as they are; save masks as PNG",
        ),
        ("L", {"form": "BMP"}, "the value is of the format BMP; a mask is a PNG"),
    ],
)
def test_pictures_that_are_no_masks_are_refused(mode, settings, said):
    assert refused(encoded(Image.new(mode, (3, 2)), **settings)) == said


def test_a_file_is_named_by_its_path(tmp_path):
    path = tmp_path / "mask.jpg"
    Image.new("L", (3, 2)).save(path)

    said = f"{path} is a JPEG, which does not keep class numbers as they are; save masks as PNG"
    assert refused(str(path)) == said
    assert refused({"bytes": path.read_bytes(), "path": str(path)}) == said


def test_files_that_are_missing_empty_or_cut_off_are_refused(tmp_path):
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 9, (50, 50), np.uint8)))
    (tmp_path / "cut.png").write_bytes(whole[:-200])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")

    assert refused(f"{tmp_path}/gone.png") == f"there is no file {tmp_path}/gone.png"
    assert refused(f"{tmp_path}/empty.png") == f"{tmp_path}/empty.png is an empty file"
    assert refused(f"{tmp_path}/text.png") == f"{tmp_path}/text.png is no image that Pillow can read"
    assert refused(f"{tmp_path}/cut.png") == f"{tmp_path}/cut.png is cut off or damaged (image file is truncated)"
    assert refused(str(tmp_path)) == f"{tmp_path} is a folder"


@pytest.mark.parametrize(
    ("value", "said"),
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
def test_values_that_are_no_masks_are_refused(value, said):
    assert refused(value) == said


def test_empty_cells_and_unreadable_masks_are_told_by_their_rows():
    values = [NUMBERS, None, "", float("nan"), {"bytes": None, "path": None}, 7]

    with pytest.raises(InvalidTargets) as caught:
        Segmentation(SegmentationConfig()).fit_targets({"mask": values})

    empty = "the target column 'mask' is empty"
    wrong = "the mask is 7, not a path, an encoded PNG or (height, width) of integers"
    assert caught.value.reasons == {1: empty, 2: empty, 3: empty, 4: empty, 5: wrong}
