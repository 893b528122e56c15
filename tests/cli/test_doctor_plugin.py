"""``taskgraft doctor PLUGIN`` runs the quick part of the conformance kit on an installed plugin, without pytest."""

import inspect
import json
import subprocess
import sys

import pytest
from commands import typed
from planting import HEALTHY

from taskgraft.discovery.catalog import catalog
from taskgraft.scaffold import derive_names, write_plugin
from taskgraft.testing import suites as laws
from taskgraft.testing.quick_check import checks_of

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
    """The promises that are found broken, with what is told."""
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
        "  kept       specs are sound",
        "  kept       descriptions read no weights",
    ]
    assert "  kept       companions do not matter" in lines
    assert lines[-1] == f"{len(checks_of('backbone')) + 4} kept, 0 broken, 0 not tried."
    assert typed("doctor", "models").out == done.out  # the entry point


FAULTS = {
    "companions": (
        (BACKBONE, "(self.layers(self._values(batch)),)", "(self.layers(self._values(batch)).sub(0.1 * len(batch)),)"),
        "companions do not matter",
        "AcmeModelsBackbone breaks the law 'an example's features do not depend on its companions or on padding':\n"
        "vector features of row 0 alone and among others differ by 9.7e-01.\n"
        "Mask what is past each example's length, and let nothing mix rows of a batch.",
    ),
    "homeless": (
        (MODULE, 'owns=(f"layers.{k}",)', 'owns=(f"layers.{k}.0.weight",)'),
        "parts own every tensor once",
        "AcmeModelsBackbone breaks the law 'parts own every tensor exactly once':\n"
        "no part owns layers.0.0.bias, layers.1.0.bias, layers.2.0.bias.\n"
        "Name the module in the 'owns' of the first part that uses it, or in 'unused' when the features do not need it.",
    ),
    "resumes-too-late": (
        (BACKBONE, "self.layers[cut:](hidden)", "self.layers[max(cut, 2):](hidden) if cut else self.layers(hidden)"),
        "resuming equals a whole pass",
        "AcmeModelsBackbone breaks the law 'what lies at a cut gives the features of a whole pass':\n"
        "vector features resumed from cut 1 differ by 7.1e-01.\n"
        "Put all that later parts need into the state, recompute what depends on length, or offer no such cut.",
    ),
    "takes-all": (
        (BACKBONE, "refused = {row: ", "refused = {} if texts else {row: "),
        "bad rows are named",
        "AcmeModelsBackbone breaks the law 'a row that cannot be used is named, not raised':\n"
        "a row of empty cells is not refused.\n"
        "Give it a row in the batch all the same, and its reason in 'refused'.",
    ),
    "described-otherwise": (
        (BACKBONE, "describe(config)", 'describe(config.model_copy(update={"feature_size": 31}))'),
        "spec describes it",
        "AcmeModelsBackbone breaks the law 'describe says what build makes':\n"
        "'features[0].feature_sizes[0]' is 32 as described by 'acme-models', but 31 as built.\n"
        "Let the backbone's 'description' and the spec's 'describe' call one function.",
    ),
    "draws": (
        (BACKBONE, 'return batch["values"].to(', 'return torch.rand_like(batch["values"]).to('),
        "eval is deterministic",
        "AcmeModelsBackbone breaks the law 'eval mode is deterministic':\n"
        "two passes give vector features that differ by 5.1e-01.\n"
        "Draw random numbers only where self.training is true, as dropout does.",
    ),
}


@pytest.mark.parametrize(("change", "check", "text"), FAULTS.values(), ids=FAULTS)
def test_a_backbone_that_breaks_a_promise_is_told_of_it(acme, change, check, text):
    acme(change)
    assert broken("acme-models")[check] == ("backbone 'acme-models'", text)


def test_torch_at_the_top_is_found_though_torch_is_imported_here(acme):
    acme((MODULE, "from pydantic import Field\n", "import torch\nfrom pydantic import Field\n"))
    assert broken("acme-models") == {
        "module is found": (
            "acme_models",
            "acme_models breaks the law 'a plugin is found without work':\n"
            "the catalog says: imports torch during discovery; move that import into the spec's build function.\n"
            "Mend the module that the entry point names.",
        )
    }


def test_an_example_that_the_settings_refuse_is_a_fault(acme):
    acme((MODULE, "example=Example(", 'example=Example({"feature_sise": 8}, '))
    assert broken("acme-models")["specs are sound"] == (
        "acme_models",
        "backbone 'acme-models' of acme_models breaks the law 'a spec is plain and its settings are JSON':\n"
        "its example: there is no setting 'feature_sise'. Did you mean 'feature_size'? Settings: feature_size, layers, seed.\n"
        "Give settings that its config takes.",
    )


def test_a_backbone_that_cannot_be_built_is_told_with_what_it_raises(acme):
    acme((BACKBONE, "import torch\n", "import acme_core\nimport torch\n"))
    assert broken("acme-models")["it is built from settings"] == (
        "backbone 'acme-models'",
        "backbone 'acme-models' breaks the law 'it is built from settings':\n"
        "building it raises ModuleNotFoundError: No module named 'acme_core'.\n"
        "Mend 'build' and what it calls, or the example of the spec.",
    )


def test_a_fault_reads_well_in_print(acme):
    acme(FAULTS["takes-all"][0])
    done = typed("doctor", "acme-models")
    assert done.code == 1
    assert (
        "  BROKEN     bad rows are named:\n"
        "             AcmeModelsBackbone breaks the law 'a row that cannot be used is named, not raised':\n"
        "             a row of empty cells is not refused.\n"
        "             Give it a row in the batch all the same, and its reason in 'refused'.\n"
    ) in done.out


def test_a_plugin_that_did_not_load_is_told_with_the_reason(beside_others):
    beside_others.plant("import acme_core", distribution="broken", module="broken_plugin")
    done = typed("doctor", "broken")
    assert (done.code, done.out) == (
        1,
        "broken 1.0 (main = broken_plugin)\n\nbroken_plugin\n  BROKEN     it loads:\n"
        "             It was left out: ModuleNotFoundError: No module named 'acme_core'.\n\n"
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
        "backbone 'acme-models'": "It gives no example, and building it may mean a download. Say what to try it with: "
        "--try acme-models:FEATURE_SIZE, or a dict with 'name' and settings as JSON."
    }
    assert untried("acme-models", "--try", "acme-models:8") == {
        "backbone 'acme-models'": "Its example gives no rows, so nothing that reads inputs was tried."
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
        "head 'healthy'": "It has no default for size, and no example gives it. Say what to try it with: --try healthy:SIZE, "
        "or a dict with 'name' and settings as JSON."
    }


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
            "A plugin is named by its distribution or its entry point.\nInstalled: acme-models, ",
        ),
        (
            ("acme-models", "--try", "letters:8"),
            "Error: --try letters:8: acme-models 1.0 provides no 'letters'. It provides acme-models.\n",
        ),
        (("acme-models", "--try", "{letters}"), "Error: --try: '{letters}' is no JSON: "),
        (
            ("acme-models", "--try", "acme-models:none"),
            "Error: backbone 'acme-models': the setting 'feature_size' is 'none': ",
        ),
    ],
)
def test_what_cannot_be_tried_is_a_mistake(acme, arguments, text):
    acme()
    done = typed("doctor", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--try", "letters"), "say of which plugin: taskgraft doctor PLUGIN --try NAME."),
        (("taskgraft", "--devices"), "it is for taskgraft doctor without a plugin."),
    ],
)
def test_options_that_do_not_go_together_are_a_mistake(arguments, text):
    done = typed("doctor", *arguments)
    assert done.code == 2
    assert text in " ".join(done.err.replace("│", " ").split())


# --- the checks


@pytest.mark.parametrize(
    ("subject", "kit"), [("backbone", laws.BackboneLaws), ("head", laws.HeadLaws), ("strategy", laws.StrategyLaws)]
)
def test_all_that_the_kit_checks_with_pytest_is_checked_without(subject, kit):
    tests = {name.removeprefix("test_") for name, _ in inspect.getmembers(kit) if name.startswith("test_")}
    assert {check.__name__.removeprefix("check_") for check in checks_of(subject)} == tests


def test_the_core_keeps_its_promises_and_pytest_is_not_imported():
    code = (
        "import sys; sys.modules['pytest'] = None; from taskgraft.cli.main import main; main(['doctor', 'taskgraft'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert " kept, 0 broken, " in done.stdout
