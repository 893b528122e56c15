"""Small generated images, and random weights such that every tensor affects the output."""

import io
import struct
import zlib

import numpy as np
import torch
from PIL import Image


def noise_image(width, height, seed=0):
    """An image of random pixels."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def encode(image, form="PNG", **settings):
    """Encode an image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def png(bits, colour, *lines):
    """A PNG with this bit depth, written byte by byte.

    Args:
        colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        lines: the bytes of each row.
    """

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    width = len(lines[0]) * 8 // (bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    header = struct.pack(">IIBBBBB", width, len(lines), bits, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def encoded_images(count=4):
    """Encoded images of several sizes."""
    return [encode(noise_image(40 + 9 * number, 60 - 5 * number, number)) for number in range(count)]


@torch.no_grad()
def randomize_weights(module, seed=0):
    """Initialize all weights at random, without gates near zero and with activations near one."""
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
