"""The mistakes of ``author_mistakes.py``, each planted in a plugin of its own, are caught with their whole message."""

import inspect
import re
import sys
from pathlib import Path

import pytest
from author_mistakes import MISTAKES, Judge
from planting import HEALTHY

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.specs import HeadSpec
from taskgraft.discovery.catalog import load_catalog
from taskgraft.discovery.names import parse_name
from taskgraft.errors import TaskgraftError
from taskgraft.testing import BackboneLaws, HeadLaws, PluginLaws, ReaderLaws, SplitLaws, StrategyLaws
from taskgraft.testing.plugin import specs

RIGHT = {path.stem: path.read_text() for path in (Path(__file__).parents[1] / "support" / "acme_strings").glob("*.py")}
TEXTS = ("to be", "or not to be", "that is", "the question whether", "it is", "nobler in the mind")
INPUTS = {"text": list(TEXTS)}
TARGETS = {"kind": ["a", "b", "a", "c", "b", "c"]}
AXES = ("backbone", "head", "strategy", "reader", "split")
LAWS = {
    Judge.BACKBONE: BackboneLaws,
    Judge.HEAD: HeadLaws,
    Judge.STRATEGY: StrategyLaws,
    Judge.READER: ReaderLaws,
    Judge.SPLIT: SplitLaws,
    Judge.PLUGIN: PluginLaws,
}
LINES = "".join(f"{kind}: {text}\n" for kind, text in zip(TARGETS["kind"], TEXTS, strict=True)) + "no kind\n"


def written(garden, place=None, changes=()):
    """Write the right plugin, with some text of one module changed."""
    for module, code in RIGHT.items():
        for right, wrong in dict(changes).items() if module == place else ():
            assert code.count(right) == 1, right
            code = code.replace(right, wrong)
        garden.write(f"acme_strings.{module}", code)
    garden.plant(None, entry_points="main = acme_strings")
    return garden


def given(judge, folder):
    """The fixtures that an author gives, made anew."""
    found = {spec.axis: spec for spec in specs("acme_strings")}
    backbone, head, strategy, reader, split = (found[axis] for axis in AXES)
    data = folder / "data.pairs"
    data.write_text(LINES)
    match judge:
        case Judge.BACKBONE:
            config = backbone.config()
            return {"backbone": backbone.build(config), "inputs": INPUTS, "spec": backbone, "config": config}
        case Judge.HEAD:
            made = head.build(EmptyConfig())
            return {"head": made, "targets": TARGETS, "columns": {}, "spec": head, "config": EmptyConfig()}
        case Judge.STRATEGY:
            made = {one.axis: one.build(one.config()) for one in (backbone, head, strategy)}
            return {**made, "inputs": INPUTS, "targets": TARGETS}
        case Judge.READER:
            return {"spec": reader, "path": data, "config": EmptyConfig(), "count": 7}
        case Judge.SPLIT:
            data.write_text(LINES * 3)
            rows = reader.read(data, EmptyConfig())
            return {"spec": split, "rows": rows, "targets": ("label",), "config": EmptyConfig()}
        case Judge.PLUGIN:
            return {"module": "acme_strings", "configs": {}, "labelled": {}}


def faults(judge, folder):
    """All that the kit says of the planted plugin, in the order of its tests."""
    for name, law in vars(LAWS[judge]).items():
        if (
            name.startswith("test_") and name != "test_module_is_found"
        ):  # what the catalog says, in a process of its own
            fixtures = given(judge, folder)
            try:
                law(None, **{wanted: fixtures[wanted] for wanted in list(inspect.signature(law).parameters)[1:]})
            except TaskgraftError as error:
                yield str(error)


def stable(message):
    """Leave out numbers that depend on the weights, and what torch and the disk say themselves."""
    message = re.sub(r"RuntimeError: .*", "RuntimeError: ….", message)
    message = re.sub(r"'/\S*/", "'…/", message)
    return re.sub(r"\d+\.\de[+-]\d\d|\d+\.\d{3,}", "#", message)


def of(*judges):
    return pytest.mark.parametrize("mistake", [one for one in MISTAKES if one.judge in judges], ids=str)


@pytest.mark.parametrize("judge", LAWS)
def test_the_right_plugin_has_no_fault(beside_others, tmp_path, judge):
    written(beside_others)
    assert list(faults(judge, tmp_path)) == []


@of(Judge.CATALOG)
def test_the_catalog_names_a_mistake_and_everything_else_works(garden, monkeypatch, mistake):
    garden.write("torch", "")
    monkeypatch.delitem(sys.modules, "torch")
    garden.plant(HEALTHY, distribution="health", module="health_plugin")
    written(garden, mistake.place, mistake.changes)
    found = load_catalog()
    assert [*map(str, found.failures), *(remark.text for remark in found.remarks)] == [mistake.message]
    assert found.find(HeadSpec, parse_name("healthy"))[1].distribution == "health"


@of(Judge.USE)
def test_the_catalog_names_a_mistake_when_the_name_is_used(garden, mistake):
    garden.plant(HEALTHY, distribution="health", module="health_plugin")
    written(garden, mistake.place, mistake.changes)
    with pytest.raises(TaskgraftError) as caught:
        load_catalog().find(HeadSpec, parse_name("healthy"))
    assert str(caught.value) == mistake.message


@of(*LAWS)
def test_the_kit_names_a_mistake(beside_others, tmp_path, mistake):
    written(beside_others, mistake.place, mistake.changes)
    assert stable(next(faults(mistake.judge, tmp_path))) == mistake.message
