"""``taskgraft doctor PLUGIN`` runs the quick part of the conformance kit on an installed plugin, without pytest."""

import inspect
import json
import subprocess
import sys

import pytest
from commands import typed
from planting import HEALTHY

from taskgraft import testing as kit
from taskgraft.discovery.catalog import catalog
from taskgraft.scaffold import derive_names, write_plugin
from taskgraft.testing.check_list import checks_of

pytestmark = pytest.mark.slow

MODULE, BACKBONE = "acme_models/__init__.py", "acme_models/backbone.py"


@pytest.fixture
def acme(beside_others, tmp_path):
    """Plants the written backbone 'acme-models', with pieces of its files replaced."""

    def plant(*changes):
        write_plugin(derive_names("acme-models", "backbone", catalog()), tmp_path / "written")
        texts = {path: tmp_path.joinpath("written/src", path).read_text() for path in (MODULE, BACKBONE)}
        for path, old, new in changes:
            assert texts[path].count(old) == 1, old
            texts[path] = texts[path].replace(old, new)
        for path, text in texts.items():
            beside_others.write(path.removesuffix(".py").replace("/", "."), text)
        beside_others.plant(None, "acme-models", entry_points="models = acme_models")
        catalog.cache_clear()

    return plant


def broken(*arguments):
    """The broken promises, with their messages."""
    done = typed("doctor", *arguments, "--json")
    found = json.loads(done.out)
    findings = [one for plugin in found["plugins"] for one in plugin["findings"]]
    counts = {
        outcome: [one["outcome"] for one in findings].count(outcome) for outcome in ("kept", "broken", "not tried")
    }
    assert {key: found[key] for key in counts} == counts
    assert (done.code, found["healthy"]) == ((1, False) if counts["broken"] else (0, True))
    return {one["check"]: (one["subject"], one["text"]) for one in findings if one["outcome"] == "broken"}


def test_a_plugin_that_keeps_its_promises_ends_with_0(acme):
    acme()
    done = typed("doctor", "Acme_Models")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:6] == [
        "acme-models 1.0 (models = acme_models)",
        "",
        "acme_models",
        "  kept       module is found",
        "  kept       specs are valid",
        "  kept       descriptions read no weights",
    ]
    assert "  kept       features do not depend on the batch" in lines
    assert lines[-1] == f"{len(checks_of('backbone')) + 4} kept, 0 broken, 0 not tried."
    assert typed("doctor", "models").out == done.out  # the entry point


FAULTS = {
    "companions": (
        (BACKBONE, "(self.layers(self._values(batch)),)", "(self.layers(self._values(batch)).sub(0.1 * len(batch)),)"),
        "features do not depend on the batch",
        "AcmeModelsBackbone breaks the law 'features do not depend on the batch':\n"
        "vector features of row 0 alone and in a batch differ by 9.7e-01.\n"
        "Mask the positions past each example's length, and never combine rows of a batch.",
    ),
    "homeless": (
        (MODULE, 'owns=(f"layers.{k}",)', 'owns=(f"layers.{k}.0.weight",)'),
        "parts own every tensor once",
        "AcmeModelsBackbone breaks the law 'parts own every tensor once':\n"
        "no part owns layers.0.0.bias, layers.1.0.bias, layers.2.0.bias.\n"
        "Add the module to the 'owns' of the first part that uses it, or to 'unused' when the features do not need it.",
    ),
    "resumes-too-late": (
        (BACKBONE, "self.layers[cut:](hidden)", "self.layers[max(cut, 2):](hidden) if cut else self.layers(hidden)"),
        "resuming equals a full pass",
        "AcmeModelsBackbone breaks the law 'resuming equals a full pass':\n"
        "vector features resumed from cut 1 differ by 7.1e-01.\n"
        "Put everything that later parts need into the state, recompute what depends on length, or offer no such cut.",
    ),
    "takes-all": (
        (BACKBONE, "invalid = {row: ", "invalid = {} if texts else {row: "),
        "invalid rows are reported",
        "AcmeModelsBackbone breaks the law 'invalid rows are reported':\n"
        "a row of empty cells is not invalid.\n"
        "Keep the row in the batch, and put its reason into 'invalid'.",
    ),
    "described-otherwise": (
        (BACKBONE, "describe(config)", 'describe(config.model_copy(update={"feature_size": 31}))'),
        "spec describes the backbone",
        "AcmeModelsBackbone breaks the law 'spec describes the backbone':\n"
        "'features[0].feature_sizes[0]' is 32 as described by 'acme-models', but 31 as built.\n"
        "Let 'description' and the spec's 'describe' call one function.",
    ),
    "draws": (
        (BACKBONE, 'return batch["values"].to(', 'return torch.rand_like(batch["values"]).to('),
        "eval is deterministic",
        "AcmeModelsBackbone breaks the law 'eval is deterministic':\n"
        "two passes give vector features that differ by 5.1e-01.\n"
        "Use random numbers only where self.training is true, as dropout does.",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "check", "text"), FAULTS.values(), ids=FAULTS)
def test_a_broken_promise_is_reported(acme, change, check, text):
    acme(change)
    assert broken("acme-models")[check] == ("backbone 'acme-models'", text)


@pytest.mark.slow
def test_torch_at_the_top_is_found_though_torch_is_imported_here(acme):
    acme((MODULE, "from pydantic import Field\n", "import torch\nfrom pydantic import Field\n"))
    assert broken("acme-models") == {
        "module is found": (
            "acme_models",
            "acme_models breaks the law 'module is found':\n"
            "the catalog reports: imports torch during discovery; move that import into the spec's build function.\n"
            "Fix the module that the entry point names.",
        )
    }


def test_an_example_with_invalid_settings_is_a_fault(acme):
    acme((MODULE, "example=Example(", 'example=Example({"feature_sise": 8}, '))
    assert broken("acme-models")["specs are valid"] == (
        "acme_models",
        "backbone 'acme-models' of acme_models breaks the law 'specs are valid':\n"
        "its example: there is no setting 'feature_sise'. Did you mean 'feature_size'? Settings: feature_size, layers, seed.\n"
        "Give settings that its config accepts.",
    )


def test_a_backbone_that_cannot_be_built_is_reported_with_its_exception(acme):
    acme((BACKBONE, "import torch\n", "import acme_core\nimport torch\n"))
    assert broken("acme-models")["it is built from settings"] == (
        "backbone 'acme-models'",
        "backbone 'acme-models' breaks the law 'it is built from settings':\n"
        "building it raises ModuleNotFoundError: No module named 'acme_core'.\n"
        "Fix 'build' and what it calls, or the example of the spec.",
    )


def test_a_fault_reads_well_in_print(acme):
    acme(FAULTS["takes-all"][0])
    done = typed("doctor", "acme-models")
    assert done.code == 1
    assert (
        "  BROKEN     invalid rows are reported:\n"
        "             AcmeModelsBackbone breaks the law 'invalid rows are reported':\n"
        "             a row of empty cells is not invalid.\n"
        "             Keep the row in the batch, and put its reason into 'invalid'.\n"
    ) in done.out


def test_a_plugin_that_did_not_load_is_reported_with_the_reason(beside_others):
    beside_others.plant("import acme_core", distribution="broken", module="broken_plugin")
    done = typed("doctor", "broken")
    assert (done.code, done.out) == (
        1,
        "broken 1.0 (main = broken_plugin)\n\nbroken_plugin\n  BROKEN     it loads:\n"
        "             It did not load: ModuleNotFoundError: No module named 'acme_core'.\n\n"
        "0 kept, 1 broken, 0 not tried.\n",
    )


# --- what is not tried


def untried(*arguments):
    done = typed("doctor", *arguments, "--json")
    findings = [one for plugin in json.loads(done.out)["plugins"] for one in plugin["findings"]]
    return {one["subject"]: one["text"] for one in findings if one["outcome"] == "not tried"}


def test_a_backbone_without_example_is_not_built_until_it_is_named(acme):
    acme((MODULE, "        example=Example(", "        # ("))
    assert untried("acme-models") == {
        "backbone 'acme-models'": "It has no example, and building it may download weights. Choose what to try with "
        "--try acme-models:FEATURE_SIZE, or with a dict of 'name' and settings as JSON."
    }
    assert untried("acme-models", "--try", "acme-models:8") == {
        "backbone 'acme-models'": "Its example has no rows, so no check that reads inputs was tried."
    }


def test_settings_are_tried_in_place_of_the_example(acme):
    start = "        super().__init__()\n"
    acme((BACKBONE, start, f"{start}        assert config.layers < 5, 'too deep'\n"))
    assert broken("acme-models", "--try", "acme-models:8") == {}
    found = broken("acme-models", "--try", '{"name": "acme-models:8", "layers": 5}')
    assert "building it raises AssertionError: too deep.\n" in found["it is built from settings"][1]


def test_what_has_no_default_is_not_tried_until_it_is_given(beside_others):
    undecided = "class Settings(Config):\n    positional = 'size'\n    size: int\n\n\n"
    beside_others.plant(
        HEALTHY.replace("@hookimpl", f"{undecided}@hookimpl").replace('"healthy"', '"healthy", Settings')
    )
    assert untried("acme") == {
        "head 'healthy'": "It has no default for size, and no example sets it. Choose what to try with --try healthy:SIZE, "
        "or with a dict of 'name' and settings as JSON."
    }


@pytest.mark.slow
@pytest.mark.parametrize("plugin", ["taskgraft-fraud", "taskgraft-protein", "taskgraft-text"])
def test_a_first_party_plugin_keeps_the_promises_that_need_no_download(plugin):
    assert broken(plugin) == {}


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("acme-modles",),
            "Error: No plugin named 'acme-modles' is installed. Did you mean 'acme-models'? "
            "Name its distribution or its entry point.\nInstalled: acme-models, ",
        ),
        (
            ("acme-models", "--try", "letters:8"),
            "Error: --try letters:8: acme-models 1.0 provides no 'letters'. It provides acme-models.\n",
        ),
        (("acme-models", "--try", "{letters}"), "Error: --try: '{letters}' is not valid JSON: "),
        (
            ("acme-models", "--try", "acme-models:none"),
            "Error: backbone 'acme-models': the setting 'feature_size' is 'none': ",
        ),
    ],
)
def test_what_cannot_be_tried_is_a_user_error(acme, arguments, text):
    acme()
    done = typed("doctor", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--try", "letters"), "name the plugin: taskgraft doctor PLUGIN --try NAME."),
        (("taskgraft", "--devices"), "it works only without a plugin."),
    ],
)
def test_options_that_do_not_go_together_are_a_user_error(arguments, text):
    done = typed("doctor", *arguments)
    assert done.code == 2
    assert text in " ".join(done.err.replace("│", " ").split())


# --- the checks


@pytest.mark.parametrize(
    ("subject", "suite"), [("backbone", kit.BackboneLaws), ("head", kit.HeadLaws), ("strategy", kit.StrategyLaws)]
)
def test_all_that_the_kit_checks_with_pytest_is_checked_without(subject, suite):
    tests = {name.removeprefix("test_") for name, _ in inspect.getmembers(suite) if name.startswith("test_")}
    assert {check.__name__.removeprefix("check_") for check in checks_of(subject)} == tests


@pytest.mark.slow
def test_the_core_keeps_its_promises_and_pytest_is_not_imported():
    code = (
        "import sys; sys.modules['pytest'] = None; from taskgraft.cli.main import main; main(['doctor', 'taskgraft'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert " kept, 0 broken, " in done.stdout
