"""The reader of image folders: one folder per label, and the images below it. Nothing heavy is imported until it reads."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from taskgraft.plugin import EmptyConfig, join_words

if TYPE_CHECKING:
    import pyarrow as pa

    from taskgraft.plugin import Rows

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""How the names of images end, in capitals or not."""

PATTERNS = tuple(
    f"{level}*{spelled}" for level in ("*/", "") for ending in ENDINGS for spelled in (ending, ending.upper())
)
"""What is found in a folder that this reader takes: images in the folders of labels, or directly in it."""

HOUSEKEEPING = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""What operating systems leave in folders, besides names that begin with a point."""

PIECE = 65_536
"""Rows that are put away at a time."""


def read_image_folder(path: Path, config: EmptyConfig) -> "Rows":
    """Read ``root/LABEL/…/IMAGE``: the columns ``image``, a path that starts at the root, and ``label``, sorted by path.

    A folder without folders holds images alone, and gives the column ``image`` alone. Hidden files are passed over, and so
    is what is no image by its ending where it stands directly in the root (a README, a table); inside the folder of a label
    such a file is a refused row. So is a link that leads out of the root, a link to a folder, which could lead in a
    circle, and, beside folders of labels, an image that stands in none of them.

    Raises:
        UnreadableFile: for a folder that cannot be listed, that holds no image, or that has a label without one.
    """
    from taskgraft.plugin import ArrowSpool, Rows

    root = os.path.realpath(path)
    entries = _listed(path, root, "")
    labels = [entry.name for entry in entries if entry.is_folder]
    refused: dict[int, str] = {}
    row = 0
    with ArrowSpool() as spill:
        found = _found(path, root, entries, labelled=bool(labels))
        while piece := list(islice(found, PIECE)):
            spill.write(_table(piece, labelled=bool(labels)))
            refused |= {place: one.problem for place, one in enumerate(piece, row) if one.problem is not None}
            row += len(piece)
        if row == 0:
            raise _unreadable(path, f"the folder holds no image. The names of images end in {join_words(ENDINGS)}.")
        return Rows(spill.finish(), path.name or str(path), invalid=refused, folder=path)


class _Entry(NamedTuple):
    name: str
    is_folder: bool
    is_link: bool


class _Image(NamedTuple):
    """A row; ``problem`` says why it cannot be used."""

    path: str
    label: str | None
    problem: str | None


def _found(path: Path, root: str, entries: list[_Entry], *, labelled: bool) -> Iterator[_Image]:
    """Go through all rows, sorted by path.

    Raises:
        UnreadableFile: when a label has no image.
    """
    for entry in entries:
        if entry.is_folder:
            images = 0
            for name, problem in _below(path, root, entry.name):
                images += _is_image(name)
                yield _Image(_shown(name), _shown(entry.name), problem)
            if images == 0:
                advice = "Put images into it, or take it away."
                raise _unreadable(path, f"the folder of the label '{_shown(entry.name)}' holds no image. {advice}")
        elif _is_image(entry.name) or (entry.is_link and os.path.isdir(os.path.join(root, entry.name))):
            alone = f"{_shown(entry.name)} stands in no folder of a label" if labelled else None
            yield _Image(_shown(entry.name), None, _problem(root, entry.name, is_link=entry.is_link) or alone)


def _below(path: Path, root: str, folder: str) -> Iterator[tuple[str, str | None]]:
    """Go through the files of a folder and of those inside it: paths from the root, and what is wrong with each."""
    for entry in _listed(path, root, folder):
        name = f"{folder}/{entry.name}"
        if entry.is_folder:
            yield from _below(path, root, name)
        else:
            yield name, _problem(root, name, is_link=entry.is_link)


def _listed(path: Path, root: str, folder: str) -> list[_Entry]:
    """List what is not hidden in a folder, sorted by name. A link is no folder, wherever it leads.

    Raises:
        UnreadableFile: when that cannot be done.
    """
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            return sorted(
                _Entry(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                for entry in entries
                if not entry.name.startswith(".") and entry.name.lower() not in HOUSEKEEPING
            )
    except OSError as error:
        raise _unreadable(path / folder, f"the folder cannot be listed ({error.strerror}).") from None


def _problem(root: str, name: str, *, is_link: bool) -> str | None:
    """Say why a file is no image of this folder, as far as that is known without reading it."""
    shown = _shown(name)
    if is_link:
        target = os.path.realpath(os.path.join(root, name))
        if not Path(target).is_relative_to(root):
            return f"{shown} is a link that leads out of the folder"
        if not os.path.exists(target):
            return f"{shown} is a link that leads nowhere"
        if os.path.isdir(target):
            return f"{shown} is a link to a folder, which is not followed"
    if not _is_image(name):
        return f"{shown} is no image by its ending"
    return f"{shown} has a name that is not UTF-8" if shown != name else None


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _shown(name: str) -> str:
    """Give a name as text; what is not UTF-8 in it is replaced."""
    return os.fsencode(name).decode(errors="replace")


def _table(images: list[_Image], *, labelled: bool) -> "pa.Table":
    import pyarrow as pa

    columns = {"image": pa.array([image.path for image in images], pa.large_string())}
    if labelled:
        columns["label"] = pa.array([image.label for image in images], pa.large_string())
    return pa.table(columns)


def _unreadable(path: Path, problem: str) -> Exception:
    from taskgraft.plugin import UnreadableFile

    return UnreadableFile(str(path), problem)
