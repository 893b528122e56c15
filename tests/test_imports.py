import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import taskgraft
import taskgraft.plugin

FOLDER = Path(taskgraft.__file__).parent

# A module imports only from its own package or from packages to the left, lazily and for types included.
LAYERS = [
    "errors",
    "import_path",
    "process_wide",
    "terminal",
    "figures",
    "progress",
    "text_table",
    "contract",
    "discovery",
    "labels",
    "recipe",
    "files",
    "storage",
    "recipes",
    "composition",
    "reading",
    "inputs",
    "processes",
    "data",
    "engine",
    "adaptation",
    "evaluation",
    "artifact",
    "preparation",
    "optimization",
    "training",
    "inference",
    "model",
    "comparison",
    "plugin",
    "builtin",
    "testing",
    "scaffold",
    "cli",
    "__main__",
]

HEAVY = ("torch", "transformers", "timm", "peft", "pyarrow")
DOMAINS = ("transformers", "timm", "peft")
DOMAIN_WORD = re.compile(r"(?<![a-z])(tokens?|pixels?|residues?|cards?)(?![a-z])", re.IGNORECASE)


def name_of(path):
    """The name of a module inside the core; the package itself is called taskgraft."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "taskgraft"


FILES = {name_of(path): path for path in sorted(FOLDER.rglob("*.py"))}


def imported(nodes):
    """The full names of all modules that import statements may mean: a package, or a module in it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports inside the core are written in full"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inside if name.removeprefix("taskgraft.") in FILES]
            yield from modules if len(modules) == len(inside) else [node.module, *modules]


def layer(module):
    return module.partition(".")[0]


def test_the_readme_of_the_core_lists_the_packages_in_this_order():
    packages = (FOLDER.parent / "README.md").read_text().partition("```\n")[2].partition("```")[0]
    listed = [name for line in packages.splitlines() for name in line[:20].split()]
    assert listed == LAYERS[:-1]


def core_imports(tree):
    """The modules of the core that a module imports: at its top, inside functions and for type checkers."""
    for name in imported(ast.walk(tree)):
        if name.startswith("taskgraft."):
            yield name.removeprefix("taskgraft.")


def back_edges(module, tree):
    """What a module imports from a package that stands to the right of its own."""
    return [name for name in core_imports(tree) if LAYERS.index(layer(name)) > LAYERS.index(layer(module))]


def circles(graph):
    """The groups of modules that import each other, as sorted lists."""
    reach = {start: set() for start in graph}
    for start, found in reach.items():
        stack = list(graph[start])
        while stack:
            module = stack.pop()
            if module not in found:
                found.add(module)
                stack.extend(graph.get(module, ()))
    return sorted({tuple(sorted(b for b in graph if b in reach[a] and a in reach[b])) for a in graph if a in reach[a]})


@cache
def tree_of(module):
    return ast.parse(FILES[module].read_text())


INSIDE = sorted(set(FILES) - {"taskgraft"})
"""All modules but the package itself, which only says where names are."""


def test_every_module_belongs_to_a_layer():
    assert {layer(module) for module in INSIDE} == set(LAYERS)


def test_a_module_imports_only_from_its_own_package_and_those_before_it():
    assert {module: edges for module in INSIDE if (edges := back_edges(module, tree_of(module)))} == {}


@pytest.mark.parametrize("package", LAYERS)
def test_no_modules_of_a_package_import_each_other_in_a_circle(package):
    inside = [module for module in INSIDE if layer(module) == package]
    graph = {module: {name for name in core_imports(tree_of(module)) if name in inside} for module in inside}
    assert circles(graph) == []


@pytest.mark.parametrize(
    "code",
    [
        "from taskgraft.training.fit import fit",
        "def late():\n    from taskgraft.training import fit",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import taskgraft.training.fit",
    ],
)
def test_an_import_against_the_order_is_found_wherever_it_stands(code):
    assert back_edges("reading.read", ast.parse(code))[:1] in (["training.fit"], ["training"])


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [("b", "c")]


def test_the_core_imports_no_library_of_a_domain_even_inside_functions():
    names = {(module, name) for module in FILES for name in imported(ast.walk(tree_of(module)))}
    assert [(module, name) for module, name in names if name.partition(".")[0] in DOMAINS] == []


def test_the_core_names_no_domain():
    lines = [
        (module, number, line)
        for module, path in FILES.items()
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]
    assert [line for line in lines if DOMAIN_WORD.search(line[2])] == []


def test_a_domain_is_recognised_in_names_and_sentences_but_not_inside_other_words():
    for text in ("a residue", "token_ids", "Pixels", "the card's"):
        assert DOMAIN_WORD.search(text)
    for text in ("discard", "wildcard", "tokenizer", "cardinality"):
        assert not DOMAIN_WORD.search(text)


def test_every_public_name_resolves():
    assert list(taskgraft.__all__) == sorted(taskgraft.__all__)
    assert dir(taskgraft) == list(taskgraft.__all__)
    for name in taskgraft.__all__:
        assert getattr(taskgraft, name).__name__ == name


def test_a_name_that_is_not_public_is_refused_as_by_any_module():
    with pytest.raises(AttributeError) as caught:
        taskgraft.composed  # noqa: B018
    assert str(caught.value) == "module 'taskgraft' has no attribute 'composed'"


def test_every_name_for_plugin_authors_resolves_and_stays_out_of_the_package():
    for name in taskgraft.plugin.__all__:
        getattr(taskgraft.plugin, name)
    assert dir(taskgraft.plugin) == taskgraft.plugin.__all__
    assert not hasattr(taskgraft, "hookimpl")


def test_a_name_that_plugin_authors_do_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError) as caught:
        taskgraft.plugin.Bakbone  # noqa: B018
    assert str(caught.value) == "module 'taskgraft.plugin' has no attribute 'Bakbone'"


def loaded_by(code, *modules):
    """Which of some modules a fresh process imports when it runs code."""
    script = f"{code}\nimport sys\nprint(*sorted(set(sys.modules) & set(sys.argv[1:])))"
    return subprocess.run(
        [sys.executable, "-c", script, *modules], capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize("package", ["taskgraft", "taskgraft.plugin"])
def test_importing_a_package_imports_nothing_until_a_name_is_used(package):
    assert loaded_by(f"import {package}", *HEAVY, "numpy", "pydantic", "pluggy") == []


def test_targets_labels_and_predictions_are_imported_without_torch():
    names = (
        "InvalidTargets, Label, Predictions, TargetDescription, build_vocabulary, is_missing, label_key, single_column"
    )
    assert loaded_by(f"from taskgraft.plugin import {names}", *HEAVY) == []


LIST_AND_SHOW = """
import json, sys
import taskgraft

dir(taskgraft)
schemas = [entry.spec.config.model_json_schema() for entry in taskgraft.catalog().entries]
lines = [(entry.spec.axis, entry.spec.name, entry.spec.summary, str(entry.source)) for entry in taskgraft.catalog().entries]
print(json.dumps([len(schemas), sorted(set(sys.modules) & set(sys.argv[1:]))]))
"""


def test_listing_and_showing_everything_installed_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIST_AND_SHOW, *HEAVY], capture_output=True, text=True, check=True)
    schemas, heavy = json.loads(done.stdout)
    assert schemas >= 12
    assert heavy == []


# --- plugins and examples

ROOT = Path(__file__).parents[1]
AUTHORS = sorted(
    path
    for folder in (ROOT / "plugins", ROOT / "examples", FOLDER / "scaffold" / "templates")
    for path in folder.rglob("*")
    if path.suffix in (".py", ".md", ".template")
    and not any(part.startswith(".") for part in path.relative_to(folder).parts)
)
"""Everything that plugin authors and users read as an example."""

PUBLIC = {"taskgraft", "taskgraft.plugin", "taskgraft.testing"}
LIBRARIES = {"taskgraft_transformers", "taskgraft_vision.processor"}
"""Packages and modules of plugins that other plugins may use. None has a backbone."""

IMPORT = re.compile(r"^\s*(?:from\s+(taskgraft\w*[\w.]*)\s+import\s+(.*)|import\s+(taskgraft\w*[\w.]*))")


def code_of(path):
    """The lines of Python in a file, by number: of a README those of its python blocks."""
    lines = list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    if ".md" not in path.suffixes:
        return lines
    inside, code = False, []
    for number, line in lines:
        if line.startswith("```"):
            inside = line.startswith("```python")
        elif inside:
            code.append((number, line))
    return code


def internal_imports(lines, own):
    """Imports of what is not public: modules of the core, and packages of other plugins. By number of the line.

    Args:
        own: the packages of the file's own distribution.
    """
    for number, line in lines:
        if not (match := IMPORT.match(line)):
            continue
        module = match[1] or match[3]
        names = re.findall(r"\w+", match[2] or "") if module == "taskgraft" else []
        private = [name for name in names if name not in taskgraft.__all__ and f"taskgraft.{name}" not in PUBLIC]
        allowed = module in PUBLIC or any(f"{module}.".startswith(f"{one}.") for one in own | LIBRARIES)
        if private or not allowed:
            yield number, line.strip()


def own_packages(path):
    """The package of the plugin that a file belongs to, if any."""
    parts = path.relative_to(ROOT).parts
    return {f"taskgraft_{parts[1]}"} if parts[0] == "plugins" else set()


def test_plugins_and_examples_import_the_public_surface_only():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in AUTHORS
        for number, line in internal_imports(code_of(path), own_packages(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "from taskgraft.contract.rows import Rows",
        "    from taskgraft.testing.check import ContractViolation",
        "import taskgraft.reading.read",
        "from taskgraft import engine",
        "from taskgraft_vision.backbone import ImageBackbone",
    ],
)
def test_an_import_that_is_not_public_is_found(line):
    assert list(internal_imports([(7, line)], {"taskgraft_text"})) == [(7, line.strip())]


def test_a_public_import_is_allowed():
    lines = [
        "import taskgraft as tg",
        "from taskgraft import catalog",
        "from taskgraft.plugin import Rows",
        "from taskgraft.testing import ReaderLaws",
        "from taskgraft_text.backbone import TextBackbone",
        "from taskgraft_transformers.runner import Runner",
    ]
    assert list(internal_imports(enumerate(lines), {"taskgraft_text"})) == []


def test_code_in_a_readme_is_searched(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("import taskgraft.data\n```python\nimport taskgraft.engine\n```\nimport taskgraft.data\n")
    assert code_of(path) == [(3, "import taskgraft.engine")]
