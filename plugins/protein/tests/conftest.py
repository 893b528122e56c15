import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny_proteins


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Give a function: family → the folder of a tiny checkpoint, made once."""
    made: dict[str, Path] = {}

    def give(family: str) -> Path:
        if family not in made:
            made[family] = tiny_proteins.save(family, tmp_path_factory.mktemp(family))
        return made[family]

    return give
