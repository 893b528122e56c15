import importlib
import sys

import pytest

from taskgraft.storage.versions import result_versions


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install distributions without code: name → version and what they require."""

    def install(**distributions):
        for name, (version, *requirements) in distributions.items():
            about = tmp_path / f"{name}-{version}.dist-info"
            about.mkdir()
            name = name.replace("_", "-")
            lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
            (about / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {one}" for one in requirements]) + "\n")
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return install


def versions(*sources):
    """The versions beside those of the core and its engine, which are always there."""
    found = result_versions(sources)
    assert {"accelerate", "numpy", "taskgraft", "torch"} <= found.keys()
    return {name: version for name, version in found.items() if name not in result_versions(["taskgraft"])}


def test_a_plugin_counts_with_what_it_requires(installed):
    installed(acme=("1.0", "taskgraft>=0.1", "acme_model (>=2)", 'other; python_version < "3"'), acme_model=("2.1",))
    assert versions("acme") == {"acme": "1.0", "acme-model": "2.1"}


def test_a_library_that_builds_on_taskgraft_is_followed_to_what_it_requires(installed):
    installed(
        acme=("1.0", "acme-library"), acme_library=("3.0", "taskgraft", "acme-model[fast]~=2.0"), acme_model=("2.1",)
    )
    assert versions("ACME") == {"acme": "1.0", "acme-library": "3.0", "acme-model": "2.1"}


def test_packages_that_only_others_require_do_not_count(installed):
    installed(
        acme=("1.0", "acme-model", 'extra-one; extra == "all"', "rich>=13"),
        acme_model=("2.1", "certificates"),
        certificates=("2026.1",),
        extra_one=("1",),
    )
    assert versions("acme") == {"acme": "1.0", "acme-model": "2.1"}


def test_a_plugin_that_is_not_installed_is_left_out():
    assert versions("no-such-plugin") == {}


def test_a_cycle_of_requirements_ends(installed):
    installed(acme=("1.0", "taskgraft", "acme-library"), acme_library=("3.0", "taskgraft", "acme"))
    assert versions("acme") == {"acme": "1.0", "acme-library": "3.0"}
