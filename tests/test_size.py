"""How large the core may be: what fits in one head stays there."""

from collections import Counter
from pathlib import Path

import taskgraft

CORE = Path(taskgraft.__file__).parent
LINES = {path.relative_to(CORE): len(path.read_text().splitlines()) for path in CORE.rglob("*.py")}
FREE = {"contract", "builtin", "testing", "cli"}
"""Packages with a limit of their own, or none: the small core, a plugin, the conformance kit and the command line."""


def package(path):
    return path.parts[0].removesuffix(".py")


def lines_by_package(lines):
    sizes = Counter()
    for path, count in lines.items():
        sizes[package(path)] += count
    return sizes


def too_long(lines, most):
    return {str(path): count for path, count in lines.items() if count > most}


def test_no_file_has_more_than_300_lines():
    assert too_long(LINES, 300) == {}


def test_a_file_that_is_too_long_is_found():
    assert too_long({Path("reading/read.py"): 301, Path("data/rows.py"): 300}, 300) == {"reading/read.py": 301}


def test_no_package_has_more_than_1700_lines():
    sizes = lines_by_package(LINES)
    assert {name: size for name, size in sizes.items() if size > 1_700 and name not in FREE} == {}


def test_the_small_core_has_at_most_2600_lines():
    sizes = lines_by_package(LINES)
    assert sizes["contract"] + sizes["discovery"] <= 2_600


def test_the_core_without_its_own_plugin_kit_scaffold_and_command_line_has_at_most_23000_lines():
    sizes = lines_by_package(LINES)
    apart = ("builtin", "testing", "scaffold", "cli")
    assert sum(sizes.values()) - sum(sizes[name] for name in apart) <= 23_000
