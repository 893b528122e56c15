"""The reader of image folders: one subfolder per label. It imports pyarrow only when it reads."""

import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from taskgraft.plugin import EmptyConfig, join_words

if TYPE_CHECKING:
    import pyarrow as pa

    from taskgraft.plugin import Rows

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of image files, matched without case."""

PATTERNS = tuple(
    f"{level}*{spelling}" for level in ("*/", "") for suffix in SUFFIXES for spelling in (suffix, suffix.upper())
)
"""Files of a folder that this reader reads: images in the folders of labels, or directly in it."""

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""Files of operating systems that are ignored, besides names that start with a dot."""

ROWS_PER_WRITE = 65_536
"""Rows per write to the spool."""


def read_image_folder(path: Path, config: EmptyConfig) -> "Rows":
    """Read ``root/LABEL/…/IMAGE`` into the columns ``image``, a path relative to the root, and ``label``, sorted by path.

    A folder without subfolders contains only images, and gives only the column ``image``. Hidden files are ignored, and so are
    files directly in the root without the suffix of an image (a README, a table); in the folder of a label such a file is an
    invalid row. Links that point outside the root or to a folder (which might be a loop) are invalid rows too, and so are
    images directly in the root if there are folders of labels.

    Raises:
        UnreadableFile: for a folder that cannot be listed, has no image, or has a label without images.
    """
    return _read(path, labelled=True)


def read_image_columns(path: Path, config: EmptyConfig, columns: Collection[str]) -> "Rows":
    """Read the same images for these columns alone. Without the label, subfolders mean nothing, and may be empty.

    Raises: as :func:`read_image_folder`.
    """
    return _read(path, labelled="label" in columns)


def _read(path: Path, *, labelled: bool) -> "Rows":
    from taskgraft.plugin import ArrowSpool, Rows

    root = os.path.realpath(path)
    entries = _list_folder(path, root, "")
    labelled = labelled and any(entry.is_folder for entry in entries)
    invalid: dict[int, str] = {}
    row = 0
    with ArrowSpool() as spool:
        images = _iter_images(path, root, entries, labelled=labelled)
        while chunk := list(islice(images, ROWS_PER_WRITE)):
            spool.write(_table(chunk, labelled=labelled))
            invalid |= {number: image.problem for number, image in enumerate(chunk, row) if image.problem is not None}
            row += len(chunk)
        if row == 0:
            raise _unreadable_file(path, f"the folder has no image. Image files end in {join_words(SUFFIXES)}.")
        return Rows(spool.finish(), path.name or str(path), invalid=invalid, folder=path)


class _Entry(NamedTuple):
    name: str
    is_folder: bool
    is_link: bool


class _Image(NamedTuple):
    """A row; ``problem`` is the reason if it is invalid."""

    path: str
    label: str | None
    problem: str | None


def _iter_images(path: Path, root: str, entries: list[_Entry], *, labelled: bool) -> Iterator[_Image]:
    """Yield all rows, sorted by path.

    Raises:
        UnreadableFile: if a label has no image.
    """
    for entry in entries:
        if entry.is_folder:
            images = 0
            for name, problem in _iter_files(path, root, entry.name):
                images += _is_image(name)
                yield _Image(_as_text(name), _as_text(entry.name), problem)
            if labelled and images == 0:
                advice = "Add images, or remove the folder."
                raise _unreadable_file(path, f"the folder of the label '{_as_text(entry.name)}' has no image. {advice}")
        elif _is_image(entry.name) or (entry.is_link and os.path.isdir(os.path.join(root, entry.name))):
            unlabelled = f"{_as_text(entry.name)} is not in the folder of a label" if labelled else None
            yield _Image(_as_text(entry.name), None, _problem(root, entry.name, is_link=entry.is_link) or unlabelled)


def _iter_files(path: Path, root: str, folder: str) -> Iterator[tuple[str, str | None]]:
    """Yield the files of a folder and its subfolders: the path relative to the root, and the reason if it is invalid."""
    for entry in _list_folder(path, root, folder):
        name = f"{folder}/{entry.name}"
        if entry.is_folder:
            yield from _iter_files(path, root, name)
        else:
            yield name, _problem(root, name, is_link=entry.is_link)


def _list_folder(path: Path, root: str, folder: str) -> list[_Entry]:
    """List a folder without hidden files, sorted by name. A link is not a folder, wherever it points.

    Raises:
        UnreadableFile: if it cannot be listed.
    """
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            return sorted(
                _Entry(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                for entry in entries
                if not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_FILES
            )
    except OSError as error:
        raise _unreadable_file(path / folder, f"the folder cannot be listed ({error.strerror}).") from None


def _problem(root: str, name: str, *, is_link: bool) -> str | None:
    """Return why a file is not a valid image, as far as its name and link show; None if it may be."""
    text = _as_text(name)
    if is_link:
        target = os.path.realpath(os.path.join(root, name))
        if not Path(target).is_relative_to(root):
            return f"{text} is a link that points outside the folder"
        if not os.path.exists(target):
            return f"{text} is a broken link"
        if os.path.isdir(target):
            return f"{text} is a link to a folder; such links are not followed"
    if not _is_image(name):
        return f"{text} does not have the suffix of an image"
    return f"{text} has a name that is not UTF-8" if text != name else None


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _as_text(name: str) -> str:
    """Decode a name; bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace")


def _table(images: list[_Image], *, labelled: bool) -> "pa.Table":
    import pyarrow as pa

    columns = {"image": pa.array([image.path for image in images], pa.large_string())}
    if labelled:
        columns["label"] = pa.array([image.label for image in images], pa.large_string())
    return pa.table(columns)


def _unreadable_file(path: Path, problem: str) -> Exception:
    from taskgraft.plugin import UnreadableFile

    return UnreadableFile(str(path), problem)
