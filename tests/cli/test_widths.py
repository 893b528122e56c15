"""What the commands print in a terminal of 80 columns: no line is wider, and no name is broken."""

from functools import partial

import pytest
from commands import typed
from rich.cells import cell_len
from rich.console import Console

from taskgraft.cli import doctor, show
from taskgraft.cli import list as list_module
from taskgraft.cli.config_help import settings_of
from taskgraft.cli.list import SPEC_TYPES_BY_AXIS
from taskgraft.discovery.catalog import catalog

EVERY = [(spec, source) for kind in SPEC_TYPES_BY_AXIS.values() for spec, source in catalog().specs(kind)]


@pytest.fixture(autouse=True, params=[80, 60])
def narrow_terminal(request, monkeypatch):
    """A terminal of 80 or 60 columns."""
    narrow = partial(Console, width=request.param, markup=False, highlight=False, emoji=False)
    for module in (doctor, list_module, show):
        monkeypatch.setattr(module, "console", narrow)
    return request.param


def lines(width, *arguments):
    out = typed(*arguments).out
    assert [line for line in out.splitlines() if cell_len(line) > width] == []
    return out


@pytest.mark.parametrize(("spec", "source"), EVERY, ids=[f"{spec.axis}-{spec.name}" for spec, _ in EVERY])
def test_each_component_is_shown_with_whole_names(narrow_terminal, spec, source):
    words = lines(narrow_terminal, "show", f"{source.distribution}/{spec.name}", "--axis", spec.axis).split()
    assert {one.name for one in settings_of(spec.config)} <= set(words)


def test_the_list_has_whole_names(narrow_terminal):
    words = lines(narrow_terminal, "list").replace(";", "").split()
    assert {spec.name for spec, _ in EVERY} | {source.distribution for _, source in EVERY} <= set(words)


def test_the_diagnosis_has_whole_names(narrow_terminal):
    out = typed("doctor").out
    table = out[out.index("library") : out.rindex("No problems found")]
    assert [line for line in table.splitlines() if cell_len(line) > narrow_terminal] == []
    words = set(table.replace(",", " ").replace(";", " ").split())
    assert {spec.name for spec, _ in EVERY} | {source.module for _, source in EVERY} <= words
