"""Images within limits: a small file that would take gigabytes is invalid, and none is decoded before that is known."""

import struct
import zlib

import numpy as np
import pytest
from attacks import forked
from PIL import Image
from sample_images import encode

from taskgraft_vision import images
from taskgraft_vision.images import InvalidImage, load_image


def png(width, height, bits=8, colour=2, rows=b"", *chunks):
    """A PNG of these sizes whose pixels are compressed already, or missing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count):
    """So many bytes of zero, compressed."""
    compressor, parts = zlib.compressobj(9), []
    block = bytes(1 << 20)
    for _ in range(count >> 20):
        parts.append(compressor.compress(block))
    return b"".join((*parts, compressor.compress(bytes(count & ((1 << 20) - 1))), compressor.flush()))


def reason(value):
    with pytest.raises(InvalidImage) as caught:
        load_image(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(9_400, 9_400, "9,400 × 9,400"), (1, 60_000_000, "1 × 60,000,000"), (60_000_000, 1, "60,000,000 × 1")],
)
def test_an_image_of_too_many_pixels_is_refused_by_its_header(width, height, size):
    expected = f"the value has {size} pixels, more than 52,000,000; TASKGRAFT_IMAGE_PIXELS sets the limit"
    assert reason(png(width, height)) == expected


def test_more_pixels_than_pillow_reads_are_the_same_sentence():
    assert (
        reason(png(20_000, 20_000))
        == "the value has more than 52,000,000 pixels; TASKGRAFT_IMAGE_PIXELS sets the limit"
    )


def test_the_limits_are_settings(monkeypatch, tmp_path):
    (tmp_path / "small.png").write_bytes(encode(Image.new("RGB", (20, 20))))
    monkeypatch.setenv("TASKGRAFT_IMAGE_PIXELS", "399")
    assert reason(str(tmp_path / "small.png")).endswith(
        "20 × 20 pixels, more than 399; TASKGRAFT_IMAGE_PIXELS sets the limit"
    )
    monkeypatch.setenv("TASKGRAFT_IMAGE_PIXELS", "400")
    assert load_image(str(tmp_path / "small.png"))[0].size == (20, 20)
    monkeypatch.setenv("TASKGRAFT_IMAGE_BYTES", "10")
    assert reason(str(tmp_path / "small.png")).endswith("bytes, more than 10; TASKGRAFT_IMAGE_BYTES sets the limit")


@pytest.mark.slow
def test_a_photograph_of_100_megapixels_is_read_with_the_setting(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setenv("TASKGRAFT_IMAGE_PIXELS", "100000000")
    content = png(10_000, 10_000, 8, 0, zeros(10_001 * 10_000))
    outcome = forked(lambda: print(load_image(content)[0].size))
    assert (outcome.code, outcome.text) == (0, "(10000, 10000)\n")


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "exif.png"
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    with path.open("wb") as file:
        file.write(start + struct.pack(">I", zlib.crc32(start[12:])) + struct.pack(">I", 1_000_000_000) + b"eXIf")
        file.truncate(1_000_000_100)
    assert reason(str(path)) == (
        f"{path} has 1,000,000,100 bytes, more than 100,000,000; TASKGRAFT_IMAGE_BYTES sets the limit"
    )


def test_compressed_texts_of_a_png_are_not_kept():
    text = zeros(200 << 20)
    chunk = b"k\0\0" + text
    ztxt = struct.pack(">I", len(chunk)) + b"zTXt" + chunk + struct.pack(">I", zlib.crc32(b"zTXt" + chunk))
    outcome = forked(lambda: print(reason(png(8, 8, 8, 2, b"", *[ztxt] * 50))))
    assert outcome.code == 0
    assert outcome.memory < 100 << 20


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "colour", "channels"), [(16, 0, 1), (16, 4, 2), (8, 6, 4), (16, 6, 4)])
def test_16_bits_and_transparency_take_little_more_memory_than_the_image(bits, colour, channels):
    width, height = 5_000, 5_000
    content = png(width, height, bits, colour, zeros(height * (width * channels * bits // 8 + 1)))
    outcome = forked(lambda: print(load_image(content)[0].size))
    assert (outcome.code, outcome.text) == (0, "(5000, 5000)\n")
    assert outcome.memory < 12 * width * height


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_an_image_converted_by_tiles_is_the_image_converted_at_once(monkeypatch, mode):
    random = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(random.integers(0, 65_536, (37, 53), np.uint16))
    else:
        image = Image.fromarray(random.integers(0, 256, (37, 53, 4), np.uint8), "RGBA")
        image = image.quantize(16) if mode == "P" else image.convert(mode)
    whole = load_image(encode(image))[0]
    for tile in (1, 7, 53, 200):
        monkeypatch.setattr(images, "TILE", tile)
        assert np.array_equal(np.asarray(load_image(encode(image))[0]), np.asarray(whole))
