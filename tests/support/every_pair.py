"""Every installed strategy and a tiny backbone of each common kind, for the matrix of both."""

from pathlib import Path
from typing import Any

import tiny_bases

from taskgraft.testing import installed_strategies

KINDS = ("bert", "gpt2", "vit", "resnet", "esm", "ft-transformer", "tabm")


def backbones(folder: Path, kinds: tuple[str, ...] = KINDS) -> dict[str, tuple[Any, dict[str, list[Any]]]]:
    """Write tiny checkpoints, and return what to compose with. All rows have the columns that the teacher reads."""
    made = {kind: tiny_bases.base(kind, folder) for kind in kinds}
    return {kind: (backbone, tiny_bases.TABLE | rows) for kind, (backbone, rows) in made.items()}


def strategies(folder: Path) -> dict[str, Any]:
    """Return every installed strategy with small settings, by its name; composed ones by their components."""
    teacher = folder / "teacher"
    if not teacher.is_dir():
        tiny_bases.fitted(tiny_bases.TABLES["tabm"], tiny_bases.TABLE, "linear-probe").save(teacher)
    return (
        installed_strategies()
        | {name.partition(":")[0]: name for name in tiny_bases.STRATEGIES}
        | {
            "distill": {"name": "distill", "teacher": str(teacher)},
            "stages (adapters, full)": {"name": "stages", "strategies": ["adapters", "full"]},
        }
    )
