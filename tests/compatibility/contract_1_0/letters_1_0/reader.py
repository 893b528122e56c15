"""The reader: a row per line, text and label with a sign between."""

from pathlib import Path

import pyarrow as pa

from letters_1_0 import TabsConfig
from taskgraft.plugin import Rows, UnreadableFile


def read(path: Path, config: TabsConfig) -> Rows:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(str(path), f"it cannot be read ({error}).") from None
    pieces = [line.split(config.sign) for line in lines]
    refused = {row: "there is no label" for row, piece in enumerate(pieces) if len(piece) != 2}
    texts, labels = ([piece[at] if len(piece) == 2 else None for piece in pieces] for at in (0, 1))
    return Rows(pa.table({"text": texts, "label": labels}), path.name, list(range(1, len(lines) + 1)), refused)
