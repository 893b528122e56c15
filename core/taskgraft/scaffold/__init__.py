"""``taskgraft new``: writes the beginning of a plugin, which works as it stands. The templates lie beside this module."""

import keyword
import sys
import tempfile
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
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.names import is_distribution, normalize_distribution
from taskgraft.errors import TaskgraftError, closest_match, join_words
from taskgraft.storage.atomic_write import OutputError

KINDS: Mapping[str, type[Spec]] = {kind.axis: kind for kind in (BackboneSpec, HeadSpec, StrategySpec)}
"""What a plugin can be begun with."""

LONGEST = 32
"""Letters of a name. Written lines hold it twice and must not grow too long."""

SHARED = {
    "pyproject.toml": "shared/pyproject.toml",
    ".gitignore": "shared/gitignore",
    ".github/workflows/tests.yml": "shared/workflow.yml",
}
"""Each written file that all kinds have, and its template."""


@dataclass(frozen=True)
class PluginNames:
    """What the name of a distribution makes of the names in it.

    Attributes:
        module: the package to import.
        spec: what a recipe says.
        prefix: how the classes begin.
    """

    name: str
    kind: str
    module: str
    spec: str
    prefix: str


def derive_names(name: str, kind: str, known: Catalog) -> PluginNames:
    """Check the name and the kind of a plugin, and derive all other names.

    Raises:
        UnknownKind: for another kind.
        BadPluginName: for a name that would not work.
        NameTaken: when an installed plugin provides what it would.
    """
    if kind not in KINDS:
        raise UnknownKind(kind, closest_match(kind, KINDS))
    module = normalize_distribution(name).replace("-", "_")
    words = normalize_distribution(name).removeprefix("taskgraft-").split("-")
    own = words[:-1] if len(words) > 1 and words[-1] in (kind, f"{kind}s") else words
    if problem := _problem(name, module, words):
        raise BadPluginName(name, problem)
    made = PluginNames(name, kind, module, "-".join(words), "".join(word.capitalize() for word in own))
    for spec, source in known.specs(KINDS[kind]):
        if spec.name == made.spec:
            raise NameTaken(name, kind, made.spec, source)
    return made


def write_plugin(words: PluginNames, folder: Path) -> list[Path]:
    """Write a plugin beside its place, and move it there when it is whole.

    Args:
        folder: one that does not exist, or is empty.

    Returns:
        the files, relative to the folder.

    Raises:
        OutputError: when something is there already, or it cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(str(folder), "something is there already; name another folder (--output)", "plugin")
    if folder.exists() and not folder.is_dir():
        raise OutputError(str(folder), "there is a file of that name; name another folder (--output)", "plugin")
    if not folder.absolute().parent.is_dir():
        raise OutputError(str(folder), f"there is no folder {folder.parent}", "plugin")
    texts = _texts(words)
    try:
        with tempfile.TemporaryDirectory(prefix=".taskgraft-", dir=folder.absolute().parent) as fresh:
            whole = Path(fresh, "plugin")
            for path, text in texts.items():
                whole.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
                whole.joinpath(path).write_text(text, encoding="utf-8")
            if folder.is_dir():
                folder.rmdir()
            whole.rename(folder)
    except OSError as error:
        raise OutputError(str(folder), str(error.strerror or error), "plugin") from None
    return [Path(path) for path in texts]


def _texts(words: PluginNames) -> dict[str, str]:
    """Fill in the templates: path → text."""
    package = f"src/{words.module}"
    templates = SHARED | {
        "README.md": f"{words.kind}/README.md",
        f"{package}/__init__.py": f"{words.kind}/init.py",
        f"{package}/{words.kind}.py": f"{words.kind}/{words.kind}.py",
        f"tests/test_{words.module}.py": f"{words.kind}/test_plugin.py",
    }
    values = {
        "name": words.name,
        "kind": words.kind,
        "module": words.module,
        "spec": words.spec,
        "Name": words.prefix,
        "contract": CONTRACT_VERSION,
        "version": version("taskgraft"),
    }
    place = files("taskgraft.scaffold") / "templates"
    texts = {
        path: Template(place.joinpath(f"{template}.template").read_text(encoding="utf-8")).substitute(values)
        for path, template in templates.items()
    }
    return texts | {f"{package}/py.typed": ""}


def _problem(name: str, module: str, words: list[str]) -> str | None:
    """Say why a name would not work, or None."""
    if not is_distribution(name):
        return "a distribution is named with letters and digits, and points, hyphens and underscores between them"
    if len(name) > LONGEST:
        return f"it has {len(name)} letters, and {LONGEST} are the most"
    if not (module[0].isalpha() and words[0][:1].isalpha()):
        return "the names of its module and its classes would begin with a digit"
    if keyword.iskeyword(module):
        return f"its module would be called '{module}', which is a word of Python's own"
    if module in sys.stdlib_module_names or find_spec(module) is not None:
        return f"its module would be called '{module}', and there is one of that name already"
    return None


@dataclass(eq=False)
class UnknownKind(TaskgraftError):
    """A kind of plugin that there is none of."""

    kind: str
    near: str | None

    def __str__(self) -> str:
        meant = f" Did you mean '{self.near}'?" if self.near else ""
        return f"There is no kind '{self.kind}' of plugin to begin with.{meant} There are {join_words(KINDS)}."


@dataclass(eq=False)
class BadPluginName(TaskgraftError):
    """A name that a plugin could not be installed or imported by."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"A plugin cannot be called '{self.name}': {self.problem}. A name like 'acme-models' works."


@dataclass(eq=False)
class NameTaken(TaskgraftError):
    """A name that an installed plugin has."""

    name: str
    kind: str
    spec: str
    source: PluginSource

    def __str__(self) -> str:
        return (
            f"A plugin '{self.name}' would provide the {self.kind} '{self.spec}', which {self.source} provides already; "
            f"using the name would be an error. Choose another, such as 'acme-{self.spec}'."
        )
