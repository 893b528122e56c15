"""Create plugin projects that work, from templates beside this module."""

import keyword
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from taskgraft.contract.hooks import CONTRACT_VERSION
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec, StrategySpec
from taskgraft.discovery.catalog import Catalog
from taskgraft.discovery.names import is_distribution, normalize_distribution
from taskgraft.errors import TaskgraftError, closest_match, error_reason, join_words
from taskgraft.storage.atomic_write import OutputError, atomic_folder, remove_leftovers

KINDS: Mapping[str, type[Spec]] = {kind.axis: kind for kind in (BackboneSpec, HeadSpec, StrategySpec)}
"""The kinds of plugin that there is a template for."""

MAX_NAME_LENGTH = 32
"""Characters of a name. Lines of the templates hold it twice and must not become too long."""

_SHARED_TEMPLATES = {
    "pyproject.toml": "shared/pyproject.toml",
    ".gitignore": "shared/gitignore",
    ".github/workflows/tests.yml": "shared/workflow.yml",
}
"""File → its template, for the files that all kinds share."""


class ScaffoldError(TaskgraftError):
    """A plugin project that cannot be created as requested."""


@dataclass(frozen=True)
class PluginNames:
    """The names derived from the name of a distribution.

    Attributes:
        module: the package to import.
        spec: the name in recipes.
        prefix: the beginning of class names.
    """

    name: str
    kind: str
    module: str
    spec: str
    prefix: str


def derive_names(name: str, kind: str, known: Catalog) -> PluginNames:
    """Check the name and the kind of a plugin, and derive all other names.

    Raises:
        ScaffoldError: for an unknown kind, a name that would not work, or one that an installed plugin provides.
    """
    if kind not in KINDS:
        near = closest_match(kind, KINDS)
        hint = f" Did you mean '{near}'?" if near else ""
        raise ScaffoldError(f"There is no template for the kind '{kind}'.{hint} Kinds: {join_words(KINDS)}.")
    module = normalize_distribution(name).replace("-", "_")
    words = normalize_distribution(name).removeprefix("taskgraft-").split("-")
    if problem := _name_problem(name, module, words):
        raise ScaffoldError(f"A plugin cannot be called '{name}': {problem}. A name like 'acme-models' works.")
    own_words = words[:-1] if len(words) > 1 and words[-1] in (kind, f"{kind}s") else words
    prefix = "".join(word.capitalize() for word in own_words)
    names = PluginNames(name, kind, module, "-".join(words), prefix)
    for spec, source in known.specs(KINDS[kind]):
        if spec.name == names.spec:
            raise ScaffoldError(
                f"A plugin '{name}' would provide the {kind} '{names.spec}', which {source} already provides; the name "
                f"would be ambiguous. Choose another, such as 'acme-{names.spec}'."
            )
    return names


def write_plugin(names: PluginNames, folder: Path) -> list[Path]:
    """Write a plugin project, completely or not at all.

    Args:
        folder: a folder that does not exist, or is empty.

    Returns:
        the files, relative to the folder.

    Raises:
        OutputError: when the folder is in use, or cannot be written.
    """
    elsewhere = "choose another folder (--output)"
    remove_leftovers(folder.absolute())
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(str(folder), f"it is not empty; {elsewhere}", "plugin")
    if folder.exists() and not folder.is_dir():
        raise OutputError(str(folder), f"it is a file; {elsewhere}", "plugin")
    if not folder.absolute().parent.is_dir():
        raise OutputError(str(folder), f"there is no folder {folder.parent}", "plugin")
    texts = _fill_templates(names)
    try:
        with atomic_folder(folder) as project:
            for path, text in texts.items():
                project.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
                project.joinpath(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(str(folder), error_reason(error), "plugin") from None
    return [Path(path) for path in texts]


def _fill_templates(names: PluginNames) -> dict[str, str]:
    """Return path → text of all files."""
    package = f"src/{names.module}"
    templates = _SHARED_TEMPLATES | {
        "README.md": f"{names.kind}/README.md",
        f"{package}/__init__.py": f"{names.kind}/init.py",
        f"{package}/{names.kind}.py": f"{names.kind}/{names.kind}.py",
        f"tests/test_{names.module}.py": f"{names.kind}/test_plugin.py",
    }
    values = {
        "name": names.name,
        "kind": names.kind,
        "module": names.module,
        "spec": names.spec,
        "Name": names.prefix,
        "contract": CONTRACT_VERSION,
        "version": version("taskgraft"),
    }
    folder = files("taskgraft.scaffold") / "templates"
    texts = {
        path: Template(folder.joinpath(f"{template}.template").read_text(encoding="utf-8")).substitute(values)
        for path, template in templates.items()
    }
    return texts | {f"{package}/py.typed": ""}


def _name_problem(name: str, module: str, words: list[str]) -> str | None:
    """Return why a name would not work, or None."""
    if not is_distribution(name):
        return "the name of a distribution has letters and digits, with dots, hyphens and underscores between them"
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters; {MAX_NAME_LENGTH} are allowed"
    if not (module[0].isalpha() and words[0][:1].isalpha()):
        return "the names of its module and its classes would begin with a digit"
    if keyword.iskeyword(module):
        return f"its module would be called '{module}', which is a keyword of Python"
    if module in sys.stdlib_module_names or find_spec(module) is not None:
        return f"its module would be called '{module}', which already exists"
    return None
