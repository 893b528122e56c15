import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import taskgraft

FOLDER = Path(taskgraft.__file__).parent

# From the bottom of the house to its top: a module imports only what stands earlier in this list. A package that ends
# with a point is one layer: its modules may import each other.
ORDER = [
    "error",
    "name",
    "description",
    "progress",
    "config",
    "source",
    "recipe",
    "plan",
    "spec",
    "hook",
    "strategy",
    "adjustment",
    "heads",
    "heads.settings",
    "readers",
    "readers.settings",
    "splits",
    "splits.settings",
    "baselines",
    "baselines.settings",
    "strategies",
    "strategies.adapters",
    "strategies.distill",
    "strategies.full",
    "strategies.linear_probe",
    "strategies.partial",
    "strategies.bitfit",
    "strategies.gradual",
    "strategies.layer_decay",
    "strategies.probe_then_tune",
    "strategies.stages",
    "builtin",
    "discovery",
    "catalog",
    "taskgraft",
    "rows",
    "spill",
    "readers.opening",
    "readers.csv",
    "readers.json_lines",
    "readers.parquet",
    "readers.dataset",
    "splits.column",
    "splits.fraction",
    "fingerprint",
    "checkpoint",
    "batch",
    "features",
    "contents",
    "row_features",
    "store",
    "ordering",
    "arithmetic",
    "backbone",
    "passage",
    "verification",
    "head",
    "heads.labels",
    "heads.readout",
    "heads.classification",
    "heads.element_classification",
    "heads.masked_elements",
    "heads.multi_label",
    "heads.regression",
    "metrics",
    "metrics.ranking",
    "metrics.judge",
    "metrics.masked_elements",
    "metrics.regression",
    "metrics.per_class",
    "baselines.majority",
    "baselines.mean",
    "evaluation_table",
    "evaluation",
    "manifest",
    "yaml_document",
    "override",
    "recipe_file",
    "composition",
    "rivals",
    "reading",
    "parts",
    "workers",
    "fresh",
    "preparation",
    "memory",
    "examples",
    "taught",
    "hiding",
    "shelf",
    "task",
    "bottleneck",
    "insertion",
    "merging",
    "learning",
    "trial",
    "base",
    "guard",
    "solver",
    "schedule",
    "stepping",
    "run_folder",
    "journal",
    "descent",
    "stages",
    "labelled",
    "settling",
    "teaching",
    "fitting",
    "challengers",
    "output_file",
    "judging",
    "predicting",
    "prediction_file",
    "feature_file",
    "prediction",
    "model",
    "artifact",
    "exporting",
    "windows",
    "extraction",
    "comparison_table",
    "comparison_figure",
    "comparison",
    "compared",
    "comparing",
    "scaffold",
    "testing.",
    "commandline.",
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


def place(module):
    """The place of a module in the order, or None."""
    for number, name in enumerate(ORDER):
        if name == module or (name.endswith(".") and f"{module}.".startswith(name)):
            return number
    return None


def at_import(tree):
    """Go through the statements that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        yield node
        yield from at_import(node)


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


def core_imports(module):
    """The modules of the core that a module imports when it is imported."""
    for name in imported(at_import(ast.parse(FILES[module].read_text()))):
        if name == "taskgraft" or name.startswith("taskgraft."):
            yield name.removeprefix("taskgraft.")


def test_every_module_has_its_place_in_the_order():
    missing = [module for module in FILES if place(module) is None]
    assert missing == [], f"give {missing} a place in LAYERS: after all that they import, before all that imports them"
    gone = [name for name in ORDER if not name.endswith(".") and name not in FILES]
    assert gone == [], f"{gone} stand in LAYERS but do not exist"


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_modules_below_it(module):
    own = place(module)
    wrong = [
        name
        for name in core_imports(module)
        if not (place(name) < own or (place(name) == own and ORDER[own].endswith(".")))
    ]
    assert wrong == [], f"taskgraft.{module} imports {wrong}, which do not stand below it"


@pytest.mark.parametrize("module", FILES)
def test_the_core_imports_no_library_of_a_domain_even_inside_functions(module):
    names = imported(ast.walk(ast.parse(FILES[module].read_text())))
    assert [name for name in names if name.partition(".")[0] in DOMAINS] == []


@pytest.mark.parametrize("module", FILES)
def test_the_core_names_no_domain(module):
    lines = FILES[module].read_text().splitlines()
    assert [(number, line) for number, line in enumerate(lines, 1) if DOMAIN_WORD.search(line)] == []


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
