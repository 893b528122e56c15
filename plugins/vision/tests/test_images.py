import io
import os
from pathlib import Path

import numpy as np
import pytest
from drawing import encoded, png
from PIL import Image, ImageCms, ImageOps

from taskgraft_vision.images import Unusable, picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def drawn(width=24, height=16):
    """A smooth picture in which no two corners are alike."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], axis=2).astype(np.uint8))


def colours(value):
    return np.asarray(picture(value)[0])


def refused(value):
    with pytest.raises(Unusable) as caught:
        picture(value)
    return str(caught.value)


def noisy():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


# --- where an image comes from


def test_a_path_is_opened_wherever_it_starts(tmp_path, monkeypatch):
    drawn().save(tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)

    assert (colours("one.png") == np.asarray(drawn())).all()
    assert (colours(str(tmp_path / "one.png")) == np.asarray(drawn())).all()


def test_bytes_are_an_encoded_file():
    made, note = picture(encoded(drawn()))

    assert (made.mode, made.size, note) == ("RGB", (24, 16), None)
    assert (np.asarray(made) == np.asarray(drawn())).all()


def test_of_bytes_and_a_path_the_bytes_count():
    assert (colours({"bytes": encoded(drawn()), "path": "gone.png"}) == np.asarray(drawn())).all()


def test_a_path_counts_where_there_are_no_bytes(tmp_path):
    drawn().save(tmp_path / "one.png")

    assert (colours({"bytes": None, "path": str(tmp_path / "one.png")}) == np.asarray(drawn())).all()


def test_an_array_is_grey_or_has_three_colours():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)

    assert (colours(grey) == np.repeat(grey[:, :, None], 3, axis=2)).all()
    assert (colours(np.asarray(drawn())) == np.asarray(drawn())).all()


# --- colours


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_what_is_stored_without_loss_comes_back_as_it_was(kind):
    options = {"lossless": True} if kind == "WEBP" else {}

    assert (colours(encoded(drawn(), kind, **options)) == np.asarray(drawn())).all()


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_is_the_same_in_all_three_colours(mode):
    grey = drawn().convert(mode)

    assert (colours(encoded(grey)) == np.asarray(grey.convert("L"))[:, :, None]).all()


def test_a_palette_is_looked_up():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)

    assert colours(encoded(image)).tolist() == [[[*RED], [*BLUE]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_images_lie_over_white(mode):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 51))

    assert colours(encoded(image.convert(mode)))[0, :, 0].tolist() == [255, 0, 204]


def test_transparent_entries_of_a_palette_lie_over_white():
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *BLUE, *GREEN])
    image.putdata([0, 1, 2])

    assert colours(encoded(image, transparency=bytes([0, 255, 255]))).tolist() == [[[*WHITE], [*BLUE], [*GREEN]]]
    assert colours(encoded(image, "GIF", transparency=1)).tolist() == [[[*RED], [*WHITE], [*GREEN]]]


def test_a_colour_that_stands_for_transparent_is_white():
    colourful, grey = Image.new("RGB", (2, 1), RED), Image.new("L", (2, 1), 7)
    colourful.putpixel((1, 0), BLUE)
    grey.putpixel((1, 0), 9)

    assert colours(encoded(colourful, transparency=RED)).tolist() == [[[*WHITE], [*BLUE]]]
    assert colours(encoded(grey, transparency=7))[0, :, 0].tolist() == [255, 9]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight_and_rounded(kind):
    values = np.array([[0, 128, 129, 257, 30_000, 65_535]], np.uint16)

    found = colours(encoded(Image.fromarray(values), kind))

    assert found[0, :, 0].tolist() == [0, 0, 1, 1, 117, 255]


def test_sixteen_bits_with_the_upper_one_first_are_read_in_their_order():
    image = Image.frombytes("I;16B", (2, 1), np.array([257, 65_535], ">u2").tobytes())

    assert colours(encoded(image, "TIFF"))[0, :, 0].tolist() == [1, 255]


def test_a_transparent_grey_of_sixteen_bits_is_white():
    image = Image.fromarray(np.array([[257, 514]], np.uint16))

    assert colours(encoded(image, transparency=257))[0, :, 0].tolist() == [255, 2]


@pytest.mark.parametrize(
    ("colour", "samples", "upper"),
    [
        (2, [0x0102, 0x80FF, 0xFE01], [0x01, 0x80, 0xFE]),
        (4, [0x80FF, 0xFFFF], [0x80, 0x80, 0x80]),
        (6, [0x0102, 0x80FF, 0xFE01, 0xFFFF], [0x01, 0x80, 0xFE]),
    ],
)
def test_of_sixteen_bits_per_colour_the_upper_eight_remain(colour, samples, upper):
    assert colours(png(16, colour, np.array(samples, ">u2").tobytes())).tolist() == [[upper]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_of_unknown_range_are_refused(mode):
    image = Image.new(mode, (2, 2))

    assert refused(encoded(image, "TIFF")) == (
        f"the value has pixels of Pillow's mode {mode}, whose range is not known; save it with 8 or 16 bits"
    )


def test_the_inks_of_a_jpeg_by_adobe_are_the_inverse():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

    content = encoded(image, "JPEG", quality=100)

    assert b"Adobe" in content
    assert np.abs(colours(content).astype(int) - RED).max() <= 2


def test_the_inks_of_a_jpeg_by_others_are_as_they_stand():
    inverse = Image.new("CMYK", (16, 16), (255, 0, 0, 255))
    content = encoded(inverse, "JPEG", quality=100)
    start = content.index(b"\xff\xee")
    length = int.from_bytes(content[start + 2 : start + 4], "big")

    found = colours(content[:start] + content[start + 2 + length :])

    assert np.abs(found.astype(int) - RED).max() <= 2


def test_ycbcr_and_inks_of_a_tiff_become_rgb():
    assert np.abs(colours(encoded(drawn().convert("YCbCr"), "TIFF")).astype(int) - np.asarray(drawn())).max() <= 3
    assert (
        colours(encoded(drawn().convert("CMYK"), "TIFF")) == np.asarray(drawn().convert("CMYK").convert("RGB"))
    ).all()


def test_lab_becomes_rgb():
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    muted = Image.fromarray(np.asarray(drawn()) // 2 + 64)
    image = ImageCms.profileToProfile(muted, srgb, lab, outputMode="LAB")

    assert np.abs(colours(encoded(image, "TIFF")).astype(int) - np.asarray(muted)).mean() <= 1


# --- how it is held


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(drawn(), exif=exif)

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))

    assert (colours(content) == np.asarray(upright)).all()


def test_a_tiff_is_turned_upright_once():
    exif = Image.Exif()
    exif[0x0112] = 6

    assert (
        colours(encoded(drawn(), "TIFF", exif=exif)) == np.asarray(drawn().transpose(Image.Transpose.ROTATE_270))
    ).all()


def test_metadata_that_cannot_be_read_leave_an_image_as_it_is():
    assert colours(encoded(drawn(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).shape == (16, 24, 3)


# --- what is left out


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames_is_taken(kind):
    red, blue = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)

    made, note = picture(encoded(red, kind, save_all=True, append_images=[blue]))

    assert note == "first of several frames taken"
    assert np.abs(np.asarray(made).astype(int) - RED).max() <= 2


def test_a_photo_with_a_second_view_is_one_picture():
    _, note = picture(encoded(drawn(), "MPO", save_all=True, append_images=[drawn()]))

    assert note is None


# --- what is no image


@pytest.mark.parametrize(
    "value",
    [None, "", "  ", float("nan"), np.float32("nan"), b"", {"bytes": None, "path": None}, np.zeros((0, 4), np.uint8)],
)
def test_nothing_is_an_empty_image(value):
    assert refused(value) == "the image is empty"


def test_a_number_is_no_image():
    assert refused(7) == "the image is 7, not a path or an encoded image"
    assert refused({"pixels": 1}) == "the image is {'pixels': 1}, not a path or an encoded image"


def test_an_array_of_another_shape_or_type_is_no_image():
    wanted = "not (height, width) or (height, width, 3) of uint8"

    assert refused(np.zeros((2, 3, 4), np.uint8)) == f"the image is an array (2, 3, 4) of uint8, {wanted}"
    assert refused(np.zeros((2, 3))) == f"the image is an array (2, 3) of float64, {wanted}"


def test_a_file_that_is_not_there_is_named():
    assert refused("cats/1.png") == "there is no file cats/1.png"


def test_a_folder_is_no_image(tmp_path, monkeypatch):
    (tmp_path / "cats" / "1.png").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert refused("cats/1.png") == "cats/1.png is a folder"


def test_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "1.png")
    monkeypatch.chdir(tmp_path)

    assert refused("1.png") == "1.png is no file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    drawn().save(tmp_path / "1.png")
    (tmp_path / "1.png").chmod(0)
    monkeypatch.chdir(tmp_path)

    assert refused("1.png") == "1.png cannot be read (Permission denied)"


def test_a_path_that_cannot_be_is_named(tmp_path, monkeypatch):
    (tmp_path / "cats").write_text("")
    monkeypatch.chdir(tmp_path)

    assert refused("cats/1.png") == "cats/1.png cannot be read (Not a directory)"
    assert refused("a\0b") == "a\0b cannot be read (embedded null byte)"


def test_an_empty_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "1.png").touch()
    monkeypatch.chdir(tmp_path)

    assert refused("1.png") == "1.png is an empty file"


def test_a_file_of_something_else_is_named(tmp_path, monkeypatch):
    (tmp_path / "1.png").write_text("no pixels")
    monkeypatch.chdir(tmp_path)

    assert refused("1.png") == "1.png is no image that Pillow can read"
    assert refused({"bytes": b"no pixels", "path": "2.png"}) == "2.png is no image that Pillow can read"
    assert refused(b"no pixels") == "the value is no image that Pillow can read"


def test_a_file_that_is_a_program_is_not_run():
    assert refused(encoded(drawn(), "EPS")) == "the value is of the format EPS, which is not taken"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("JPEG", "image file is truncated"),
        ("PNG", "image file is truncated"),
        ("BMP", "image file is truncated"),
        ("WEBP", "could not create decoder object"),
    ],
)
def test_a_file_that_is_cut_off_is_found_out(tmp_path, monkeypatch, kind, reason):
    content = encoded(noisy(), kind)
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    monkeypatch.chdir(tmp_path)

    assert refused("1.png") == f"1.png is cut off or damaged ({reason})"


def test_most_of_a_progressive_jpeg_is_not_enough():
    content = encoded(noisy(), "JPEG", progressive=True)

    assert refused(content[: len(content) * 9 // 10]) == "the value is cut off or damaged (image file is truncated)"


@pytest.mark.parametrize("side", [12, 20])
def test_an_image_beyond_the_limit_is_not_decoded(monkeypatch, side):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    assert refused(encoded(Image.new("RGB", (side, side)))) == "the value has more pixels than Pillow opens (100)"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are not counted here")
def test_no_file_stays_open(tmp_path):
    frames = encoded(drawn(), "TIFF", save_all=True, append_images=[drawn()])
    (tmp_path / "whole.tif").write_bytes(frames)
    (tmp_path / "half.tif").write_bytes(frames[: len(frames) // 4])
    before = len(os.listdir("/proc/self/fd"))

    kept = picture(str(tmp_path / "whole.tif"))
    reason = refused(str(tmp_path / "half.tif"))

    assert len(os.listdir("/proc/self/fd")) == before, (kept, reason)
