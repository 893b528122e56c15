import inspect
import warnings
from collections.abc import Iterable

import pytest
from planting import HEALTHY

from taskgraft.contract.hooks import HookSpecs, hookspec
from taskgraft.contract.specs import HeadSpec, Spec
from taskgraft.discovery.catalog import load_catalog
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.loader import SPEC_TYPES, LoadProblem

HOOKS = [name for name in vars(HookSpecs) if not name.startswith("_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_documents_its_purpose_and_what_it_returns(hook):
    function = getattr(HookSpecs, hook)
    assert inspect.getdoc(function)
    assert inspect.signature(function).return_annotation == Iterable[SPEC_TYPES[hook]]


def test_the_catalog_asks_every_hook():
    assert list(SPEC_TYPES) == HOOKS
    assert set(SPEC_TYPES.values()) == set(Spec.__subclasses__())


class NextHooks:
    """A contract in which one argument is on its way out."""

    @hookspec(warn_on_impl_args={"layouts": DeprecationWarning("'layouts' goes in contract 2.0; read the description")})
    def taskgraft_heads(self, layouts, version) -> Iterable[HeadSpec]:
        """List the heads."""


def next_catalog():
    arguments = {"layouts": ("vector",), "version": "1.1"}
    return load_catalog(hooks=NextHooks, arguments=arguments)


def old_plugin(garden):
    """Plant a plugin that still takes the argument; return its file and the line of its hook."""
    code = HEALTHY.replace("taskgraft_heads()", "taskgraft_heads(layouts)").replace(
        '"healthy"', "f'reads-{layouts[0]}'"
    )
    garden.plant(code)
    line = code.splitlines().index("@hookimpl") + 1
    return str(garden.folder / "acme_plugin.py"), line


@pytest.fixture
def without_core(monkeypatch):
    """The core has hooks that the contract of this test lacks."""
    monkeypatch.setenv("TASKGRAFT_BLOCK", "taskgraft")


def test_a_deprecated_argument_warns_at_the_plugins_own_line_and_still_works(garden, without_core):
    file, line = old_plugin(garden)
    with pytest.warns(DeprecationWarning, match="'layouts' goes") as caught:
        found = next_catalog()
    assert [(str(warning.message), warning.filename, warning.lineno) for warning in caught] == [
        ("'layouts' goes in contract 2.0; read the description", file, line)
    ]
    assert [spec.name for spec, _ in found.specs(HeadSpec)] == ["reads-vector"]
    assert found.failures == ()


def test_a_deprecated_argument_is_remarked_on_where_warnings_are_silent(garden, without_core):
    file, line = old_plugin(garden)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = next_catalog()
    text = f"'layouts' goes in contract 2.0; read the description ({file}:{line})"
    assert found.remarks == (LoadProblem(PluginSource("acme", "1.0", "main", "acme_plugin"), text),)


def test_an_argument_that_stays_causes_no_warning(garden, without_core):
    garden.plant(
        HEALTHY.replace("taskgraft_heads()", "taskgraft_heads(version)").replace('"healthy"', "'contract-one'")
    )
    found = next_catalog()
    assert [spec.name for spec, _ in found.specs(HeadSpec)] == ["contract-one"]
    assert found.remarks == ()


def test_a_plugin_need_not_take_any_argument(garden, without_core):
    garden.plant(HEALTHY)
    assert [spec.name for spec, _ in next_catalog().specs(HeadSpec)] == ["healthy"]
