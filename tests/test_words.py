"""The words of the house: one definition a public name, nouns and verbs as names, plain English where people read."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import taskgraft

ROOT = Path(__file__).parents[1]
CORE = Path(taskgraft.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))
READ = [
    ROOT / "README.md",
    *sorted(
        path
        for folder in ("core", "plugins", "examples", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".template", ".pyi") and "contract_1_0" not in path.parts
    ),
]

RETIRED = re.compile(
    r"\b(is told|are told|whoever|rivals?|what stays frozen|mend|hangs? on|judged by|trained numbers)\b", re.IGNORECASE
)
"""Phrases of a former private dialect; see the style guide of the project."""

FIELD_NOUNS = frozenset(
    [
        "batching",
        "masking",
        "merging",
        "preprocessing",
        "ranking",
        "reading",
        "splitting",
        "string",
        "tracking",
        "training",
    ]
)
"""Nouns of the field that end like a participle."""

IRREGULAR = frozenset(
    [
        "begun",
        "bound",
        "built",
        "chosen",
        "drawn",
        "done",
        "found",
        "given",
        "gone",
        "held",
        "hidden",
        "kept",
        "known",
        "left",
        "lost",
        "made",
        "said",
        "seen",
        "shown",
        "spoken",
        "stood",
        "taken",
        "taught",
        "told",
        "understood",
        "written",
    ]
)


def public_names(tree):
    """Functions, classes and constants that a module defines at its top, without those that begin with an underscore."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def definitions(trees):
    """Public name → the modules that define it."""
    found = defaultdict(list)
    for module, tree in trees.items():
        for name in set(public_names(tree)):
            if not name.startswith("_"):
                found[name].append(module)
    return found


def is_participle(name):
    """Say whether a name is a participle (``taught``, ``fitting``) or begins with one in -ing (``dropping_rows``)."""
    first, *others = name.lower().strip("_").split("_")
    if first in FIELD_NOUNS:
        return False
    return first.endswith("ing") or (not others and (first in IRREGULAR or bool(re.search(r"..[^e]ed$", first))))


@pytest.fixture(scope="module")
def trees():
    """Each module of the core, parsed when a test asks for it: not while tests are collected."""
    return {path.relative_to(CORE).as_posix(): ast.parse(path.read_text()) for path in MODULES}


def test_a_public_name_is_defined_in_one_module(trees):
    assert {name: modules for name, modules in definitions(trees).items() if len(modules) > 1} == {}


def test_a_name_that_is_defined_twice_is_found():
    trees = {"a.py": ast.parse("def cut(): ...\n_own = 1"), "b.py": ast.parse("cut: int = 3\n_own = 2")}
    assert definitions(trees) == {"cut": ["a.py", "b.py"]}


def test_no_module_and_no_public_function_is_named_by_a_participle(trees):
    functions = {
        f"{module}:{node.name}"
        for module, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and is_participle(node.name)
    }
    assert functions | {module for module in trees if is_participle(Path(module).stem)} == set()


@pytest.mark.parametrize("name", ["fitting", "taught", "dropping_invalid_rows", "evaluated"])
def test_a_participle_is_recognised(name):
    assert is_participle(name)


@pytest.mark.parametrize("name", ["fit", "epoch_seed", "string_of", "named_tensors", "read_rows", "masking"])
def test_a_verb_or_a_noun_is_no_participle(name):
    assert not is_participle(name)


def test_phrases_of_the_former_dialect_are_gone():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in READ
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if RETIRED.search(line)
    ]
    assert found == []


def test_a_retired_phrase_is_found_in_any_case():
    assert RETIRED.search("Mend these rows")
    assert not RETIRED.search("recommend, amendment")
