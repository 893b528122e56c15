"""Files that are not files, in every place that is read: pipes, devices, holes, files that fail or shrink meanwhile."""

import errno
import gzip
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, FileIO, RawIOBase
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import torch
from attacks import MEMORY, SECONDS, Outcome, forked
from PIL import Image
from pyarrow import parquet
from small_tasks import sentences

import taskgraft as tg
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError
from taskgraft.reading.read import read_rows
from taskgraft.recipes.files import read_recipe

HOLE = 40 * 2**30
"""Bytes of a file of which next to nothing is stored."""

LIMIT = 30.0
"""Seconds after which a process hangs."""


# --- what is put in the place of a file


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = os.open(path.parent, os.O_RDONLY)
    try:
        server.bind(f"/proc/self/fd/{here}/{path.name}")  # the whole path may be too long
    finally:
        os.close(here)
        server.close()


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _hole(path: Path) -> None:
    path.touch()
    os.truncate(path, HOLE)


REPLACEMENTS: dict[str, Callable[[Path], None]] = {
    "pipe": _pipe,
    "socket": _socket,
    "device without end": _link("/dev/zero"),
    "device of noise": _link("/dev/urandom"),
    "device that waits": _link("/dev/ptmx"),
    "file of the kernel": _link("/proc/self/environ"),
    "memory of the kernel": _link("/proc/kcore"),
    "setting of the kernel": _link("/sys/kernel/uevent_seqnum"),
    "folder": Path.mkdir,
    "loop of links": lambda path: path.symlink_to(path.name),
    "link to nothing": _link("/nowhere/at/all"),
    "hole": _hole,
    "empty file": Path.touch,
}
"""Name → makes it at a path where nothing is."""


class _Failing(FileIO):
    """A file whose disk fails after the first bytes."""

    def readinto(self, buffer):
        if self.tell() > 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(memoryview(buffer)[:64])

    readall = RawIOBase.readall


class _FailingAtOnce(FileIO):
    """A file whose disk fails."""

    def readinto(self, buffer):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    readall = RawIOBase.readall


class _Shrinking(FileIO):
    """A file that becomes shorter while it is read."""

    def readinto(self, buffer):
        os.truncate(self.shrinks, min(os.stat(self.shrinks).st_size, self.left))
        return super().readinto(memoryview(buffer)[:64])

    readall = RawIOBase.readall


def _with_raw(kind: type[FileIO], file: Path) -> None:
    """Let a file be read through another class of raw files, in this process."""
    opened, left = os.fdopen, file.stat().st_size // 2

    def fdopen(descriptor, *arguments, **settings):
        if os.path.realpath(f"/proc/self/fd/{descriptor}") != os.path.realpath(file):
            return opened(descriptor, *arguments, **settings)
        raw = kind(descriptor)
        raw.shrinks, raw.left = file, left
        return BufferedReader(raw)

    os.fdopen = fdopen


def _denied(file: Path) -> None:
    """Refuse to open a file in this process: its rights do not bind the administrator, who may run the tests."""
    opened = os.open

    def refuse(path, *arguments, **settings):
        if os.fspath(path) == os.fspath(file):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, *arguments, **settings)

    os.open = refuse


FAULTS: dict[str, Callable[[Path], None]] = {
    "disk that fails": partial(_with_raw, _FailingAtOnce),
    "disk that fails later": partial(_with_raw, _Failing),
    "file that shrinks": partial(_with_raw, _Shrinking),
    "file without permission": _denied,
}
"""Name → makes reads of a file fail, in a forked process. Not for files that libraries open themselves."""

KEPT = {"hole after the content": lambda path: os.truncate(path, HOLE)}
"""Name → changes a file in place."""

NAMES = {
    "name of 5,000 characters": "x" * 5_000,
    "name with a zero byte": "a\0b",
    "name that is not UTF-8": "caf\udce9",
    "a lone surrogate": "a\ud800",
    "path of 1,000 folders": "/".join(["a"] * 1_000),
}


# --- where files are read


@dataclass(frozen=True)
class Place:
    """A file, and what reads it. ``ours`` is false where only a library opens it."""

    file: str
    use: Callable[[Path], object]
    ours: bool = True


def _rows(name: str, reader: object = None) -> Callable[[Path], object]:
    def use(world: Path) -> None:
        rows = read_rows(world / name, catalog(), "the data", reader=reader)
        for column in rows.columns:
            rows.values(column)

    return use


def _text_backbone(world: Path) -> None:
    from taskgraft_text.backbone import TextBackbone
    from taskgraft_text.settings import TextConfig

    TextBackbone(TextConfig(checkpoint=str(world / "text"))).fingerprint()


def _timm(world: Path, **settings: str) -> None:
    from taskgraft_vision import timm_backbone
    from taskgraft_vision.settings import TimmConfig

    timm_backbone.build(TimmConfig(**{"model": str(world / "timm"), **settings})).fingerprint()


def _timm_file(world: Path) -> None:
    _timm(world, model="test_resnet", weights=str(world / "weights.safetensors"))


def _hf_vision(world: Path) -> None:
    from taskgraft_vision.hf_backbone import describe
    from taskgraft_vision.settings import HfVisionConfig

    describe(HfVisionConfig(model=str(world / "vit")))


def _image(world: Path) -> None:
    from taskgraft_vision.images import InvalidImage, load_image

    try:
        load_image(str(world / "image.png"))
    except InvalidImage as error:
        raise TaskgraftError(str(error)) from None


def _mask(world: Path) -> None:
    from taskgraft_vision.images import InvalidImage
    from taskgraft_vision.masks import load_mask

    try:
        load_mask(str(world / "mask.png"))
    except InvalidImage as error:
        raise TaskgraftError(str(error)) from None


def _load(world: Path) -> None:
    tg.load(world / "artifact").predict(["card lost"])


def _compose_over(world: Path) -> None:
    model = tg.compose(f"small-words:{world / 'artifact'}", "classification", "linear-probe")
    model.fit(sentences(), target="label", quiet=True)


def _export(world: Path) -> None:
    from taskgraft.artifact.export import _check_replaceable

    _check_replaceable(world / "exported", overwrite=True)


def _recipe(name: str) -> Callable[[Path], object]:
    return lambda world: read_recipe(world / name)


def _resume(world: Path) -> None:
    from taskgraft.storage.run_directory import RunDirectory

    directory = RunDirectory(world / "run")
    directory.open({"seed": 1}, resume=True)
    try:
        directory.load_state()
    finally:
        directory.close()


FASTA = {"name": "fasta", "labels": "labels.fasta"}

PLACES = [
    Place("rows.csv", _rows("rows.csv")),
    Place("rows.tsv", _rows("rows.tsv")),
    Place("rows.csv.gz", _rows("rows.csv.gz")),
    Place("rows.jsonl", _rows("rows.jsonl")),
    Place("rows.jsonl.gz", _rows("rows.jsonl.gz")),
    Place("rows.txt", _rows("rows.txt", "lines")),
    Place("rows.parquet", _rows("rows.parquet")),
    Place("rows.parquet.gz", _rows("rows.parquet.gz")),
    Place("proteins.fasta", _rows("proteins.fasta")),
    Place("labels.fasta", _rows("proteins.fasta", FASTA)),
    Place("set/data-00000-of-00001.arrow", _rows("set")),
    Place("set/state.json", _rows("set")),
    Place("set/dataset_info.json", _rows("set")),
    Place("splits/dataset_dict.json", _rows("splits")),
    Place("image.png", _image),
    Place("mask.png", _mask),
    Place("text/config.json", _text_backbone, ours=False),
    Place("text/tokenizer.json", _text_backbone, ours=False),
    Place("text/tokenizer_config.json", _text_backbone, ours=False),
    Place("text/model.safetensors", _text_backbone, ours=False),
    Place("text/modules.json", _text_backbone),
    Place("text/1_Pooling/config.json", _text_backbone),
    Place("text/sentence_bert_config.json", _text_backbone),
    Place("timm/config.json", _timm),
    Place("timm/model.safetensors", _timm, ours=False),
    Place("weights.safetensors", _timm_file, ours=False),
    Place("vit/preprocessor_config.json", _hf_vision, ours=False),
    Place("artifact/taskgraft.json", _load),
    Place("artifact/learned.safetensors", _load),
    Place("artifact/SHA256SUMS", _load),
    Place("artifact/learned.safetensors", _compose_over),
    Place("exported/taskgraft-export.json", _export),
    Place("recipe.toml", _recipe("recipe.toml")),
    Place("recipe.yaml", _recipe("recipe.yaml")),
    Place("recipe.json", _recipe("recipe.json")),
    Place("run/run.json", _resume),
    Place("run/state.safetensors", _resume),
]


def build_world(folder: Path) -> Path:
    """Write a good file to every place, and read all of them once, so that libraries are imported."""
    world = folder / "world"
    world.mkdir()
    torch.manual_seed(0)
    count = range(200)
    columns = {"text": [f"row {row}" for row in count], "label": [f"{row % 2}" for row in count]}
    table = pa.table(columns)
    lines = "".join(f"row {row},{row % 2}\n" for row in count)
    (world / "rows.csv").write_text(f"text,label\n{lines}")
    (world / "rows.tsv").write_text(f"text,label\n{lines}".replace(",", "\t"))
    (world / "rows.csv.gz").write_bytes(gzip.compress((world / "rows.csv").read_bytes(), 0))
    (world / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    (world / "rows.jsonl.gz").write_bytes(gzip.compress((world / "rows.jsonl").read_bytes(), 0))
    (world / "rows.txt").write_text("".join(f"{text}\n" for text in columns["text"]))
    parquet.write_table(table, world / "rows.parquet")
    (world / "rows.parquet.gz").write_bytes(gzip.compress((world / "rows.parquet").read_bytes(), 0))
    (world / "proteins.fasta").write_text("".join(f">p{row}\nMKV\n" for row in count))
    (world / "labels.fasta").write_text("".join(f">p{row}\nHHE\n" for row in count))
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(world / "set")
    (world / "splits").mkdir()
    (world / "splits" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(world / "image.png")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(world / "mask.png")
    _write_checkpoints(world)
    model = tg.compose("small-words", "classification", {"name": "full", "learning_rate": 1e-2})
    model.fit(sentences(), target="label", training={"epochs": 1}, quiet=True)
    model.save(world / "artifact")
    (world / "exported").mkdir()
    (world / "exported" / "taskgraft-export.json").write_text('{"files": []}')
    recipe = {"backbone": "small-words", "head": "classification", "strategy": "full"}
    (world / "recipe.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in recipe.items()))
    (world / "recipe.yaml").write_text("".join(f"{key}: {value}\n" for key, value in recipe.items()))
    (world / "recipe.json").write_text(json.dumps(recipe))
    _write_run(world / "run")
    for place in PLACES:
        try:
            place.use(world)
        except TaskgraftError:
            if not place.file.startswith("splits"):
                raise
    return world


def _write_checkpoints(world: Path) -> None:
    import timm
    from safetensors.torch import save_file
    from timm.models import save_for_hf
    from tiny import save
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    save("bert", world / "text")
    modules = [{"type": f"sentence_transformers.models.{name}", "path": path} for name, path in _MODULES.items()]
    (world / "text" / "modules.json").write_text(json.dumps(modules))
    (world / "text" / "1_Pooling").mkdir()
    (world / "text" / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (world / "text" / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    model = timm.create_model("test_resnet")
    save_for_hf(model, world / "timm", model_args={}, safe_serialization=True)
    save_file(model.state_dict(), world / "weights.safetensors")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    ViTModel(ViTConfig(image_size=32, patch_size=16, **sizes)).save_pretrained(world / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(world / "vit")


_MODULES = {"Transformer": "", "Pooling": "1_Pooling"}


def _write_run(folder: Path) -> None:
    from taskgraft.storage.run_directory import RunDirectory

    directory = RunDirectory(folder)
    directory.open({"seed": 1}, resume=False)
    directory.save_state({"epoch": 1}, {"weight": torch.ones(1_000)})
    directory.close()


# --- attacks


@dataclass(frozen=True)
class Attack:
    """One file in one place is replaced or fails."""

    place: Place
    kind: str

    @property
    def name(self) -> str:
        return f"{self.place.file} ({self.kind})"


def attacks() -> Iterator[Attack]:
    """All attacks that a place can have."""
    for place in PLACES:
        for kind in (*REPLACEMENTS, *KEPT, *(FAULTS if place.ours else ())):
            yield Attack(place, kind)


def attempt(attack: Attack, world: Path) -> Outcome:
    """Replace the file, read it in a forked process, and put it back."""
    file = world / attack.place.file
    backup = world.parent / "backup"
    file.rename(backup)
    try:
        if attack.kind in REPLACEMENTS:
            REPLACEMENTS[attack.kind](file)
        else:
            file.write_bytes(backup.read_bytes())
        if attack.kind in KEPT:
            KEPT[attack.kind](file)
        fault = FAULTS.get(attack.kind)
        return forked(lambda: _one_sentence(lambda: attack.place.use(world), fault and partial(fault, file)), LIMIT)
    finally:
        if file.is_dir() and not file.is_symlink():
            file.rmdir()
        else:
            file.unlink(missing_ok=True)
        backup.rename(file)


def holds(outcome: Outcome) -> bool:
    """Tell whether an attack ended in one sentence, in time and within memory."""
    in_time = not outcome.timed_out and outcome.seconds <= SECONDS
    return outcome.code == 0 and in_time and outcome.memory <= MEMORY


def refused_name(kind: str, use: Callable[[str], object]) -> Outcome:
    """Read what a hostile name names, in a forked process."""
    return forked(lambda: _one_sentence(lambda: use(NAMES[kind]), None), LIMIT)


def _one_sentence(use: Callable[[], object], fault: Callable[[], None] | None) -> None:
    if fault is not None:
        fault()
    try:
        use()
    except TaskgraftError as error:
        message = str(error)
        assert message.count("\n") <= 1, message
        assert len(message) < 900, message
        assert "Errno" not in message, message
        assert "None" not in message, message
        print(message)
    else:
        raise AssertionError("it was read")
