"""Small pictures, drawn by code, and weights that let every tensor matter."""

import io
import struct
import zlib

import numpy as np
import torch
from PIL import Image


def noise(width, height, seed=0):
    """A picture of random points."""
    chance = np.random.default_rng(seed)
    return Image.fromarray(chance.integers(0, 256, (height, width, 3), np.uint8))


def encoded(picture, form="PNG", **settings):
    """The bytes of a file of the picture."""
    file = io.BytesIO()
    picture.save(file, form, **settings)
    return file.getvalue()


def png(bits, colour, *lines):
    """A PNG with samples of so many bits, written byte by byte.

    Args:
        colour: 0 grey, 2 red, green and blue, 3 a palette, 4 grey and opacity, 6 red, green, blue and opacity.
        lines: the bytes of each line.
    """

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    width = len(lines[0]) * 8 // (bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    head = struct.pack(">IIBBBBB", width, len(lines), bits, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def pictures(count=4):
    """Encoded pictures of several sizes."""
    return [encoded(noise(40 + 9 * number, 60 - 5 * number, number)) for number in range(count)]


@torch.no_grad()
def opened(module, seed=0):
    """Draw all weights anew, no gate near zero and no activation far from one."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() < 2:
            tensor.normal_(0.5, 0.2, generator=generator)
        elif isinstance(tensor, torch.nn.Parameter):
            tensor.normal_(0.0, (tensor[0].numel()) ** -0.5, generator=generator)
    return module
