import json

from commands import typed
from planting import HEALTHY, OPENING

BROKEN = "import acme_core_that_is_missing\n"


def test_everything_installed_is_listed_with_where_it_comes_from(garden):
    garden.plant(HEALTHY, distribution="acme-heads", version="2.5")
    lines = typed("list").out.splitlines()
    assert lines[0].split() == ["axis", "name", "summary", "from"]
    assert any(line.split() == ["heads", "healthy", "a", "planted", "head", "acme-heads", "2.5"] for line in lines)
    strategies = [line.split()[1] for line in lines if line.startswith("strategies")]
    assert strategies == sorted(strategies)
    assert {"full", "linear-probe", "partial", "stages"} <= set(strategies)
    assert {line.split()[0] for line in lines[2:]} >= {"heads", "strategies", "readers", "metrics"}


def test_one_axis_is_listed_in_the_plural_or_the_singular(garden):
    assert {line.split()[0] for line in typed("list", "heads").out.splitlines()[2:]} == {"heads"}
    assert typed("list", "head").out == typed("list", "heads").out
    assert typed("list", "strategy").out == typed("list", "strategies").out


def test_an_axis_of_which_nothing_is_installed_says_so(garden):
    assert typed("list", "backbones").out == "No backbones are installed.\n"
    assert typed("list", "backbones", "--json").out == "[]\n"


def test_an_unknown_axis_names_the_nearest(garden):
    done = typed("list", "strategys")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "Error: There is no axis 'strategys'. Did you mean 'strategy'? "
        "Axes: backbones, heads, strategies, readers, splits, metrics, baselines, optimizers, schedules.\n"
    )


def test_json_holds_the_same(garden):
    garden.plant(HEALTHY)
    found = json.loads(typed("list", "heads", "--json").out)
    assert {
        "axis": "head",
        "name": "healthy",
        "summary": "a planted head",
        "distribution": "acme",
        "version": "1.0",
    } in found


def test_square_brackets_in_a_summary_are_no_markup(garden):
    garden.plant(HEALTHY.replace("a planted head", "reads [bold]cells[/bold]"))
    assert "reads [bold]cells[/bold]" in typed("list").out


def test_plugins_that_did_not_load_are_named_beside_the_list(garden):
    garden.plant(BROKEN, distribution="broken", module="broken_plugin")
    done = typed("list", "strategies")
    assert done.code == 0
    assert done.err == "1 plugin did not load: broken 1.0. See taskgraft doctor.\n"
    garden.plant(f"{OPENING}raise SystemExit(3)", distribution="quitter", module="quitter_plugin")
    from taskgraft.discovery.catalog import catalog

    catalog.cache_clear()
    assert typed("list", "--json").err == ""
    assert typed("list").err == "2 plugins did not load: broken 1.0; quitter 1.0. See taskgraft doctor.\n"
