import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny_bases


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A function: kind → a tiny backbone and rows for it."""
    folder = tmp_path_factory.mktemp("bases")
    return lambda name: tiny_bases.base(name, folder)
