"""The mistakes in ``tests/support/mistakes``, each planted in a plugin of its own, are caught with their whole message."""

import re
import sys
from pathlib import Path

import pytest
from author_mistakes import Catcher
from mistakes.every import MISTAKES
from planting import HEALTHY

from taskgraft import testing as kit
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.specs import HeadSpec
from taskgraft.discovery.catalog import load_catalog
from taskgraft.discovery.names import parse_name
from taskgraft.errors import TaskgraftError
from taskgraft.testing.check_list import checks_of, needs_of
from taskgraft.testing.plugin import load_specs

CORRECT = {
    path.stem: path.read_text() for path in (Path(__file__).parents[1] / "support" / "acme_strings").glob("*.py")
}
TEXTS = ("to be", "or not to be", "that is", "the question whether", "it is", "nobler in the mind")
INPUTS = {"text": list(TEXTS)}
TARGETS = {"kind": ["a", "b", "a", "c", "b", "c"]}
AXES = ("backbone", "head", "strategy", "reader", "split")
KIT = [catcher for catcher in Catcher if catcher not in (Catcher.CATALOG, Catcher.USE)]
LINES = "".join(f"{kind}: {text}\n" for kind, text in zip(TARGETS["kind"], TEXTS, strict=True)) + "no kind\n"


def written(garden, place=None, changes=()):
    """Write the correct plugin, with some text of one module changed."""
    for module, code in CORRECT.items():
        for right, wrong in dict(changes).items() if module == place else ():
            assert code.count(right) == 1, right
            code = code.replace(right, wrong)
        garden.write(f"acme_strings.{module}", code)
    garden.plant(None, entry_points="main = acme_strings")
    return garden


def given(catcher, folder):
    """New fixtures, as an author defines them."""
    found = {spec.axis: spec for spec in load_specs("acme_strings")}
    backbone, head, strategy, reader, split = (found[axis] for axis in AXES)
    data = folder / "data.pairs"
    data.write_text(LINES)
    match catcher:
        case Catcher.BACKBONE:
            config = backbone.config()
            return {"backbone": backbone.build(config), "inputs": INPUTS, "spec": backbone, "config": config}
        case Catcher.HEAD:
            made = head.build(EmptyConfig())
            return {"head": made, "targets": TARGETS, "columns": {}, "spec": head, "config": EmptyConfig()}
        case Catcher.STRATEGY:
            made = {one.axis: one.build(one.config()) for one in (backbone, head, strategy)}
            return {**made, "inputs": INPUTS, "targets": TARGETS}
        case Catcher.READER:
            return {"spec": reader, "path": data, "config": EmptyConfig(), "count": 7}
        case Catcher.SPLIT:
            data.write_text(LINES * 30)
            rows = reader.read(data, EmptyConfig())
            return {"spec": split, "rows": rows, "targets": ("label",), "config": EmptyConfig()}
        case Catcher.PLUGIN:
            return {"module": "acme_strings", "configs": {}, "labelled": {}}


def faults(catcher, folder):
    """All messages of the kit about the plugin, in the order of its checks."""
    for check in checks_of(catcher):
        if check is not kit.check_module_is_found:  # the catalog's own messages, from another process
            fixtures = given(catcher, folder)
            try:
                check(**{name: fixtures[name] for name in needs_of(check)})
            except TaskgraftError as error:
                yield str(error)


def stable(message):
    """Leave out numbers that depend on the weights, and texts of torch and of the disk."""
    message = re.sub(r"RuntimeError: .*", "RuntimeError: ….", message)
    message = re.sub(r"'/\S*/", "'…/", message)
    return re.sub(r"\d+\.\de[+-]\d\d|\d+\.\d{3,}", "#", message)


def of(*catchers):
    return pytest.mark.parametrize("mistake", [one for one in MISTAKES if one.catcher in catchers], ids=str)


@pytest.mark.parametrize("catcher", KIT)
def test_the_correct_plugin_has_no_fault(beside_others, tmp_path, catcher):
    written(beside_others)
    assert list(faults(catcher, tmp_path)) == []


@of(Catcher.CATALOG)
def test_the_catalog_names_a_mistake_and_everything_else_works(garden, monkeypatch, mistake):
    garden.write("torch", "")
    monkeypatch.delitem(sys.modules, "torch")
    garden.plant(HEALTHY, distribution="health", module="health_plugin")
    written(garden, mistake.module, mistake.changes)
    found = load_catalog()
    assert [*map(str, found.failures), *(remark.text for remark in found.remarks)] == [mistake.message]
    assert found.find(HeadSpec, parse_name("healthy"))[1].distribution == "health"


@of(Catcher.USE)
def test_the_catalog_names_a_mistake_when_the_name_is_used(garden, mistake):
    garden.plant(HEALTHY, distribution="health", module="health_plugin")
    written(garden, mistake.module, mistake.changes)
    with pytest.raises(TaskgraftError) as caught:
        load_catalog().find(HeadSpec, parse_name("healthy"))
    assert str(caught.value) == mistake.message


@of(*KIT)
def test_the_kit_names_a_mistake(beside_others, tmp_path, mistake):
    written(beside_others, mistake.module, mistake.changes)
    assert stable(next(faults(mistake.catcher, tmp_path))) == mistake.message
