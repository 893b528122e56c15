"""Each check of the conformance kit for plugins catches a fault planted for it, and reports it in the author's terms."""

import sys
import textwrap

import pytest
from kit_laws import message

from taskgraft import testing as kit
from taskgraft.testing import ContractViolation

CORRECT = """
    from taskgraft.plugin import BackboneDescription, BackboneSpec, Config, InputField, Part, hookimpl, vector

    TASKGRAFT_CONTRACT = "1.0"

    class Settings(Config):
        blocks: int = 2

    @hookimpl
    def taskgraft_backbones():
        yield BackboneSpec(name="mine", summary="a backbone", config=Settings, describe=describe, build=build)

    def describe(config):
        return BackboneDescription((InputField("text"),), (vector(4),), (Part("all", ("all",), vector(4)),))

    def build(config):
        import backbones

        return backbones.Words()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a plugin's module, with parts of the correct one replaced, and returns its name."""

    def write(name, *changes):
        code = CORRECT
        for old, new in changes:
            assert old in code
            code = code.replace(old, new)
        tmp_path.joinpath(f"{name}.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_a_spec_without_settings_to_try_it_with_is_not_tried(module):
    undecided = """
        either: int | None = None

        @model_validator(mode="after")
        def _decided(self):
            if self.either is None:
                raise ValueError("decide")
            return self
"""
    imported = "from pydantic import model_validator\n    from taskgraft.plugin import BackboneDescription"
    name = module(
        "undecided",
        ("    blocks: int = 2\n", undecided),
        ("from taskgraft.plugin import BackboneDescription", imported),
    )
    kit.check_specs_are_valid(name, {})
    kit.check_descriptions_read_no_weights(name, {})


def test_a_correct_plugin_passes(module):
    name = module("right")
    kit.check_module_is_found(name)
    kit.check_specs_are_valid(name, {})
    kit.check_descriptions_read_no_weights(name, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            ("TASKGRAFT_CONTRACT", "import torch\n\n    TASKGRAFT_CONTRACT"),
            "the catalog reports: imports torch during discovery; move that import into the spec's build function",
        ),
        (
            ("TASKGRAFT_CONTRACT", "import acme_core\n\n    TASKGRAFT_CONTRACT"),
            "the catalog reports: ModuleNotFoundError: No module named 'acme_core'",
        ),
        (("def taskgraft_backbones", "def taskgraft_backbone"), "the catalog reports: has a hook 'taskgraft_backbone'"),
        (
            ('name="mine"', 'name="My Backbone"'),
            "the catalog reports: taskgraft_backbones: 'My Backbone' is not a valid name",
        ),
        (("TASKGRAFT_CONTRACT", "import os\n    os._exit(3)\n    TASKGRAFT_CONTRACT"), "discovery ends the process: "),
    ],
    ids=["torch-at-the-top", "missing-dependency", "misspelt-hook", "no-name", "exit"],
)
def test_a_module_with_heavy_work_is_caught(module, change, found):
    name = module("wrong", change)
    with pytest.raises(ContractViolation) as caught:
        kit.check_module_is_found(name)
    assert str(caught.value).startswith(f"wrong breaks the law 'module is found':\n{found}")
    assert str(caught.value).endswith("\nFix the module that the entry point names.")


@pytest.mark.parametrize(
    ("change", "found", "advice"),
    [
        (('summary="a backbone"', 'summary=""'), "its summary is ''", "Write one line for taskgraft list."),
        (
            ("blocks: int = 2", "model_config = {'frozen': False}\n        blocks: int = 2"),
            "Settings has frozen=False",
            "Fix the spec.",
        ),
        (
            ("blocks: int = 2", "positional = 'path'\n        blocks: int = 2"),
            "the positional argument of Settings is 'path', which is not one of its settings",
            "Fix the spec.",
        ),
        (
            ("blocks: int = 2", "blocks: float = float('nan')"),
            "writing Settings as JSON raises ValueError: Out of range float values are not JSON compliant",
            "Fix the spec.",
        ),
        (
            ("blocks: int = 2", "blocks: int | bytes | None = b'\\xff'"),
            "writing Settings as JSON raises ",
            "Fix the spec.",
        ),
    ],
    ids=["no-summary", "not-frozen", "argument", "not-finite", "bytes"],
)
def test_settings_that_are_not_json_are_caught(module, change, found, advice):
    name = module("wrong", change)
    with pytest.raises(ContractViolation) as caught:
        kit.check_specs_are_valid(name, {})
    law = "backbone 'mine' of wrong breaks the law 'specs are valid':\n"
    assert str(caught.value).startswith(law + found)
    assert str(caught.value).endswith(f".\n{advice}")


@pytest.mark.parametrize(
    ("work", "found"),
    [
        ("build(config)", "describe creates weights: 'weight' of Embedding"),
        ("open(__file__.replace('.py', '.safetensors'), 'rb').close()", "describe opens wrong.safetensors"),
    ],
    ids=["builds", "opens"],
)
def test_a_describe_that_reads_weights_is_caught(module, tmp_path, work, found):
    name = module("wrong", ("def describe(config):\n", f"def describe(config):\n        {work}\n"))
    tmp_path.joinpath("wrong.safetensors").write_bytes(b"")
    with pytest.raises(ContractViolation) as caught:
        kit.check_descriptions_read_no_weights(name, {})
    assert str(caught.value) == message(kit.check_descriptions_read_no_weights, "backbone 'mine' of wrong", found)


def test_a_description_that_differs_from_what_is_built_is_caught(module):
    with pytest.raises(ContractViolation) as caught:
        kit.check_descriptions_match_what_is_built(module("wrong"), {})
    assert str(caught.value).startswith(
        "backbone 'mine' of wrong breaks the law 'descriptions match what is built':\n'features' is (FeatureDescription("
    )
