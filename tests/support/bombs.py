"""Small files and settings that ask for much: gigabytes, minutes, millions of layers. Each must be one sentence, at once."""

import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tiny
import torch
from attacks import MEMORY, SECONDS, Outcome, forked
from forged_artifact import rewrite_manifest
from PIL import Image
from pyarrow import parquet

import taskgraft as tg
from taskgraft.errors import TaskgraftError
from taskgraft.reading.read import read_file
from taskgraft.recipes.files import read_recipe
from taskgraft_vision.images import InvalidImage, load_image
from taskgraft_vision.masks import load_mask

START = 'backbone = "hf-text:x"\nhead = "classification"\nstrategy = "full"\n'

LIMIT = 60.0
"""Seconds after which an attack is ended."""


@dataclass(frozen=True)
class Bomb:
    """Something hostile.

    Attributes:
        prepare: writes its files into a folder, which holds copies of the world's, and returns what uses them.
        refused: whether it must be refused; otherwise it may as well be read, within the limits.
    """

    name: str
    prepare: Callable[[Path], Callable[[], object]]
    refused: bool = True


def build_world(folder: Path) -> Path:
    """Write a checkpoint and two artifacts, and use each once, so that libraries are imported."""
    world = folder / "world"
    world.mkdir()
    torch.manual_seed(0)
    tiny.save("bert", world / "bert")
    rows = {"text": ["my card is lost", "where is my parcel"] * 8, "label": ["card", "parcel"] * 8}
    model = tg.compose(f"hf-text:{world / 'bert'}", "classification", "lora")
    model.fit(rows, target="label", training={"epochs": 1}, quiet=True)
    model.save(world / "lora")
    numbers = np.random.default_rng(0).normal(size=40).tolist()
    table = {"a": numbers, "b": numbers[::-1], "label": ["yes", "no"] * 20}
    model = tg.compose("tabular-resnet", "classification", "full")
    model.fit(table, target="label", training={"epochs": 1}, quiet=True)
    model.save(world / "table")
    for name in ("lora", "table"):
        tg.load(world / name).predict({column: values[:2] for column, values in (rows | table).items()}, quiet=True)
    image = BytesIO()
    Image.new("RGB", (4, 4)).save(image, "PNG")
    load_image(image.getvalue())
    return world


def attempt(bomb: Bomb, world: Path, folder: Path) -> Outcome:
    """Prepare a bomb in a folder of its own, use it in a forked process, and remove the folder."""
    shutil.copytree(world, folder)
    try:
        use = bomb.prepare(folder)
        return forked(lambda: _one_sentence(use, refused=bomb.refused), LIMIT)
    finally:
        shutil.rmtree(folder)


def holds(outcome: Outcome) -> bool:
    """Tell whether an attack ended as it must, in time and within memory."""
    in_time = not outcome.timed_out and min(outcome.seconds, outcome.processor) <= SECONDS
    return outcome.code == 0 and in_time and outcome.memory <= MEMORY


def _one_sentence(use: Callable[[], object], *, refused: bool) -> None:
    try:
        rows = use()
    except (TaskgraftError, InvalidImage) as error:
        text = str(error)
        assert text.strip(), "the message is empty"
        assert len(text) < 5_000, f"the message has {len(text):,} characters"
        print(text)
        return
    assert not refused or getattr(rows, "invalid", None), "it was accepted"
    for problem in getattr(rows, "invalid", {}).values():
        print(problem[:300])


# --- recipes


def recipe(name: str, file: str, content: str | bytes, *, refused: bool = True) -> Bomb:
    def prepare(folder: Path) -> Callable[[], object]:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        return lambda: read_recipe(folder / file)

    return Bomb(f"recipe: {name}", prepare, refused)


def laughs(levels: int, width: int = 9, leaf: str = "lol", form: str = "[{}]") -> str:
    lines = [f"a0: &a0 {form.format(', '.join([leaf] * width))}"]
    for one in range(1, levels):
        lines.append(f"a{one}: &a{one} {form.format(', '.join([f'*a{one - 1}'] * width))}")
    return "\n".join(lines)


def recipes() -> Iterator[Bomb]:
    yield recipe("aliases of lists", "r.yaml", laughs(9))
    yield recipe("aliases of lists, narrow and long", "r.yaml", laughs(60, 2))
    yield recipe("aliases of long texts", "r.yaml", laughs(2, 300, "x" * 1_000))
    merges = [f"a0: &a0 {{{', '.join(f'k{key}: 1' for key in range(50))}}}"]
    merges += [f"a{one}: &a{one} {{<<: [{', '.join([f'*a{one - 1}'] * 10)}]}}" for one in range(1, 9)]
    yield recipe("merged aliases", "r.yaml", "\n".join(merges))
    yield recipe("aliases as keys", "r.yaml", f"{laughs(8)}\nz: {{? *a7 : 1}}")
    yield recipe("a cycle", "r.yaml", "a: &a [*a, *a]")
    yield recipe("a cycle over two levels", "r.yaml", "a: &a {b: &b [*a], c: *b}")
    yield recipe("a cycle of merges", "r.yaml", "a: &a {<<: *a}")
    for opening in ("[", "{a: ", "- ", "? ", "&a [", "!!seq ["):
        yield recipe(f"nested {opening!r}", "r.yaml", opening * (400_000 // len(opening)))
    yield recipe(
        "a long chain of aliases",
        "r.yaml",
        "\n".join(["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 9_000)]),
    )
    yield recipe("base 60", "r.yaml", "a: " + "1:" * 200_000 + "1")
    yield recipe("5,000 digits in YAML", "r.yaml", "a: " + "1" * 5_000)
    yield recipe("400,000 digits in YAML", "r.yaml", "a: " + "1" * 400_000)
    yield recipe("1e999 in YAML", "r.yaml", "a: 1e999")
    yield recipe("half a pair in YAML", "r.yaml", 'a: "\\ud800"')
    yield recipe("half a pair in a key of YAML", "r.yaml", '"\\udfff": 1')
    yield recipe("many documents", "r.yaml", "---\n" * 100_000)
    yield recipe("many anchors", "r.yaml", "a: [" + ", ".join(f"&a{number} 1" for number in range(30_000)) + "]")
    yield recipe("many tags", "r.yaml", "a: [" + ", ".join(["!!float 1"] * 40_000) + "]")
    yield recipe("a binary", "r.yaml", "a: !!binary " + "A" * 400_000)
    yield recipe("a mapping of 40,000 keys", "r.yaml", "\n".join(f"k{number}: 1" for number in range(40_000)))
    yield recipe("spaces", "r.yaml", " " * 490_000)
    yield recipe("a comment", "r.yaml", "#" * 490_000)
    yield recipe("a quoted text", "r.yaml", 'a: "' + "x " * 240_000)
    yield recipe("percent directives", "r.yaml", "%YAML 1.1\n" * 40_000)
    for steps in (101, 5_000, 200_000):
        yield recipe(f"a key of {steps:,} steps", "r.toml", START + "a." * steps + "a = 1")
        yield recipe(f"a table of {steps:,} steps", "r.toml", START + "[" + "a." * steps + "a]")
    yield recipe("quoted steps", "r.toml", START + '"a".' * 100_000 + "a = 1")
    yield recipe("a key in an inline table", "r.toml", START + "a = {" + "a." * 100_000 + "a = 1}")
    yield recipe("an array of tables", "r.toml", START + "[[" + "a." * 100_000 + "a]]")
    yield recipe("many long keys", "r.toml", START + "\n".join(f"k{n}.{'a.' * 95}a = 1" for n in range(2_000)))
    for opening in ("[", "{a = ", "{a.b = ["):
        yield recipe(f"nested {opening!r} in TOML", "r.toml", f"a = {opening * (400_000 // len(opening))}")
    yield recipe("101 levels in TOML", "r.toml", f"a = {'[' * 101}{']' * 101}")
    yield recipe("20,000 tables", "r.toml", START + "".join(f"[t{number}]\na = 1\n" for number in range(20_000)))
    yield recipe("400,000 digits in TOML", "r.toml", "a = " + "1" * 400_000)
    yield recipe("hexadecimal digits in TOML", "r.toml", "a = 0x" + "f" * 400_000)
    yield recipe("1e999 in TOML", "r.toml", "a = 1e999")
    yield recipe("half a pair in TOML", "r.toml", 'a = "\\ud800"')
    yield recipe("words without dots", "r.toml", START + "a = '" + "a" * 400_000 + "'")
    yield recipe("quotation marks", "r.toml", START + "a = '" + '"' * 400_000 + "'")
    for opening in ("[", '{"a":', '[{"a":['):
        yield recipe(f"nested {opening!r} in JSON", "r.json", opening * (400_000 // len(opening)))
    yield recipe("101 levels in JSON", "r.json", f"{'[' * 101}{']' * 101}")
    yield recipe("400,000 digits in JSON", "r.json", f'{{"a": {"1" * 400_000}}}')
    yield recipe("1e999 in JSON", "r.json", '{"a": 1e999}')
    yield recipe("half a pair in JSON", "r.json", '{"a": "\\ud83d"}')
    yield recipe("60,000 unknown keys", "r.json", "{" + ",".join(f'"k{n}":1' for n in range(40_000)) + "}")
    yield recipe("a long text where a number belongs", "r.json", json.dumps({"training": {"epochs": "x" * 400_000}}))
    yield recipe("a large list where a name belongs", "r.json", json.dumps({"backbone": [[1] * 100_000]}))
    for suffix in ("toml", "yaml", "json"):
        yield recipe(f"a file of 600 kilobytes, {suffix}", f"r.{suffix}", "#" * 600_000)


def overrides() -> Iterator[Bomb]:
    for name, text in {
        "a key of 60,000 steps": "{" + "a." * 60_000 + "a=1}",
        "nested lists": "[" * 100_000,
        "nested tables": "{a=" * 30_000,
        "digits": "1" * 100_000,
        "1e999": "1e999",
        "half a pair": '"\\ud800"',
    }.items():

        def prepare(folder: Path, text: str = text) -> Callable[[], object]:
            (folder / "r.toml").write_text(START)
            return lambda: read_recipe(folder / "r.toml", [f"head.some={text}"])

        yield Bomb(f"override: {name}", prepare)

    def long_key(folder: Path) -> Callable[[], object]:
        (folder / "r.toml").write_text(START)
        return lambda: read_recipe(folder / "r.toml", ["data.inputs." + "a." * 50_000 + "a=1"])

    yield Bomb("override: a key of 50,000 steps before the equals sign", long_key)


# --- rows


def zipped(size: int, before: bytes = b"", after: bytes = b"", letter: bytes = b"x") -> bytes:
    """Compress so many equal letters, a megabyte at a time: a gzipped file may have many members."""
    block = letter * ((1 << 20) // len(letter))
    return gzip.compress(before) + gzip.compress(block) * (size >> 20) + gzip.compress(after)


def rows(
    name: str, file: str, content: Callable[[], bytes] | bytes, reader: Any = None, *, refused: bool = True
) -> Bomb:
    def prepare(folder: Path) -> Callable[[], object]:
        (folder / file).write_bytes(content() if callable(content) else content)
        return lambda: read_file(folder / file, reader)

    return Bomb(f"rows: {name}", prepare, refused)


def _parquet(table: pa.Table, **options: Any) -> bytes:
    sink = BytesIO()
    parquet.write_table(table, sink, **options)
    return sink.getvalue()


def tables() -> Iterator[Bomb]:
    gigabyte = 1 << 30
    yield rows("a line of 1 GB, JSON", "a.jsonl.gz", lambda: zipped(gigabyte, b'{"a": 1}\n{"a": "'))
    yield rows("a line of 1 GB of brackets", "a.jsonl.gz", lambda: zipped(gigabyte, b'{"a": ', letter=b"["))
    yield rows("a cell of 1 GB", "a.csv.gz", lambda: zipped(gigabyte, b"a,b\n1,2\n1,"))
    yield rows("a quoted cell of 1 GB", "a.csv.gz", lambda: zipped(gigabyte, b'a,b\n1,"'))
    yield rows(
        "a quoted cell over many lines", "a.csv.gz", lambda: zipped(gigabyte, b'a,b\n1,"', letter=b"x" * 1_023 + b"\n")
    )
    yield rows("a header of 1 GB", "a.csv.gz", lambda: zipped(gigabyte))
    yield rows("a header of commas", "a.csv.gz", lambda: zipped(gigabyte, b"a", letter=b","))
    yield rows("a row of commas", "a.csv.gz", lambda: zipped(gigabyte, b"a,b\n", letter=b","))
    yield rows("a line of 1 GB, text", "a.txt.gz", lambda: zipped(gigabyte), "lines")
    yield rows("a sequence of 1 GB", "a.fasta.gz", lambda: zipped(gigabyte, b">a\n", letter=b"M"))
    yield rows(
        "a sequence over many lines", "a.fasta.gz", lambda: zipped(gigabyte, b">a\n", letter=b"M" * 1_023 + b"\n")
    )
    yield rows("a header of a sequence", "a.fasta.gz", lambda: zipped(gigabyte, b">"))
    yield rows("a Parquet file that is zeros", "a.parquet.gz", lambda: zipped(gigabyte, b"PAR1", b"PAR1", b"\0"))
    yield rows("a Parquet file in a gzipped file", "a.parquet.gz", lambda: gzip.compress(zipped(gigabyte, b"PAR1")))
    yield rows("gzipped twice", "a.csv.gz", lambda: gzip.compress(zipped(gigabyte)))
    yield rows("60,000 columns", "a.csv", (",".join(f"x{n}" for n in range(60_000)) + "\n").encode())
    yield rows("60,000 columns of one name", "a.csv", b",".join([b"x"] * 60_000) + b"\n")
    yield rows("1,000,000 columns", "a.csv", (",".join(map(str, range(1_000_000))) + "\n").encode())
    yield rows("60,000 keys on a line", "a.jsonl", json.dumps({f"k{n}": n for n in range(60_000)}).encode())
    yield rows("a key per line", "a.jsonl", "".join(f'{{"k{n}": 1}}\n' for n in range(100_000)).encode())
    yield rows("two keys per line", "a.jsonl", "".join(f'{{"id": 1, "k{n}": 1}}\n' for n in range(100_000)).encode())
    deep = {"lists": b"[", "objects": b'{"a":', "both": b'[{"a":'}
    for name, opening in deep.items():
        yield rows(f"a row of nested {name}", "a.jsonl", b'{"a": ' + opening * 200_000)
    closed = b'{"a": ' + b"[" * 150 + b"]" * 150 + b"}\n"
    yield rows("150 closed levels", "a.jsonl", closed)
    yield rows("150 closed levels in a thousand rows", "a.jsonl", closed * 1_000)
    yield rows("digits", "a.jsonl", b'{"a": ' + b"1" * 1_000_000 + b"}\n")
    yield rows("digits in a thousand rows", "a.jsonl", (b'{"a": ' + b"1" * 5_000 + b"}\n") * 1_000)
    yield rows("1e999 in a row", "a.jsonl", b'{"a": 1e999}\n')
    yield rows("half a pair in a row", "a.jsonl", b'{"a": "\\ud800"}\n')
    yield rows("half a pair in a key", "a.jsonl", b'{"\\udfff": 1}\n')
    yield rows(
        "structs of 3,000 keys",
        "a.jsonl",
        json.dumps({"a": {f"k{n}": n for n in range(3_000)}}).encode(),
        refused=False,
    )
    yield rows("NUL bytes", "a.csv.gz", lambda: zipped(gigabyte, b"a,b\n", letter=b"\0"))
    yield rows("quotation marks", "a.csv", b"a,b\n" + b'"' * 5_000_001)
    yield rows("quotation marks and commas", "a.csv", b"a,b\n" + b'"",' * 2_000_000)
    yield rows(
        "a pattern over a long header",
        "a.fasta",
        b">" + b"a" * 40 + b"!\nMK\n",
        {"name": "fasta", "label": "(?P<label>(a+)+)$"},
        refused=False,
    )
    yield rows(
        "60,000 columns of Parquet", "a.parquet", lambda: _parquet(pa.table({f"x{n}": [1] for n in range(60_000)}))
    )
    many = pa.table({"a": pa.nulls(3_000_000, pa.string())})
    yield rows("3,000,000 rows of Parquet in a kilobyte", "a.parquet", lambda: _parquet(many), refused=False)
    long = pa.table({"a": pa.array(["x" * 60_000_000], pa.large_string())})
    yield rows(
        "a cell of 60 MB of Parquet in a kilobyte",
        "a.parquet",
        lambda: _parquet(long, compression="zstd"),
        refused=False,
    )


# --- images


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int = 8, colour: int = 2, rows: bytes = b"", *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    compressor, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [compressor.compress(block) for _ in range(count >> 20)]
    return b"".join((*parts, compressor.compress(bytes(count & ((1 << 20) - 1))), compressor.flush()))


def image(name: str, content: Callable[[], bytes], *, refused: bool = True, mask: bool = False) -> Bomb:
    def prepare(folder: Path) -> Callable[[], object]:
        value = content()
        (folder / "image").write_bytes(value)
        return lambda: (load_mask if mask else load_image)(str(folder / "image"))

    return Bomb(f"image: {name}", prepare, refused)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _sparse(folder: Path) -> Callable[[], object]:
    with (folder / "image").open("wb") as file:
        file.write(png(8, 8)[:33] + struct.pack(">I", 1_000_000_000) + b"eXIf")
        file.truncate(1_000_000_100)
    return lambda: load_image(str(folder / "image"))


def images() -> Iterator[Bomb]:
    side = 9_400
    for bits, colour, name in (
        (8, 2, "RGB"),
        (8, 6, "RGBA"),
        (16, 0, "16 bits"),
        (16, 6, "16 bits, RGBA"),
        (1, 0, "1 bit"),
        (8, 3, "palette"),
    ):
        palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
        yield image(
            f"PNG just under Pillow's limit, {name}",
            lambda b=bits, c=colour, p=palette: png(side, side, b, c, zeros(1 << 20), p),
        )
    for width, height in (
        (1, 100_000_000),
        (100_000_000, 1),
        (2**31 - 1, 2**31 - 1),
        (60_000, 60_000),
        (1, 52_000_001),
    ):
        yield image(f"PNG of {width:,} × {height:,}", lambda w=width, h=height: png(w, h))
        yield image(f"mask of {width:,} × {height:,}", lambda w=width, h=height: png(w, h, 8, 0), mask=True)
    yield Bomb("image: an EXIF chunk of 1 GB", _sparse)
    text = chunk(b"zTXt", b"k\0\0" + zeros(100 << 20))
    yield image("PNG with 20 texts of 100 MB", lambda: png(8, 8, 8, 2, zeros(200), *[text] * 20))
    itxt = chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(100 << 20))
    yield image("PNG with 20 iTXt of 100 MB", lambda: png(8, 8, 8, 2, zeros(200), *[itxt] * 20))
    profile = chunk(b"iCCP", b"k\0\0" + zeros(500 << 20))
    yield image("PNG with a profile of 500 MB", lambda: png(8, 8, 8, 2, zeros(200), profile))
    yield image("PNG with 500 MB of pixels too many", lambda: png(8, 8, 8, 2, zeros(500 << 20)), refused=False)
    tiny_image = Image.new("P", (8, 8))
    yield image(
        "GIF of 20,000 frames", lambda: _saved(tiny_image, "GIF")[:-1] + _frame() * 20_000 + b";", refused=False
    )
    yield image(
        "GIF of 65,535 × 65,535", lambda: b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0" + _frame() + b";"
    )
    yield image("TIFF of 2,000 pages", lambda: _pages(2_000), refused=False)
    yield image("TIFF whose pages lead back", _circular, refused=False)
    frames = [Image.new("RGB", (8, 8), (n % 256, n // 256, 0)) for n in range(2_000)]
    for kind in ("WEBP", "PNG"):
        yield image(
            f"animated {kind} of 2,000 frames",
            lambda k=kind: _saved(frames[0], k, save_all=True, append_images=frames[1:]),
            refused=False,
        )
    yield image(
        "WebP of 16,383 × 16,383",
        lambda: b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + b"\xfe\x3f\0" * 2,
    )
    yield image(
        "BMP of 2,000,000,000 rows",
        lambda: b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 1, 2_000_000_000, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield image("PPM of 1,000,000 × 1,000,000", lambda: b"P6\n1000000 1000000\n255\n")
    yield image("PPM with a number of 10 MB", lambda: b"P6\n" + b"1" * 10_000_000)
    yield image(
        "TGA of 65,535 × 65,535", lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 65_535, 65_535, 24, 0)
    )
    yield image(
        "QOI of 4,000,000,000 pixels", lambda: b"qoif" + struct.pack(">IIBB", 63_245, 63_245, 3, 0) + bytes(100)
    )
    yield image("JPEG of 65,500 × 65,500", _huge_jpeg)
    yield image("icon of a PNG of 9,000 × 9,000", lambda: _icon(png(9_000, 9_000, 8, 6, zeros(1 << 20))))
    yield image(
        "SVG with entities",
        lambda: (
            b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>'
        ),
    )
    yield image("SVG of 10 MB", lambda: b"<svg>" + b"<g>" * 3_000_000)
    yield image("EPS", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n" + b"%" * 1_000_000)


def _frame() -> bytes:
    return b"\x2c" + struct.pack("<HHHH", 0, 0, 8, 8) + b"\x80" + bytes(6) + b"\x02\x02\x44\x01\0"


def _pages(count: int) -> bytes:
    page = Image.new("L", (1, 1))
    return _saved(page, "TIFF", save_all=True, append_images=[page] * (count - 1))


def _circular() -> bytes:
    content = bytearray(_saved(Image.new("L", (8, 8)), "TIFF"))
    first = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[first : first + 2])[0]
    content[first + 2 + 12 * entries :][:4] = struct.pack("<I", first)
    end = first + 2 + 12 * entries
    content[end : end + 4] = struct.pack("<I", first)
    return bytes(content)


def _huge_jpeg() -> bytes:
    content = bytearray(_saved(Image.new("L", (8, 8)), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(content)


def _icon(content: bytes) -> bytes:
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(content), 22) + content


# --- checkpoints, settings and artifacts


def checkpoint(name: str, refused: bool = True, weights: str = "pretrained", **changes: Any) -> Bomb:
    """A tiny BERT whose config.json says something else."""

    def prepare(folder: Path) -> Callable[[], object]:
        path = folder / "bert" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return lambda: _fit_text(folder / "bert", weights=weights)

    return Bomb(f"checkpoint: {name}", prepare, refused)


def file_of_checkpoint(name: str, file: str, content: bytes | Callable[[], bytes], refused: bool = True) -> Bomb:
    def prepare(folder: Path) -> Callable[[], object]:
        (folder / "bert" / file).write_bytes(content() if callable(content) else content)
        return lambda: _fit_text(folder / "bert")

    return Bomb(f"checkpoint: {name}", prepare, refused)


def _fit_text(folder: Path, strategy: Any = "linear-probe", head: Any = "classification", **settings: Any) -> object:
    model = tg.compose({"name": "hf-text", "checkpoint": str(folder), **settings}, head, strategy)
    rows = {"text": ["my card is lost", "where is my parcel"] * 8, "label": ["card", "parcel"] * 8}
    return model.fit(rows, target="label", training={"epochs": 1}, quiet=True)


def checkpoints() -> Iterator[Bomb]:
    for weights in ("pretrained", "random"):
        yield checkpoint(f"hidden size of 160,000, {weights}", weights=weights, hidden_size=160_000)
        yield checkpoint(f"hidden size of 10¹⁰, {weights}", weights=weights, hidden_size=10**10)
        yield checkpoint(f"2,000 layers, {weights}", weights=weights, num_hidden_layers=2_000)
        yield checkpoint(f"10⁹ layers, {weights}", weights=weights, num_hidden_layers=10**9)
        yield checkpoint(f"a vocabulary of 90,000,000, {weights}", weights=weights, vocab_size=90_000_000)
        yield checkpoint(f"a vocabulary of 10¹², {weights}", weights=weights, vocab_size=10**12)
        yield checkpoint(
            f"an intermediate size of 50,000,000, {weights}", weights=weights, intermediate_size=50_000_000
        )
        yield checkpoint(f"90,000,000 positions, {weights}", weights=weights, max_position_embeddings=90_000_000)
        yield checkpoint(f"90,000,000 types of tokens, {weights}", weights=weights, type_vocab_size=90_000_000)
    yield checkpoint("10⁹ labels", num_labels=10**9)
    yield checkpoint("a negative size", hidden_size=-16)
    yield checkpoint("a size that is a text", hidden_size="x" * 100_000)
    yield checkpoint("a size that is a list", hidden_size=[[16] * 100] * 100)
    yield file_of_checkpoint("a configuration nested deep", "config.json", b'{"a": ' + b"[" * 1_000_000)
    yield file_of_checkpoint("a configuration of digits", "config.json", b'{"hidden_size": ' + b"1" * 1_000_000 + b"}")
    yield file_of_checkpoint("a tokenizer nested deep", "tokenizer.json", b'{"model": ' + b"[" * 1_000_000)
    yield file_of_checkpoint(
        "settings of a tokenizer nested deep", "tokenizer_config.json", b'{"a": ' + b"[" * 1_000_000
    )
    yield file_of_checkpoint("modules nested deep", "modules.json", b"[" * 1_000_000)
    yield file_of_checkpoint(
        "weights with a header of 10 GB", "model.safetensors", struct.pack("<Q", 10 * 2**30) + b"{}"
    )
    yield file_of_checkpoint(
        "weights with a header nested deep", "model.safetensors", _tensors(b'{"a": ' + b"[" * 1_000_000)
    )
    overlap = {f"t{n}": {"dtype": "F32", "shape": [1 << 28], "data_offsets": [0, 1 << 30]} for n in range(50)}
    yield file_of_checkpoint("weights that overlap", "model.safetensors", _tensors(json.dumps(overlap).encode()))
    shape = {"t": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}
    yield file_of_checkpoint("weights of a shape of 2⁸⁰", "model.safetensors", _tensors(json.dumps(shape).encode()))
    empty = {f"t{n}": {"dtype": "F32", "shape": [0, n], "data_offsets": [0, 0]} for n in range(200_000)}
    yield file_of_checkpoint("200,000 empty weights", "model.safetensors", lambda: _tensors(json.dumps(empty).encode()))
    shards = {"weight_map": {f"t{n}": f"model-{n}.safetensors" for n in range(200_000)}}

    def many_shards(folder: Path) -> Callable[[], object]:
        (folder / "bert" / "model.safetensors").rename(folder / "bert" / "model-0.safetensors")
        (folder / "bert" / "model.safetensors.index.json").write_text(json.dumps(shards))
        return lambda: _fit_text(folder / "bert")

    yield Bomb("checkpoint: an index of 200,000 files", many_shards)


def _tensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(64)


def settings() -> Iterator[Bomb]:
    def text(name: str, strategy: Any = "linear-probe", head: Any = "classification") -> Bomb:
        return Bomb(f"settings: {name}", lambda folder: lambda: _fit_text(folder / "bert", strategy, head))

    for kind in ("lora", "rslora", "dora", "adalora", "vera"):
        for rank in (10**8, 10**15):
            yield text(f"{kind} of rank {rank:.0e}", {"name": kind, "rank": rank})
    for kind in ("prompt-tuning", "prefix-tuning"):
        yield text(f"{kind} of length 10⁹", {"name": kind, "length": 10**9})
    yield text("adapters of size 10⁹", {"name": "adapters", "size": 10**9})
    nested: Any = "full"
    for _ in range(200):
        nested = {"name": "stages", "strategies": [nested]}
    yield text("stages 200 deep", nested)
    yield text("100,000 stages", {"name": "stages", "strategies": ["full"] * 100_000})

    def table(name: str, backbone: Any) -> Bomb:
        others = {"new-esm": {"sequence": ["MKV"] * 40}, "timm": {"image": [png(4, 4)] * 40}}
        rows = {"label": ["yes", "no"] * 20} | others.get(backbone["name"], {"a": [1.0, 2.0] * 20})
        return Bomb(
            f"settings: {name}",
            lambda folder: lambda: tg.compose(backbone, "classification", "full").fit(rows, target="label", quiet=True),
        )

    for kind in ("tabular-resnet", "mlp-plr", "tabm"):
        yield table(f"{kind} of feature size 10⁶", {"name": kind, "feature_size": 10**6})
        yield table(f"{kind} of feature size 10¹²", {"name": kind, "feature_size": 10**12})
    yield table("ft-transformer of feature size 800,000", {"name": "ft-transformer", "feature_size": 800_000})
    yield table(
        "new-esm of feature size 20,480", {"name": "new-esm", "feature_size": 20_480, "heads": 20, "blocks": 24}
    )
    yield table(
        "timm with an image of 10⁹ pixels",
        {"name": "timm", "model": "test_vit", "weights": "random", "image_size": 10**9},
    )
    yield table(
        "timm with an embedding of 10⁷",
        {"name": "timm", "model": "test_vit", "weights": "random", "arguments": {"embed_dim": 10**7}},
    )
    yield table(
        "timm with 10⁶ blocks",
        {"name": "timm", "model": "test_vit", "weights": "random", "arguments": {"depth": 10**6}},
    )
    for key, value in (
        ("batch_size", 9_999_999_999),
        ("epochs", 10**18),
        ("steps", 10**30),
        ("micro_batch", 10**18),
        ("seed", 10**30),
        ("workers", 200),
        ("memory", 10**30),
    ):

        def prepare(folder: Path, key: str = key, value: int = value) -> Callable[[], object]:
            rows = {"text": ["my card is lost", "where is my parcel"] * 8, "label": ["card", "parcel"] * 8}
            model = tg.compose(f"hf-text:{folder / 'bert'}", "classification", "full")
            return lambda: model.fit(rows, target="label", training={key: value}, quiet=True)

        yield Bomb(f"settings: training.{key} of {value:.0e}", prepare)


def artifacts() -> Iterator[Bomb]:
    def manifest(name: str, artifact: str, change: Callable[[dict[str, Any]], object], refused: bool = True) -> Bomb:
        def prepare(folder: Path) -> Callable[[], object]:
            rewrite_manifest(folder / artifact, change)
            return lambda: tg.load(folder / artifact)

        return Bomb(f"artifact: {name}", prepare, refused)

    def setting(axis: str, **values: Any) -> Callable[[dict[str, Any]], object]:
        return lambda document: document["recipe"][axis]["settings"].update(values)

    for size in (20_000, 10**6, 10**12):
        yield manifest(f"a table of feature size {size:.0e}", "table", setting("backbone", feature_size=size))
    yield manifest("a table of a hidden size of 10⁸", "table", setting("backbone", hidden=1e6))
    yield manifest("categories of 10⁹ numbers", "table", setting("backbone", category_size=10**9), refused=False)
    for rank in (10**6, 10**8, 10**15):
        yield manifest(f"a rank of {rank:.0e}", "lora", setting("strategy", rank=rank))
    yield manifest(
        "200,000 labels", "table", lambda d: d["target"].update(vocabulary=[f"l{n}" for n in range(200_000)])
    )
    yield manifest("labels nested deep", "table", lambda d: d["target"].update(vocabulary=_nested(90)))
    yield manifest(
        "100,000 tensors",
        "table",
        lambda d: d["tensors"].update({f"t{n}": next(iter(d["tensors"].values())) for n in range(60_000)}),
    )
    yield manifest(
        "100,000 metrics", "table", lambda d: d["metrics"].update({f"m{n}": 0.5 for n in range(100_000)}), refused=False
    )
    yield manifest(
        "a batch size of 9,999,999,999", "table", lambda d: d["recipe"]["training"].update(batch_size=9_999_999_999)
    )
    yield manifest("200 workers", "table", lambda d: d["recipe"]["training"].update(workers=200), refused=False)
    yield manifest("random weights of a hidden size", "lora", setting("backbone", weights="random"))

    def raw(name: str, content: bytes) -> Bomb:
        def prepare(folder: Path) -> Callable[[], object]:
            from forged_artifact import MANIFEST, write_checksums

            (folder / "table" / MANIFEST).write_bytes(content)
            write_checksums(folder / "table")
            return lambda: tg.load(folder / "table")

        return Bomb(f"artifact: {name}", prepare)

    yield raw("a manifest nested deep", b'{"schema_version": 1, "recipe": ' + b"[" * 1_000_000)
    yield raw("a manifest of digits", b'{"schema_version": ' + b"1" * 1_000_000 + b"}")
    yield raw("a manifest with half a pair", b'{"schema_version": 1, "base": "\\ud800"}')


def _nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def all_bombs() -> list[Bomb]:
    return [*recipes(), *overrides(), *tables(), *images(), *checkpoints(), *settings(), *artifacts()]
