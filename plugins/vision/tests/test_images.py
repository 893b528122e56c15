import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from sample_images import encode, png

from taskgraft_vision.images import InvalidImage, load_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def sample(width=24, height=16):
    """A smooth image with four different corners."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], axis=2).astype(np.uint8))


def colours(value):
    return np.asarray(load_image(value)[0])


def reason(value):
    with pytest.raises(InvalidImage) as caught:
        load_image(value)
    return str(caught.value)


def noisy():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


# --- sources


def test_a_path_may_be_relative_or_absolute(tmp_path, monkeypatch):
    sample().save(tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)

    assert (colours("one.png") == np.asarray(sample())).all()
    assert (colours(str(tmp_path / "one.png")) == np.asarray(sample())).all()


def test_bytes_are_an_encoded_file():
    image, note = load_image(encode(sample()))

    assert (image.mode, image.size, note) == ("RGB", (24, 16), None)
    assert (np.asarray(image) == np.asarray(sample())).all()


def test_bytes_take_precedence_over_a_path():
    assert (colours({"bytes": encode(sample()), "path": "gone.png"}) == np.asarray(sample())).all()


def test_the_path_is_used_if_there_are_no_bytes(tmp_path):
    sample().save(tmp_path / "one.png")

    assert (colours({"bytes": None, "path": str(tmp_path / "one.png")}) == np.asarray(sample())).all()


def test_an_array_is_grey_or_rgb():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)

    assert (colours(grey) == np.repeat(grey[:, :, None], 3, axis=2)).all()
    assert (colours(np.asarray(sample())) == np.asarray(sample())).all()


# --- colours


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_the_same_pixels(kind):
    options = {"lossless": True} if kind == "WEBP" else {}

    assert (colours(encode(sample(), kind, **options)) == np.asarray(sample())).all()


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_has_three_equal_channels(mode):
    grey = sample().convert(mode)

    assert (colours(encode(grey)) == np.asarray(grey.convert("L"))[:, :, None]).all()


def test_a_palette_is_applied():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)

    assert colours(encode(image)).tolist() == [[[*RED], [*BLUE]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composited_over_white(mode):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 51))

    assert colours(encode(image.convert(mode)))[0, :, 0].tolist() == [255, 0, 204]


def test_transparent_palette_entries_are_white():
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *BLUE, *GREEN])
    image.putdata([0, 1, 2])

    assert colours(encode(image, transparency=bytes([0, 255, 255]))).tolist() == [[[*WHITE], [*BLUE], [*GREEN]]]
    assert colours(encode(image, "GIF", transparency=1)).tolist() == [[[*RED], [*WHITE], [*GREEN]]]


def test_a_transparent_colour_is_white():
    colourful, grey = Image.new("RGB", (2, 1), RED), Image.new("L", (2, 1), 7)
    colourful.putpixel((1, 0), BLUE)
    grey.putpixel((1, 0), 9)

    assert colours(encode(colourful, transparency=RED)).tolist() == [[[*WHITE], [*BLUE]]]
    assert colours(encode(grey, transparency=7))[0, :, 0].tolist() == [255, 9]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_to_8_and_rounded(kind):
    values = np.array([[0, 128, 129, 257, 30_000, 65_535]], np.uint16)

    pixels = colours(encode(Image.fromarray(values), kind))

    assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 117, 255]


def test_big_endian_16_bits_are_supported():
    image = Image.frombytes("I;16B", (2, 1), np.array([257, 65_535], ">u2").tobytes())

    assert colours(encode(image, "TIFF"))[0, :, 0].tolist() == [1, 255]


def test_a_transparent_16_bit_grey_is_white():
    image = Image.fromarray(np.array([[257, 514]], np.uint16))

    assert colours(encode(image, transparency=257))[0, :, 0].tolist() == [255, 2]


@pytest.mark.parametrize(
    ("colour", "samples", "upper"),
    [
        (2, [0x0102, 0x80FF, 0xFE01], [0x01, 0x80, 0xFE]),
        (4, [0x80FF, 0xFFFF], [0x80, 0x80, 0x80]),
        (6, [0x0102, 0x80FF, 0xFE01, 0xFFFF], [0x01, 0x80, 0xFE]),
    ],
)
def test_16_bit_colours_are_reduced_to_their_upper_8_bits(colour, samples, upper):
    assert colours(png(16, colour, np.array(samples, ">u2").tobytes())).tolist() == [[upper]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range_are_invalid(mode):
    image = Image.new(mode, (2, 2))

    assert reason(encode(image, "TIFF")) == (
        f"the value has Pillow's mode {mode}, whose range is unknown; save it with 8 or 16 bits"
    )


def test_adobe_jpegs_have_inverted_inks():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

    content = encode(image, "JPEG", quality=100)

    assert b"Adobe" in content
    assert np.abs(colours(content).astype(int) - RED).max() <= 2


def test_other_jpegs_have_plain_inks():
    inverse = Image.new("CMYK", (16, 16), (255, 0, 0, 255))
    content = encode(inverse, "JPEG", quality=100)
    start = content.index(b"\xff\xee")
    length = int.from_bytes(content[start + 2 : start + 4], "big")

    pixels = colours(content[:start] + content[start + 2 + length :])

    assert np.abs(pixels.astype(int) - RED).max() <= 2


def test_ycbcr_and_cmyk_tiffs_become_rgb():
    assert np.abs(colours(encode(sample().convert("YCbCr"), "TIFF")).astype(int) - np.asarray(sample())).max() <= 3
    assert (
        colours(encode(sample().convert("CMYK"), "TIFF")) == np.asarray(sample().convert("CMYK").convert("RGB"))
    ).all()


def test_lab_becomes_rgb():
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    muted = Image.fromarray(np.asarray(sample()) // 2 + 64)
    image = ImageCms.profileToProfile(muted, srgb, lab, outputMode="LAB")

    assert np.abs(colours(encode(image, "TIFF")).astype(int) - np.asarray(muted)).mean() <= 1


# --- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_rotated_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(sample(), exif=exif)

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))

    assert (colours(content) == np.asarray(upright)).all()


def test_a_tiff_is_rotated_only_once():
    exif = Image.Exif()
    exif[0x0112] = 6

    assert (
        colours(encode(sample(), "TIFF", exif=exif)) == np.asarray(sample().transpose(Image.Transpose.ROTATE_270))
    ).all()


def test_unreadable_metadata_are_ignored():
    assert colours(encode(sample(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).shape == (16, 24, 3)


# --- frames


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames_is_used(kind):
    red, blue = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)

    image, note = load_image(encode(red, kind, save_all=True, append_images=[blue]))

    assert note == "used the first of several frames"
    assert np.abs(np.asarray(image).astype(int) - RED).max() <= 2


def test_a_photo_with_a_second_view_is_one_image():
    _, note = load_image(encode(sample(), "MPO", save_all=True, append_images=[sample()]))

    assert note is None


# --- invalid images


@pytest.mark.parametrize(
    "value",
    [None, "", "  ", float("nan"), np.float32("nan"), b"", {"bytes": None, "path": None}, np.zeros((0, 4), np.uint8)],
)
def test_a_missing_value_is_an_empty_image(value):
    assert reason(value) == "the image is empty"


def test_a_number_is_not_an_image():
    assert reason(7) == "the image is 7, not a path or an encoded image"
    assert reason({"pixels": 1}) == "the image is {'pixels': 1}, not a path or an encoded image"


def test_an_array_of_another_shape_or_type_is_not_an_image():
    expected = "not (height, width) or (height, width, 3) of uint8"

    assert reason(np.zeros((2, 3, 4), np.uint8)) == f"the image is an array (2, 3, 4) of uint8, {expected}"
    assert reason(np.zeros((2, 3))) == f"the image is an array (2, 3) of float64, {expected}"


def test_a_missing_file_is_named():
    assert reason("cats/1.png") == "there is no file cats/1.png"


def test_a_folder_is_not_an_image(tmp_path, monkeypatch):
    (tmp_path / "cats" / "1.png").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert reason("cats/1.png") == "cats/1.png is a folder"


def test_a_pipe_does_not_block(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "1.png")
    monkeypatch.chdir(tmp_path)

    assert reason("1.png") == "1.png cannot be read (it is a pipe, not a regular file)"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read everything")
def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    sample().save(tmp_path / "1.png")
    (tmp_path / "1.png").chmod(0)
    monkeypatch.chdir(tmp_path)

    assert reason("1.png") == "1.png cannot be read (Permission denied)"


def test_an_invalid_path_is_named(tmp_path, monkeypatch):
    (tmp_path / "cats").write_text("")
    monkeypatch.chdir(tmp_path)

    assert reason("cats/1.png") == "cats/1.png cannot be read (Not a directory)"
    assert reason("a\0b") == "a\0b cannot be read (embedded null byte)"


def test_an_empty_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "1.png").touch()
    monkeypatch.chdir(tmp_path)

    assert reason("1.png") == "1.png is an empty file"


def test_a_file_that_is_not_an_image_is_named(tmp_path, monkeypatch):
    (tmp_path / "1.png").write_text("no pixels")
    monkeypatch.chdir(tmp_path)

    assert reason("1.png") == "1.png is not an image that Pillow can read"
    assert reason({"bytes": b"no pixels", "path": "2.png"}) == "2.png is not an image that Pillow can read"
    assert reason(b"no pixels") == "the value is not an image that Pillow can read"


def test_a_postscript_file_is_not_run():
    assert reason(encode(sample(), "EPS")) == "the value has the format EPS, which is not supported"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("JPEG", "image file is truncated"),
        ("PNG", "image file is truncated"),
        ("BMP", "image file is truncated"),
        ("WEBP", "could not create decoder object"),
    ],
)
def test_a_truncated_file_is_invalid(tmp_path, monkeypatch, kind, problem):
    content = encode(noisy(), kind)
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    monkeypatch.chdir(tmp_path)

    assert reason("1.png") == f"1.png is truncated or damaged ({problem})"


def test_a_truncated_progressive_jpeg_is_invalid():
    content = encode(noisy(), "JPEG", progressive=True)

    assert reason(content[: len(content) * 9 // 10]) == "the value is truncated or damaged (image file is truncated)"


@pytest.mark.parametrize(("side", "size"), [(12, "12 × 12 pixels, more than 100"), (20, "more than 100 pixels")])
def test_an_image_beyond_the_limit_is_not_decoded(monkeypatch, side, size):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    problem = reason(encode(Image.new("RGB", (side, side))))
    assert problem == f"the value has {size}; TASKGRAFT_IMAGE_PIXELS sets the limit"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be counted")
def test_no_file_stays_open(tmp_path):
    frames = encode(sample(), "TIFF", save_all=True, append_images=[sample()])
    (tmp_path / "whole.tif").write_bytes(frames)
    (tmp_path / "half.tif").write_bytes(frames[: len(frames) // 4])
    before = len(os.listdir("/proc/self/fd"))

    whole = load_image(str(tmp_path / "whole.tif"))
    half = reason(str(tmp_path / "half.tif"))

    assert len(os.listdir("/proc/self/fd")) == before, (whole, half)
