"""Builds the API reference of the public surface from docstrings, and fails on a public name that has none.

python tests/support/reference.py FOLDER
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pdoc import doc, render

SURFACE = ("taskgraft", "taskgraft.plugin", "taskgraft.testing")
"""The modules that users and plugin authors import from."""


def reference(module: ModuleType) -> doc.Module:
    """Read what a module exports. Its names are lazy, so all are loaded first."""
    vars(module).update({name: getattr(module, name) for name in module.__all__})
    found = doc.Module(module)
    for name, member in found.members.items():
        if isinstance(member, doc.Variable) and not member.docstring:
            found.members[name] = _with_docstring(member)
    return found


def _with_docstring(member: doc.Variable) -> doc.Variable:
    """Give a constant the docstring below its definition, in whichever loaded module that is."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("taskgraft.") and name not in SURFACE and member.name in vars(module):
            home = doc.Module(module).members.get(member.name)
            if home is not None and home.docstring:
                return doc.Variable(
                    member.modulename,
                    member.qualname,
                    taken_from=home.taken_from,
                    docstring=home.docstring,
                    annotation=home.annotation,
                    default_value=home.default_value,
                )
    return member


def undocumented(module: doc.Module) -> Iterator[str]:
    """Find public names without a docstring: those of the module, and methods and properties of its classes."""
    for member in module.members.values():
        if not member.docstring:
            yield member.fullname
        if isinstance(member, doc.Class):
            yield from (
                part.fullname
                for part in member.own_members
                if isinstance(part, doc.Function) and not part.name.startswith("_") and not part.docstring
            )


def build(folder: Path) -> list[str]:
    """Write a page per module into a folder, and list the public names without a docstring."""
    modules = {name: reference(import_module(name)) for name in SURFACE}
    render.configure(docformat="google", footer_text="taskgraft", search=False)
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        (folder / f"{name}.html").write_text(render.html_module(module, modules), encoding="utf-8")
    links = "".join(f'<li><a href="{name}.html">{name}</a></li>' for name in modules)
    page = f"<!doctype html><title>taskgraft</title><h1>API reference of taskgraft</h1><ul>{links}</ul>"
    (folder / "index.html").write_text(page, encoding="utf-8")
    return [name for module in modules.values() for name in undocumented(module)]


if __name__ == "__main__":
    missing = build(Path(sys.argv[1]))
    sys.exit("".join(f"{name} has no docstring.\n" for name in missing) or 0)
