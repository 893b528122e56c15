import json
import os
import subprocess
import sys

import pytest
from planting import HEALTHY, OPENING

from taskgraft.contract.specs import (
    BackboneSpec,
    BaselineSpec,
    HeadSpec,
    MetricSpec,
    ReaderSpec,
    SplitSpec,
    StrategySpec,
)
from taskgraft.discovery.catalog import (
    BLOCK_VARIABLE,
    AmbiguousComponent,
    RenamedComponentWarning,
    UnknownComponent,
    catalog,
    load_catalog,
)
from taskgraft.discovery.distributions import PluginSource
from taskgraft.discovery.loader import LoadProblem
from taskgraft.discovery.names import parse_name

ACME = PluginSource("acme", "1.0", "main", "acme_plugin")
HOOKS = (
    "taskgraft_backbones, taskgraft_heads, taskgraft_strategies, taskgraft_readers, taskgraft_splits, "
    "taskgraft_metrics, taskgraft_baselines, taskgraft_optimizers, taskgraft_schedules"
)


STRATEGIES = [
    "adapters",
    "average",
    "bitfit",
    "distill",
    "full",
    "gradual",
    "layer-decay",
    "linear-probe",
    "partial",
    "probe-then-tune",
    "sharpness-aware",
    "stages",
]
"""The core's."""


def heads(found):
    """The names of all heads that the core does not bring."""
    return [spec.name for spec, source in found.specs(HeadSpec) if source.distribution != "taskgraft"]


def sources(found, name):
    return [source for spec, source in found.specs(HeadSpec) if spec.name == name]


def works_but_for_acme(found):
    """The core's specs and those of the healthy plugin are there, and nothing of the broken one."""
    assert {spec.name for spec, _ in found.specs(StrategySpec)} == set(STRATEGIES)
    assert found.find(ReaderSpec, parse_name("csv"))[1].distribution == "taskgraft"
    assert found.find(HeadSpec, parse_name("healthy"))[1] == PluginSource("health", "3.2", "main", "health_plugin")
    assert [entry for entry in found.entries if entry.source.distribution == "acme"] == []
    return True


def test_the_core_provides_something_for_every_hook_but_backbones(garden):
    found = load_catalog()
    assert {spec.name for spec, _ in found.specs(HeadSpec)} == {
        "classification",
        "element-classification",
        "masked-elements",
        "multi-label",
        "regression",
    }
    assert [spec.name for spec, _ in found.specs(StrategySpec)] == STRATEGIES
    assert [spec.name for spec, _ in found.specs(ReaderSpec)] == [
        "csv",
        "dataset-folder",
        "hub",
        "json-lines",
        "lines",
        "parquet",
    ]
    assert [spec.name for spec, _ in found.specs(SplitSpec)] == ["column", "fraction"]
    assert [spec.name for spec, _ in found.specs(BaselineSpec)] == ["majority", "mean"]
    assert [spec.name for spec, _ in found.specs(MetricSpec)] == [
        "classification",
        "element-classification",
        "masked-elements",
        "multi-label",
        "regression",
    ]
    assert [spec.name for spec, _ in found.specs(BaselineSpec)] == ["majority", "mean"]
    assert (found.failures, found.remarks, found.blocked) == ((), (), ())


def test_a_planted_plugin_is_found_with_its_source(garden):
    garden.plant(HEALTHY)
    spec, source = load_catalog().find(HeadSpec, parse_name("healthy"))
    assert (spec.name, source) == ("healthy", ACME)


def test_the_catalog_is_loaded_once_per_process(garden):
    assert catalog() is catalog()


BROKEN = {  # besides those of mistakes/catalog.py
    "an error at import": (
        "raise RuntimeError('the licence server\\n  does not answer')",
        "RuntimeError: the licence server does not answer",
    ),
    "an error without a word at import": ("raise RuntimeError", "RuntimeError"),
    "an error that cannot be shown": (
        "class Broken(Exception):\n    def __str__(self):\n        return self.missing\nraise Broken",
        "Broken",
    ),
    "an exit at import": ("import sys\nsys.exit('this needs a licence')", "SystemExit: this needs a licence"),
    "a panic of compiled code at import": (
        "class PanicException(BaseException): ...\nraise PanicException('index out of bounds')",
        "PanicException: index out of bounds",
    ),
    "a syntax error": ("def taskgraft_heads(:", "SyntaxError: invalid syntax (acme_plugin.py, line 1)"),
    "a malformed contract": (
        HEALTHY.replace("= CONTRACT_VERSION", "= '1.0.3'"),
        "states the contract '1.0.3', which is not a version like '1.1'",
    ),
    "a newer major contract": (
        HEALTHY.replace("= CONTRACT_VERSION", "= '2.0'"),
        "was built for contract 2.0, newer than the installed 1.1: update taskgraft",
    ),
    "no hook": (OPENING, "provides nothing: no function of acme_plugin is marked with @hookimpl"),
    "one hook of two that is not marked": (
        HEALTHY + "def taskgraft_strategies():\n    return []\n",
        "has taskgraft_strategies without @hookimpl, so it would never be called",
    ),
    "a misspelt hook that is not marked": (
        HEALTHY + "def taskgraft_backbone():\n    return []\n",
        "has a hook 'taskgraft_backbone', which does not exist; did it mean 'taskgraft_backbones'?",
    ),
    "a hook with a misspelt prefix": (
        HEALTHY.replace("taskgraft_heads", "taksgraft_heads"),
        "has a hook 'taksgraft_heads', which does not exist; did it mean 'taskgraft_heads'?",
    ),
    "an optional hook that does not exist": (
        HEALTHY + "@hookimpl(optionalhook=True)\ndef taskgraft_ovens():\n    return []\n",
        f"has a hook 'taskgraft_ovens', which does not exist; hooks: {HOOKS}",
    ),
    "an error in the second hook": (
        HEALTHY + "@hookimpl\ndef taskgraft_strategies():\n    return 1 / 0\n",
        "ZeroDivisionError: division by zero",
    ),
    "an answer of one spec alone": (
        HEALTHY.replace("yield", "return"),
        "taskgraft_heads returned HeadSpec(name='healthy', summary='a planted head', config=<c, "
        "not an iterable of HeadSpec",
    ),
    "an empty answer": (
        HEALTHY.replace("yield", "return [] and"),
        "provides nothing: taskgraft_heads returned no spec",
    ),
    "a spec of another hook": (
        HEALTHY.replace("taskgraft_heads", "taskgraft_strategies"),
        "taskgraft_strategies returned HeadSpec HeadSpec(name='healthy', summary='a planted head', config=<c, "
        "not StrategySpec",
    ),
    "an alias outside the grammar": (
        HEALTHY.replace("build=print", "build=print, aliases=('Old Name',)"),
        "taskgraft_heads: the aliases of 'healthy' are ('Old Name',), not a tuple of names",
    ),
    "an alias that is another name of the answer": (
        HEALTHY.replace("build=print", "build=print, aliases=('second',)") + '    yield head("second")\n',
        "taskgraft_heads names second more than once",
    ),
    "a name that is no text": (
        HEALTHY.replace('head("healthy")', "head(None)"),
        "taskgraft_heads: None is not a valid name (lower-case words joined by hyphens)",
    ),
}


OUTDATED = {  # imports of what taskgraft does not provide
    "a module that is gone": (
        "from taskgraft.spec import HeadSpec",
        "it imports taskgraft.spec, which is not public: plugins import from taskgraft.plugin",
    ),
    "a module that is gone, imported whole": (
        "import taskgraft.heads.labels",
        "it imports taskgraft.heads, which is not public: plugins import from taskgraft.plugin",
    ),
    "a module that moved to another package": (
        "from taskgraft.contract.head import InvalidTargets",
        "it imports taskgraft.contract.head, which is not public: plugins import from taskgraft.plugin",
    ),
    "a module below the public one": (
        "import taskgraft.plugin.specs",
        "it imports taskgraft.plugin.specs, which is not public: plugins import from taskgraft.plugin",
    ),
    "a module of the package, by its name": (
        "from taskgraft import spec",
        "it imports 'spec' from taskgraft, which does not have it: plugins import from taskgraft.plugin",
    ),
    "a name for authors from the package": (
        "from taskgraft import hookimpl",
        "it imports 'hookimpl' from taskgraft, which does not have it: plugins import from taskgraft.plugin",
    ),
    "a misspelt name": (
        "from taskgraft.plugin import BackboneSpecs",
        "it imports 'BackboneSpecs' from taskgraft.plugin, which does not have it; did it mean 'BackboneSpec'?",
    ),
    "a name that is near none": (
        "from taskgraft.plugin import xyz",
        "it imports 'xyz' from taskgraft.plugin, which does not have it",
    ),
    "a name of the conformance kit": (
        "from taskgraft.testing import BackboneLawz",
        "it imports 'BackboneLawz' from taskgraft.testing, which does not have it; did it mean 'BackboneLaws'?",
    ),
}


@pytest.mark.parametrize(("code", "reason"), (BROKEN | OUTDATED).values(), ids=BROKEN | OUTDATED)
def test_a_broken_plugin_is_recorded_and_everything_else_works(garden, code, reason):
    garden.plant(code)
    garden.plant(HEALTHY, distribution="health", version="3.2", module="health_plugin")
    found = load_catalog()
    assert found.failures == (LoadProblem(ACME, reason),)
    assert str(found.failures[0]) == f"acme 1.0 ({reason})"
    assert works_but_for_acme(found)


@pytest.mark.parametrize(
    ("entry_point", "reason"),
    [
        ("main = acme_gone", "ModuleNotFoundError: No module named 'acme_gone'"),
        ("main = acme_plugin:gone", "AttributeError: module 'acme_plugin' has no attribute 'gone'"),
        ("main = acme plugin", "its entry point 'main = acme plugin' names no module"),
        ("main", "its entry point 'main = ' names no module"),
    ],
)
def test_an_entry_point_to_nothing_is_recorded(garden, entry_point, reason):
    garden.plant(HEALTHY, entry_points=entry_point)
    garden.plant(HEALTHY, distribution="health", version="3.2", module="health_plugin")
    found = load_catalog()
    assert [failure.text for failure in found.failures] == [reason]
    assert works_but_for_acme(found)


def test_one_broken_entry_point_leaves_the_others_of_its_distribution(garden):
    garden.write("acme_broken", "import acme_core")
    garden.plant(HEALTHY, entry_points="broken = acme_broken\nmain = acme_plugin")
    found = load_catalog()
    assert found.failures == (
        LoadProblem(
            PluginSource("acme", "1.0", "broken", "acme_broken"), "ModuleNotFoundError: No module named 'acme_core'"
        ),
    )
    assert heads(found) == ["healthy"]


def test_a_keyboard_interrupt_passes_through(garden):
    garden.plant("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_catalog()


def test_an_older_minor_contract_still_loads(garden):
    garden.plant(HEALTHY)
    assert heads(load_catalog(contract="1.7")) == ["healthy"]


def test_minor_contracts_are_compared_as_numbers(garden):
    garden.plant(HEALTHY.replace("= CONTRACT_VERSION", "= '1.9'"))
    assert heads(load_catalog(contract="1.10")) == ["healthy"]


def test_an_entry_listed_twice_is_one(garden):
    garden.plant(HEALTHY, entry_points="main = acme_plugin\nmain = acme_plugin")
    assert sources(load_catalog(), "healthy") == [ACME]


def test_two_entry_points_of_one_name_both_load(garden):
    garden.write("acme_other", HEALTHY.replace("healthy", "other"))
    garden.plant(HEALTHY, entry_points="main = acme_plugin\nmain = acme_other")
    found = load_catalog()
    assert heads(found) == ["healthy", "other"]
    assert found.failures == ()


def test_a_name_that_one_distribution_provides_twice_is_an_error_when_it_is_used(garden):
    garden.plant(HEALTHY, entry_points="again = acme_plugin\nmain = acme_plugin")
    found = load_catalog()
    assert found.failures == ()
    with pytest.raises(AmbiguousComponent) as caught:
        found.find(HeadSpec, parse_name("healthy"))
    assert str(caught.value) == (
        "The head 'healthy' is provided twice by acme 1.0, through the entry points again = acme_plugin, "
        "main = acme_plugin. Remove one of them."
    )


def test_a_name_that_two_distributions_provide_is_an_error_only_when_it_is_used(garden):
    garden.plant(HEALTHY)
    garden.plant(HEALTHY, distribution="Health_Care", version="3.2", module="health_plugin")
    found = load_catalog()
    assert found.failures == ()
    assert found.find(HeadSpec, parse_name("classification"))[1].distribution == "taskgraft"
    with pytest.raises(AmbiguousComponent) as caught:
        found.find(HeadSpec, parse_name("healthy"))
    assert str(caught.value) == (
        "The head 'healthy' is provided by Health_Care 3.2 and by acme 1.0. "
        "Choose one with 'Health_Care/healthy' or 'acme/healthy'."
    )


def test_a_qualified_name_chooses_in_any_spelling_of_the_distribution(garden):
    garden.plant(HEALTHY)
    garden.plant(HEALTHY, distribution="Health_Care", module="health_plugin")
    found = load_catalog()
    for text, distribution in [("acme/healthy", "acme"), ("health-care/healthy:x", "Health_Care")]:
        assert found.find(HeadSpec, parse_name(text))[1].distribution == distribution


def test_the_error_for_an_unknown_name_suggests_the_nearest_and_lists_what_is_installed(garden):
    with pytest.raises(UnknownComponent) as caught:
        load_catalog().find(HeadSpec, parse_name("clasification"))
    version = next(source.version for _, source in load_catalog().specs(HeadSpec))
    assert str(caught.value) == (
        f"No head named 'clasification'. Did you mean 'classification' (from taskgraft {version})?\n"
        "Installed: classification, element-classification, masked-elements, multi-label, regression."
    )


def test_the_error_for_an_unknown_name_lists_failed_plugins_and_blocked_distributions(garden, monkeypatch):
    garden.plant("import acme_core")
    garden.plant("import sys\nsys.exit()", distribution="bakery", module="bakery_plugin")
    garden.plant(HEALTHY, distribution="health", module="health_plugin")
    monkeypatch.setenv(BLOCK_VARIABLE, "health")
    with pytest.raises(UnknownComponent) as caught:
        load_catalog().find(BackboneSpec, parse_name("health/healthy:some/checkpoint"))
    assert str(caught.value) == (
        "No backbone named 'health/healthy'.\n"
        "Installed: nothing. A plugin that did not load may provide it: "
        "acme 1.0 (ModuleNotFoundError: No module named 'acme_core'); bakery 1.0 (SystemExit). "
        "Blocked by TASKGRAFT_BLOCK: health."
    )


def test_the_error_for_a_name_of_the_wrong_distribution_suggests_the_right_one(garden):
    garden.plant(HEALTHY)
    with pytest.raises(UnknownComponent) as caught:
        load_catalog().find(HeadSpec, parse_name("health/healthy"))
    assert str(caught.value) == (
        "No head named 'health/healthy'. health is not installed here: pip install health. "
        "Did you mean 'healthy' (from acme 1.0)?\n"
        "Installed: classification, element-classification, healthy, masked-elements, multi-label, regression."
    )


FORMER = HEALTHY.replace("build=print", "build=print, aliases=('hale',)")


@pytest.mark.parametrize("text", ["hale", "acme/hale:argument"])
def test_a_former_name_still_finds_its_spec_with_a_warning(garden, text):
    garden.plant(FORMER)
    with pytest.warns(RenamedComponentWarning) as warned:
        spec, _ = load_catalog().find(HeadSpec, parse_name(text))
    assert spec.name == "healthy"
    assert [str(one.message) for one in warned] == [
        "The head 'hale' is now called 'healthy' (from acme 1.0). The old name still works; use the new one."
    ]


def test_the_present_name_of_a_spec_with_former_names_is_found_without_a_warning(garden):
    garden.plant(FORMER)
    assert load_catalog().find(HeadSpec, parse_name("healthy"))[0].names == ("healthy", "hale")


def test_a_former_name_that_another_distribution_took_is_an_error_that_names_both(garden):
    garden.plant(FORMER)
    garden.plant(HEALTHY.replace("healthy", "hale"), distribution="bakery", version="2.0", module="bakery_plugin")
    found = load_catalog()
    with pytest.raises(AmbiguousComponent) as caught:
        found.find(HeadSpec, parse_name("hale"))
    assert str(caught.value) == (
        "The head 'hale' is provided by bakery 2.0 and by acme 1.0 (a former name of 'healthy'). "
        "Choose one with 'acme/hale' or 'bakery/hale'."
    )
    assert found.find(HeadSpec, parse_name("bakery/hale"))[1].distribution == "bakery"
    with pytest.warns(RenamedComponentWarning):
        assert found.find(HeadSpec, parse_name("acme/hale"))[0].name == "healthy"


def test_the_error_for_a_name_near_a_former_one_suggests_the_present_one(garden):
    garden.plant(FORMER)
    with pytest.raises(UnknownComponent) as caught:
        load_catalog().find(HeadSpec, parse_name("halle"))
    assert str(caught.value) == (
        "No head named 'halle'. Did you mean 'healthy' (from acme 1.0)?\n"
        "Installed: classification, element-classification, healthy, masked-elements, multi-label, regression."
    )


def test_a_blocked_distribution_is_not_imported(garden, monkeypatch):
    garden.plant("raise KeyboardInterrupt", distribution="Acme_Text")
    garden.plant(HEALTHY, distribution="health", version="3.2", module="health_plugin")
    monkeypatch.setenv(BLOCK_VARIABLE, " acme-text , never-installed,")
    found = load_catalog()
    assert (found.failures, found.blocked) == ((), ("Acme_Text",))
    assert works_but_for_acme(found)
    assert "acme_plugin" not in sys.modules


LIST_REMARKS = """
import json
from taskgraft.discovery.catalog import catalog
from taskgraft.plugin import HeadSpec

found = catalog()
print(json.dumps([
    [remark.text for remark in found.remarks if remark.source.distribution == "acme"],
    [spec.name for spec, source in found.specs(HeadSpec) if source.distribution == "acme"],
]))
"""


def remarks_and_heads_in_a_new_process(garden):
    """In a new process, where nothing heavy is imported yet; a small module replaces each heavy library."""
    for library in ("torch", "timm"):
        garden.write(library, "")
    path = {"PYTHONPATH": os.pathsep.join([str(garden.folder), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", LIST_REMARKS], env=os.environ | path, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_plugin_that_imports_timm_in_its_hook_is_remarked_on_and_works(garden):
    garden.plant(HEALTHY + "    import timm, torch\n")
    assert remarks_and_heads_in_a_new_process(garden) == [
        ["imports torch, timm during discovery; move that import into the spec's build function"],
        ["healthy"],
    ]
