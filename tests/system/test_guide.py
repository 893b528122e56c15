import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from author_mistakes import Catcher
from backbones import Table, Words
from commands import typed
from mistakes.every import guide_text
from planting import HEALTHY, OPENING, garden_in
from small_plugin import TableConfig

import taskgraft as tg
from taskgraft import testing as kit
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.builtin.strategies.fine_tuning import Full, FullConfig
from taskgraft.composition.resolve import resolve
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import InputField
from taskgraft.contract.features import ELEMENT_AXIS
from taskgraft.contract.hooks import CONTRACT_VERSION, HookSpecs
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec
from taskgraft.contract.strategy import Strategy
from taskgraft.discovery.catalog import (
    BLOCK_VARIABLE,
    AmbiguousComponent,
    RenamedComponentWarning,
    UnknownComponent,
    catalog,
    load_catalog,
)
from taskgraft.discovery.loader import SPEC_TYPES, PluginLoader
from taskgraft.discovery.names import parse_name
from taskgraft.testing.sample_backbone import SAMPLE_INPUTS, SAMPLE_LABELS, SampleBackbone

PLUGINS = Path(__file__).parents[2] / "plugins"
GUIDE = (PLUGINS / "README.md").read_text()
MESSAGES = (PLUGINS / "MESSAGES.md").read_text()
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title, end="## ", page=GUIDE):
    """The text under a heading."""
    return page.partition(f"\n{title}\n")[2].partition(f"\n{end}")[0]


def signatures():
    """The signature of each hook as its author wrote it, without self."""
    tree = ast.parse(inspect.getsource(HookSpecs)).body[0]
    for hook in tree.body:
        if isinstance(hook, ast.FunctionDef):
            hook.args.args = hook.args.args[1:]
            yield hook.name, f"{hook.name}({ast.unparse(hook.args)}) -> {ast.unparse(hook.returns)}"


SIGNATURES = dict(signatures())
EXAMPLE = BLOCKS.findall(section("## A complete backbone"))
HEAD = BLOCKS.findall(section("## A complete head"))
STRATEGY = BLOCKS.findall(section("## A complete strategy"))
TESTS = BLOCKS.findall(section("## Test it"))
RENAMED = 'replace(head("characters"), aliases=("letters",))'
FROM_CATALOG = section("## From the catalog", page=MESSAGES)
FOR_USERS = BLOCKS.findall(section("## Messages your users meet", page=MESSAGES))


def test_every_hook_has_its_section_with_its_signature():
    assert re.findall(r"^### `(.*)`$", section("## Hooks"), re.MULTILINE) == list(SIGNATURES.values())


def test_no_other_heading_names_a_hook():
    headings = re.findall(r"^#+ .*taskgraft_.*$", GUIDE, re.MULTILINE)
    assert headings == [f"### `{signature}`" for signature in SIGNATURES.values()]


@pytest.mark.parametrize("hook", SPEC_TYPES)
def test_the_section_of_a_hook_explains_each_field_of_its_spec(hook):
    text = section(f"### `{SIGNATURES[hook]}`", "##")
    own = {field.name for field in dataclasses.fields(SPEC_TYPES[hook])} - {
        field.name for field in dataclasses.fields(Spec)
    }
    assert set(re.findall(r"^\* `(\w+)`:", text, re.MULTILINE)) == own


def test_the_fields_of_every_spec_are_explained():
    assert re.findall(r"^\* `(\w+)`", section("## Specs"), re.MULTILINE) == [
        field.name for field in dataclasses.fields(Spec)
    ]


def test_the_guide_states_the_contract_of_today():
    assert set(re.findall(r'^TASKGRAFT_CONTRACT = "(.*)"$', GUIDE, re.MULTILINE)) == {CONTRACT_VERSION}


def write_modules(garden, blocks):
    """Write each block that begins with the path of a module."""
    for _, code in blocks:
        if path := re.match(r"# (\w+(?:/\w+)*)\.py\n", code):
            garden.write(path[1].replace("/", "."), code)


@pytest.fixture
def complete_plugin(tmp_path):
    """The complete plugin of the guide, installed beside everything else."""
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        write_modules(garden, EXAMPLE + TESTS)
        project = tomllib.loads(next(code for language, code in EXAMPLE if language == "toml"))["project"]
        lines = "\n".join(f"{name} = {module}" for name, module in project["entry-points"]["taskgraft"].items())
        garden.plant(None, distribution=project["name"], version=project["version"], entry_points=lines)
        yield garden


def test_the_complete_plugin_loads_and_the_lines_that_use_it_run(complete_plugin):
    spec, source = catalog().find(BackboneSpec, parse_name("letters:64"))
    assert (spec.name, str(source)) == ("letters", "acme-letters 1.0")
    uses = [code for language, code in EXAMPLE if language == "python" and not code.startswith("# ")]
    assert len(uses) == 1
    exec(uses[0], {})


@pytest.mark.slow
def test_every_strategy_is_tried_over_the_complete_plugin(complete_plugin, capsys):
    ((_, code),) = BLOCKS.findall(section("### Every strategy over your backbone", "## "))
    exec(code, {"__name__": "guide"})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["letters"]
    assert "probe-then-tune  kept" in shown


def test_the_complete_plugin_describes_what_it_builds(complete_plugin):
    spec, _ = catalog().find(BackboneSpec, parse_name("letters"))
    config = spec.config(feature_size=3, seed=1)
    backbone = spec.build(config)
    assert backbone.description == spec.describe(config)
    prepared = backbone.processor.prepare({"text": ["abba", "1", None]})
    assert prepared.invalid == {1: "the text has no letter", 2: "the text has no letter"}
    assert backbone(prepared.batch, backbone.description.features[0].layout).value.shape == (3, 3)


@pytest.mark.slow
def test_the_complete_plugin_keeps_the_laws(complete_plugin):
    assert passed(complete_plugin.folder, "test_letters.py")


def passed(folder, file):
    """Run a test file of a plugin, and say whether all passed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests" / file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))},
    )
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout
    return done.returncode == 0


def test_the_complete_backbone_caches_what_its_first_part_computes(complete_plugin):
    model = tg.compose("letters:8", "classification", "partial:1")
    rows = {"text": ["abc", "xyz", "aab", "zzy"], "label": ["a", "z", "a", "z"]}
    report = model.fit(rows, target="label", training={"epochs": 2}, quiet=True)
    assert [stage.stored_at for stage in report.stages] == [1]


@pytest.mark.parametrize(("blocks", "module"), [(HEAD, "acme_robust"), (STRATEGY, "acme_steps")])
def test_the_complete_head_and_strategy_keep_the_laws(tmp_path, blocks, module):
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        write_modules(garden, blocks)
        garden.plant(None, distribution="acme-more", version="1.0", entry_points=f"more = {module}")
        done = typed("doctor", "acme-more")
    assert done.out.splitlines()[-1].endswith(" 0 broken, 0 not tried."), done.out


def test_the_complete_head_and_strategy_train_over_the_complete_backbone(complete_plugin):
    write_modules(complete_plugin, HEAD + STRATEGY)
    for name in ("acme_robust", "acme_steps"):
        complete_plugin.plant(None, distribution=name.replace("_", "-"), version="1.0", entry_points=f"one = {name}")
    catalog.cache_clear()
    model = tg.compose("letters:8", "robust", "steps:2")
    rows = {"text": ["abc", "xyz", "aab", "zzy"], "price": [1.0, 5.0, 2.0, 1e6]}
    model.fit(rows, target="price", training={"epochs": 1}, quiet=True)
    assert len(model.predict(["abc"], quiet=True)) == 1


def test_the_guide_has_at_most_6300_words():
    assert len(GUIDE.split()) <= 6_300


@pytest.fixture
def costs(tmp_path):
    """The metric and the baseline of the guide, installed beside everything else."""
    blocks = [code for language, code in BLOCKS.findall(section("## Hooks")) if language == "python"]
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        garden.plant("".join(code for code in blocks if code.startswith("# acme_costs.py")), module="acme_costs")
        garden.write("tests.test_costs", next(code for code in blocks if code.startswith("# tests/test_costs.py")))
        yield garden


def test_the_metric_and_the_baseline_of_the_guide_evaluate_a_model(costs):
    backbone = Table(TableConfig(columns=("amount",), means=(0.0,), scales=(1.0,)))
    model = tg.compose(backbone, Compared(ClassificationConfig()), "linear-probe")
    model.fit({"amount": [1, 2, 3, 100], "kind": ["a", "a", "a", "b"]}, inputs="amount", target="kind", quiet=True)
    assert model.fitted.baselines["dearest"].label == "b"
    found = model.evaluate({"amount": [4, 6], "kind": ["a", "b"]}, metrics=["lost-amount"], quiet=True)
    assert found.baselines == {"dearest": {"lost_amount": 2.0}}


@pytest.mark.slow
def test_the_metric_and_the_baseline_of_the_guide_keep_the_laws(costs):
    assert passed(costs.folder, "test_costs.py")


class Compared(Classification):
    """A classification head that is compared with the dearest label."""

    @property
    def description(self):
        return dataclasses.replace(super().description, baselines=("dearest",))


def test_the_processor_of_the_guide_masks_elements_and_keeps_the_laws():
    (_, code), *_ = BLOCKS.findall(section("### Elements that can be masked", "## "))
    made = {}
    exec(code, made)

    class Beads(Words):
        description = property(lambda self: dataclasses.replace(super().description, inputs=(InputField("beads"),)))
        processor = property(lambda self: made["BeadsProcessor"]())

        def embedded(self, batch):
            return super().embedded(Batch({"words": batch["beads"]}, {"words": (ELEMENT_AXIS,)}, batch.lengths))

    rows = {"beads": ["rgb", "gg", "rrbg", "bgr", "bb", "g"]}
    for check in (kit.check_rows_are_preprocessed_independently, kit.check_invalid_rows_are_reported):
        check(Beads().eval(), rows)
    kit.check_element_values_match_the_schema(Beads().eval(), rows)
    kit.check_masking_changes_only_masked_elements(Beads().eval(), rows)
    kit.check_masked_values_do_not_leak(Beads().eval(), rows)
    model = tg.compose(Beads(), "masked-elements", "full")
    model.fit(rows, quiet=True)
    assert {bead for row in model.predict(rows, quiet=True) for bead in row} <= {"red", "green", "blue"}


def test_the_callback_of_the_guide_resumes_to_the_same_bits_and_changes_the_weights(complete_plugin):
    (_, code) = next(block for block in BLOCKS.findall(section("### Callbacks", "## ")))
    made = {"__name__": "guide"}
    exec(code, made)
    rows = {"text": ["abc", "xyz", "aab", "zzy"], "label": ["a", "z", "a", "z"]}
    found = []
    for callbacks in ([], [made["Lookahead"]]):
        model = tg.compose("letters:8", "classification", "full")
        model.fit(rows, target="label", training={"epochs": 5, "batch_size": 2}, callbacks=callbacks, quiet=True)
        found.append(model.predict_proba(["abc"], quiet=True))
    assert found[0] != found[1]

    class Planned(Strategy):
        def plan(self, backbone, head):
            (stage,) = Full(FullConfig()).plan(backbone, head)
            return (dataclasses.replace(stage, epochs=4, callbacks=(made["Lookahead"],)),)

    words = SampleBackbone(), Classification(ClassificationConfig()), SAMPLE_INPUTS, {"label": SAMPLE_LABELS}
    kit.check_callbacks_resume_exactly(Planned(), *words)


@pytest.mark.parametrize("catcher", Catcher)
def test_the_messages_of_the_guide_are_those_that_planted_mistakes_cause(catcher):
    assert f"```text\n{guide_text(catcher)}\n```\n" in MESSAGES


def test_the_guide_links_to_the_messages():
    assert "(MESSAGES.md)" in GUIDE


@pytest.mark.parametrize("code", [OPENING, HEALTHY.replace("yield", "return [] and")])
def test_the_message_about_a_module_without_specs_is_that_of_the_guide(garden, code):
    garden.plant(code)
    (failure,) = load_catalog().failures
    assert f"\n{failure}\n" in FROM_CATALOG


@pytest.mark.parametrize("entry_point", re.findall(r"`(main = .*?)`", FROM_CATALOG.replace("\n", " ")))
def test_the_messages_about_entry_points_are_those_of_the_guide(garden, entry_point):
    garden.plant(OPENING, entry_points=entry_point)
    (failure,) = load_catalog().failures
    assert f"\n{failure}\n" in FROM_CATALOG


def test_no_message_of_the_catalog_is_missing_from_the_guide():
    tree = ast.parse(Path(inspect.getfile(PluginLoader)).read_text())
    refusals = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_InvalidPlugin"
    ]
    assert len(refusals) >= 10
    for refusal in refusals:
        pieces = [
            node.value for node in ast.walk(refusal) if isinstance(node, ast.Constant) and len(str(node.value)) > 3
        ]
        missing = [piece for piece in pieces if isinstance(piece, str) and piece not in FROM_CATALOG]
        assert missing == [], f"write about {ast.unparse(refusal)}"


def test_the_messages_for_users_are_those_of_the_guide(garden, monkeypatch):
    letters = OPENING + '@hookimpl\ndef taskgraft_heads():\n    yield head("letters")\n'
    garden.plant(letters)
    garden.plant("import bakery_core", distribution="bakery", version="2.0", module="bakery_plugin")
    garden.plant("", distribution="zoo", module="zoo_plugin")
    monkeypatch.setenv(BLOCK_VARIABLE, "zoo")
    with pytest.raises(UnknownComponent) as unknown:
        load_catalog().find(HeadSpec, parse_name("leters"))
    garden.write("bakery_plugin", letters)
    with pytest.raises(AmbiguousComponent) as two:
        load_catalog().find(HeadSpec, parse_name("letters"))
    monkeypatch.setenv(BLOCK_VARIABLE, "zoo, bakery")
    garden.before().plant(None, entry_points="again = acme_plugin\nmain = acme_plugin")
    with pytest.raises(AmbiguousComponent) as twice:
        load_catalog().find(HeadSpec, parse_name("letters"))
    messages = [text for _, text in FOR_USERS]
    assert messages[:2] == [f"{unknown.value}\n", f"{two.value}\n{twice.value}\n"]


def test_the_messages_about_former_names_are_those_of_the_guide(garden):
    garden.plant("from dataclasses import replace\n" + HEALTHY.replace('head("healthy")', RENAMED))
    with pytest.warns(RenamedComponentWarning) as warned:
        load_catalog().find(HeadSpec, parse_name("letters"))
    garden.plant(HEALTHY.replace("healthy", "letters"), distribution="bakery", version="2.0", module="bakery_plugin")
    with pytest.raises(AmbiguousComponent) as two:
        load_catalog().find(HeadSpec, parse_name("letters"))
    messages = [text for _, text in FOR_USERS]
    assert messages[2:] == [f"{warned[0].message}\n{two.value}\n"]


def test_what_was_renamed_as_the_guide_says_is_found_by_both_names_and_written_by_the_new_one(garden):
    (_, code), (_, message) = BLOCKS.findall(section("### Names that stay"))
    garden.plant(code)
    known = load_catalog()
    with pytest.warns(RenamedComponentWarning) as warned:
        old = resolve(known, HeadSpec, {"name": "letters", "width": 3})
    assert f"{warned[0].message}\n" == message
    assert old == resolve(known, HeadSpec, {"name": "letter-shares", "feature_size": 3})
    assert old.to_ref().model_dump() == {
        "name": "acme/letter-shares",
        "object": None,
        "settings": {"feature_size": 3, "smoothed": False},
        "base": None,
    }
