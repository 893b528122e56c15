import json
import platform
import sys
from importlib.metadata import version

from commands import typed
from planting import HEALTHY


def diagnosis(*arguments):
    done = typed("doctor", "--json", *arguments)
    return done.code, json.loads(done.out)


def test_a_healthy_installation_ends_with_0(beside_others):
    done = typed("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "No problems found."
    assert f"Python {platform.python_version()} ({sys.executable})" in done.out
    assert "strategy: adapters, average, bitfit, distill, full, gradual, layer-decay" in done.out


def test_versions_of_the_dependencies_are_listed(beside_others):
    code, found = diagnosis()
    assert (code, found["healthy"]) == (0, True)
    assert found["libraries"]["torch"] == version("torch")
    assert {"pydantic", "typer", "rich", "pyyaml"} <= set(found["libraries"])
    assert "pytest" not in found["libraries"]  # of an extra


def test_a_library_that_is_missing_is_a_fault(garden):
    """In this garden nothing is installed but the core, as far as metadata tell."""
    done = typed("doctor")
    assert done.code == 1
    assert ["torch", "NOT", "INSTALLED"] in [line.split() for line in done.out.splitlines()]
    assert ", torch, torchmetrics, typer. Install missing libraries with pip." in done.out


def test_every_plugin_is_listed_with_what_it_provides(beside_others):
    beside_others.plant(HEALTHY, distribution="acme-heads", version="2.5")
    _, found = diagnosis()
    assert {
        "distribution": "acme-heads",
        "version": "2.5",
        "module": "acme_plugin",
        "provides": {"head": ["healthy"]},
    } in found["plugins"]


def test_a_plugin_that_failed_is_listed_with_the_reason_and_the_code_is_1(beside_others):
    beside_others.plant("import acme_core", distribution="broken", module="broken_plugin")
    done = typed("doctor")
    assert done.code == 1
    assert "FAILED: broken 1.0 (main = broken_plugin): ModuleNotFoundError: No module named 'acme_core'" in done.out
    assert done.out.splitlines()[-1] == "Something failed."
    code, found = diagnosis()
    assert (code, found["healthy"]) == (1, False)
    assert found["failures"] == [
        {
            "distribution": "broken",
            "version": "1.0",
            "entry_point": "main = broken_plugin",
            "text": "ModuleNotFoundError: No module named 'acme_core'",
        }
    ]


def test_a_name_that_two_provide_is_a_clash_but_no_failure(beside_others):
    beside_others.plant(HEALTHY, distribution="one", module="one_plugin")
    beside_others.plant(HEALTHY, distribution="two", module="two_plugin")
    done = typed("doctor")
    assert done.code == 0
    clash = "the head 'healthy' is provided by one 1.0 and by two 1.0"
    assert f"Clash: {clash}; choose one as distribution/name." in done.out
    assert diagnosis()[1]["clashes"] == [clash]


def test_blocked_plugins_are_listed(beside_others, monkeypatch):
    beside_others.plant(HEALTHY)
    monkeypatch.setenv("TASKGRAFT_BLOCK", "acme")
    assert "Blocked by TASKGRAFT_BLOCK: acme." in typed("doctor").out
    assert diagnosis()[1]["blocked"] == ["acme"]


def test_a_plugin_that_imports_too_much_is_remarked_on(beside_others, monkeypatch):
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    beside_others.write("timm", "")
    beside_others.plant(f"{HEALTHY}\nimport timm\n")
    done = typed("doctor")
    assert done.code == 0
    assert (
        "Remark: acme 1.0 (main = acme_plugin): imports timm during discovery; "
        "move that import into the spec's build function"
    ) in done.out


def test_devices_are_listed_on_request(beside_others):
    assert diagnosis()[1]["devices"] is None
    assert diagnosis("--devices")[1]["devices"][0] == "cpu"
    assert "Devices: cpu" in typed("doctor", "--devices").out
