"""The reader of folders of WAV files. It imports pyarrow only when it reads."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from taskgraft.plugin import EmptyConfig

from plugin_audio.settings import AUDIO

if TYPE_CHECKING:
    from taskgraft.plugin import Rows

LABEL = "label"

PATTERNS = ("*/*.wav", "*.wav", "*/*.WAV", "*.WAV")
"""Files of a folder that this reader reads: sounds in the folders of labels, or directly in it."""


def read_folder(path: Path, config: EmptyConfig) -> "Rows":
    """Read ``root/LABEL/…/SOUND.wav`` into the columns ``audio``, a path relative to the root, and ``label``.

    Rows are sorted by path. A folder without subfolders gives only ``audio``. Names that start with a dot are ignored. In the
    folder of a label, a file without the ending .wav is an invalid row; so are broken links, links that lead out of the root
    or to a folder, and sounds next to the folders of labels.

    Raises:
        UnreadableFile: for a folder that cannot be listed, or has no sound.
    """
    return _read(path, labelled=True)


def read_columns(path: Path, config: EmptyConfig, columns: Collection[str]) -> "Rows":
    """Read the same rows for these columns alone. Raises as :func:`read_folder`."""
    return _read(path, labelled=LABEL in columns)


def _read(path: Path, *, labelled: bool) -> "Rows":
    import pyarrow as pa
    from taskgraft.plugin import Rows, UnreadableFile

    root = Path(os.path.realpath(path))
    try:
        labelled = labelled and any(entry.is_dir() and not entry.name.startswith(".") for entry in root.iterdir())
        found = sorted(_iter_files(root, root), key=lambda entry: entry[0])
    except OSError as error:
        raise UnreadableFile(str(path), f"the folder cannot be listed ({error.strerror}).") from None
    if not any(_is_sound(name) for name, _ in found):
        raise UnreadableFile(str(path), "the folder has no sound. Sound files end in .wav.")
    names, labels, invalid = [], [], {}
    for row, (name, problem) in enumerate(found):
        label, slash, _ = name.partition("/")
        if labelled and not slash:
            problem = problem or f"{name} is not in the folder of a label"
        if problem is not None:
            invalid[row] = problem
        names.append(name)
        labels.append(label if slash else None)
    columns = {AUDIO: pa.array(names, pa.string())}
    if labelled:
        columns[LABEL] = pa.array(labels, pa.string())
    return Rows(pa.table(columns), path.name or str(path), invalid=invalid, folder=path)


def _iter_files(root: Path, folder: Path) -> Iterator[tuple[str, str | None]]:
    """Yield files: the path relative to the root, and why it is invalid. Files at the root without .wav are left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _as_text(os.path.relpath(entry.path, root))
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _iter_files(root, Path(entry.path))
            elif _is_sound(entry.name) or folder != root:
                yield name, _problem(root, entry.path, name, is_link=entry.is_symlink())


def _problem(root: Path, path: str, name: str, *, is_link: bool) -> str | None:
    if is_link and not Path(os.path.realpath(path)).is_relative_to(root):
        return f"{name} is a link that leads out of the folder"
    if not os.path.exists(path):
        return f"{name} is a broken link"
    if os.path.isdir(path):
        return f"{name} is a link to a folder; such links are not followed"
    if name != os.path.relpath(path, root):
        return f"{name} has a name that is not UTF-8"
    return None if _is_sound(name) else f"{name} does not end in .wav"


def _is_sound(name: str) -> bool:
    return name.lower().endswith(".wav")


def _as_text(name: str) -> str:
    """Decode a name with / between folders; bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace").replace(os.sep, "/")
