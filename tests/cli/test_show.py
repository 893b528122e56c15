import json
from typing import Annotated, Literal

import pytest
from commands import typed
from planting import HEALTHY, OPENING
from pydantic import Field
from tiny import save

from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.builtin.strategies.fine_tuning import PartialConfig
from taskgraft.cli.config_help import settings_of
from taskgraft.contract.config import Config, EmptyConfig

METRIC = f"""{OPENING}
from taskgraft.plugin import ReaderSpec


@hookimpl
def taskgraft_heads():
    yield head("twofold")


@hookimpl
def taskgraft_readers():
    yield ReaderSpec(name="twofold", summary="a planted reader", config=EmptyConfig, suffixes=(".two",), read=print)
"""


class Inner(Config):
    """Settings inside settings."""

    depth: int = Field(default=2, ge=1, lt=9, description="how deep")


class Every(Config):
    """A setting of every kind."""

    must: str = Field(min_length=1, description="what only you know")
    share: float = Field(default=0.5, gt=0, le=1)
    clip: float | None = Field(default=1.0, gt=0)
    names: tuple[str, ...] = ()
    weights: Literal["none"] | dict[str, Annotated[float, Field(gt=0)]] = "none"
    on: bool = True
    left: str | None = None
    inner: Inner = Inner()


def lines(config):
    return [(one.name, one.type, one.default, one.range, one.description) for one in settings_of(config)]


def test_settings_are_listed_with_type_default_range_and_description():
    assert lines(Every) == [
        ("must", "text", "(required)", "length ≥ 1", "what only you know"),
        ("share", "number", "0.5", "> 0, ≤ 1", ""),
        ("clip", "number or null", "1.0", "> 0", ""),
        ("names", "list of text", "[]", "", ""),
        ("weights", "none or name → number", "none", "> 0", ""),
        ("on", "boolean", "true", "", ""),
        ("left", "text or null", "null", "", ""),
        ("inner.depth", "integer", "2", "≥ 1, < 9", "how deep"),
    ]


def test_no_settings_are_no_lines():
    assert lines(EmptyConfig) == []


def test_a_strategy_is_shown_with_its_settings_and_its_source(garden):
    out = typed("show", "partial").out
    assert out.startswith("strategy partial, from taskgraft ")
    rows = [line.split()[:3] for line in out.splitlines()]
    assert ["setting", "type", "default"] in rows
    assert [row[0] for row in rows if row and row[0] in PartialConfig.model_fields] == list(PartialConfig.model_fields)
    assert "partial:LEARN is short for the setting learn." in out


def test_a_head_is_shown_with_its_layouts_and_metrics(garden):
    out = typed("show", "classification", "--axis", "head").out
    assert "Reads: vector features. Predicts: category.\n" in out
    assert "Metrics: classification" in out


@pytest.mark.filterwarnings("default")
def test_a_former_name_shows_what_has_it_now_with_a_warning(garden):
    garden.plant(HEALTHY.replace("build=print", "build=print, aliases=('hale',)"))
    done = typed("show", "hale")
    assert "head healthy, from acme 1.0" in done.out
    assert "Warning: The head 'hale' is now called 'healthy' (from acme 1.0)." in done.err


def test_a_name_on_several_axes_is_shown_for_each(garden):
    out = typed("show", "classification").out
    assert "head classification, from taskgraft" in out
    assert "metric classification, from taskgraft" in out


def test_the_schema_of_a_name_on_several_axes_asks_which(garden):
    garden.plant(METRIC)
    done = typed("show", "twofold", "--json")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: 'twofold' is a head and a reader. Choose one with --axis head or --axis reader.\n"
    schema = json.loads(typed("show", "twofold", "--json", "--axis", "readers").out)
    assert schema["x-taskgraft"]["axis"] == "reader"


def test_json_is_the_schema_of_the_settings(garden):
    schema = json.loads(typed("show", "classification", "--axis", "head", "--json").out)
    about = schema.pop("x-taskgraft")
    assert schema == ClassificationConfig.model_json_schema()
    assert (about["axis"], about["name"], about["distribution"]) == ("head", "classification", "taskgraft")
    assert about["description"]["reads"] == ["vector"]


def test_a_clash_gives_the_catalogs_own_message(garden):
    garden.plant(HEALTHY, distribution="one", module="one_plugin")
    garden.plant(HEALTHY, distribution="two", module="two_plugin")
    done = typed("show", "healthy")
    assert (done.code, done.err) == (
        2,
        "Error: The head 'healthy' is provided by one 1.0 and by two 1.0. "
        "Choose one with 'one/healthy' or 'two/healthy'.\n",
    )
    assert "head healthy, from two 1.0\n" in typed("show", "two/healthy").out


def test_an_unknown_name_gives_the_catalogs_own_message(garden):
    garden.plant("import acme_core", distribution="broken", module="broken_plugin")
    done = typed("show", "healty", "--axis", "backbone")
    assert (done.code, done.err) == (
        2,
        "Error: No backbone named 'healty'.\nInstalled: nothing. A plugin that did not load may provide it: "
        "broken 1.0 (ModuleNotFoundError: No module named 'acme_core').\n",
    )
    assert typed("show", "partiel").err.startswith("Error: No component named 'partiel'. Did you mean 'partial'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Full", "'Full' is not a name."),
        ("full:3", "strategy 'full': it takes no argument after the colon, but was given '3'."),
        ("partial:none", "strategy 'partial': the setting 'learn' is 'none'"),
        (
            "acme/full",
            "No strategy named 'acme/full'. acme is not installed here: pip install acme. Did you mean 'full'",
        ),
    ],
)
def test_a_name_that_cannot_be_used_says_why(garden, text, message):
    done = typed("show", text)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_a_backbone_says_whether_its_weights_have_a_licence(small_plugin_installed):
    out = typed("show", "small-words").out
    assert "Licence of the weights: depends on the model.\n" in out


def test_a_checkpoint_is_described(tmp_path, capfd):
    save("bert", tmp_path)
    out = typed("show", f"hf-text:{tmp_path}").out
    about = json.loads(typed("show", f"hf-text:{tmp_path}", "--json").out)["x-taskgraft"]
    assert "Inputs: text, text_pair (optional).\n" in out
    assert "Emits: vector (batch, feature)" in out
    assert "feature size 16.\n" in out
    assert "Parts, from input to output: block.0, block.1, block.2.\n" in out
    assert "Cuts, where frozen computation can be cached: 0, 1, 2.\n" in out
    assert about["description"]["features"][0] == {"layout": "vector", "feature_sizes": [16]}
    assert about["description"]["parts"] == ["block.0", "block.1", "block.2"]


def test_an_invalid_checkpoint_gives_one_sentence(tmp_path):
    done = typed("show", f"hf-text:{tmp_path}")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert "Traceback" not in done.err
