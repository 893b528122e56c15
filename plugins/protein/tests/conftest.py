import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny_proteins


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A function: family → the folder of a tiny checkpoint, saved once."""
    folders: dict[str, Path] = {}

    def folder_of(family: str) -> Path:
        if family not in folders:
            folders[family] = tiny_proteins.save(family, tmp_path_factory.mktemp(family))
        return folders[family]

    return folder_of
