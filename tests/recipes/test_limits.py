"""Recipes and overrides within limits: small files that would take gigabytes or minutes are refused at once."""

import time

import pytest

from taskgraft.cli.options import parse_json_reference, parse_reference
from taskgraft.contract.config import ConfigError
from taskgraft.recipes.files import MAX_BYTES, InvalidRecipe, read_recipe

START = 'backbone = "hf-text:x"\nhead = "classification"\nstrategy = "full"\n'


def laughs(levels, *, text="lol"):
    """A list of nine texts, a list of nine aliases of it, …"""
    lines = [f"a0: &a0 [{', '.join([text] * 9)}]"]
    lines += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 9)}]" for one in range(1, levels)]
    return "\n".join(lines)


def error_text(path, *overrides, kind=InvalidRecipe):
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        read_recipe(path, overrides)
    assert time.monotonic() - start < 3
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "r.yaml",
            laughs(9),
            "r.yaml, line 6, column 5: with its aliases written out it has more than 1,000,000 characters and values.",
        ),
        (
            "r.yaml",
            f"a: &a {'x' * 10_000}\nb: [{', '.join(['*a'] * 101)}]",
            "r.yaml, line 2, column 4: with its aliases written out it has more than 1,000,000 characters and values.",
        ),
        ("r.yaml", "a: &a [1, *a]", "r.yaml, line 1, column 4: an alias leads back to its own anchor."),
        ("r.yaml", "a: &a {<<: *a}", "r.yaml, line 1, column 4: an alias leads back to its own anchor."),
        ("r.yaml", "[" * 100_000, "r.yaml, line 1, column 101: it is nested deeper than 100 levels."),
        ("r.yaml", "- " * 100_000, "r.yaml, line 1, column 201: it is nested deeper than 100 levels."),
        (
            "r.yaml",
            "\n".join(["a0: &a0 [1]"] + [f"a{one}: &a{one} [*a{one - 1}]" for one in range(1, 9_000)]),
            "r.yaml, line 101, column 7: it is nested deeper than 100 levels.",
        ),
        ("r.yaml", "a: 1e999", "r.yaml, line 1, column 4: the number 1e999 is too large."),
        ("r.yaml", "a: " + "1:" * 100_000 + "1", "r.yaml, line 1, column 4: a number has more than 4,300 digits."),
        (
            "r.yaml",
            'a: "\\ud800"',
            "r.yaml, line 1, column 4: the text has a lone surrogate (\\ud800), which is not a character.",
        ),
        ("r.toml", START + "a." * 100_000 + "a = 1", "r.toml, line 4: a key has more than 100 steps."),
        ("r.toml", START + "[" + "a ." * 100_000 + "a]", "r.toml, line 4: a key has more than 100 steps."),
        ("r.toml", START + "'a' . \"b\"." * 60 + "c = 1", "r.toml, line 4: a key has more than 100 steps."),
        ("r.toml", f"a = {'[' * 100_000}", "r.toml: it is nested deeper than 100 levels."),
        ("r.toml", f"a = {'[' * 101}{']' * 101}", "r.toml: it is nested deeper than 100 levels."),
        ("r.toml", f"a = {'{a = ' * 60_000}", "r.toml: it is nested deeper than 100 levels."),
        ("r.toml", "a = 1e999", "r.toml: the number 1e999 is too large."),
        ("r.toml", 'a = "\\ud800"', "r.toml, line 1, column 12: escaped character is not a Unicode scalar value."),
        ("r.json", f'{{"a": {"[" * 100_000}', "r.json: it is nested deeper than 100 levels."),
        ("r.json", f'{{"a": {"[" * 100}{"]" * 100}}}', "r.json: it is nested deeper than 100 levels."),
        ("r.json", '{"a": 1e999}', "r.json: the number 1e999 is too large."),
        ("r.json", '{"\\ud800": 1}', "r.json: it has a lone surrogate (\\ud800), which is not a character."),
        (
            "r.json",
            " " * (MAX_BYTES + 1),
            "r.json: the file cannot be read (it has 500,001 bytes, more than the limit of 500,000).",
        ),
    ],
)
def test_a_recipe_beyond_a_limit_is_refused_at_once(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(content)
    assert error_text(name) == message


def test_aliases_within_the_limit_are_read(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "backbone: &x {name: one, a: &a [1, 2]}\nhead: {name: two, b: *a, c: *a}\nstrategy: {<<: *x, name: three}\n"
    )
    recipe = read_recipe(path)
    assert recipe.head.settings == {"b": [1, 2], "c": [1, 2]}
    assert (recipe.strategy.name, recipe.strategy.settings) == ("three", {"a": [1, 2]})


def test_a_recipe_of_20000_labels_is_read_in_a_second(tmp_path):
    labels = "\n".join(f'"label {number}" = "{number % 7}"' for number in range(20_000))
    (tmp_path / "r.toml").write_text(f"{START}[data.labels]\n{labels}\n")
    start = time.monotonic()
    assert len(read_recipe(tmp_path / "r.toml").data.labels) == 20_000
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[" * 60_000, "it is nested deeper than 100 levels."),
        ("{a=" * 20_000, "it is nested deeper than 100 levels."),
        ("{" + "a." * 60_000 + "a=1}", "a key has more than 100 steps."),
        ("1" * 5_000, "it has a whole number of more than 4,300 digits."),
        ("1e999", "the number 1e999 is too large."),
        ('"\\ud800"', "it has a lone surrogate (\\ud800), which is not a character."),
    ],
)
def test_an_override_beyond_a_limit_is_refused_at_once(tmp_path, value, problem):
    (tmp_path / "r.toml").write_text(START)
    message = error_text(tmp_path / "r.toml", f"head.some={value}", kind=ConfigError)
    assert message.endswith(f"' cannot be set: {problem}")
    assert len(message) < 300


def test_an_argument_of_the_command_line_beyond_a_limit_is_refused_at_once():
    for text, problem in [
        ("{" + "a." * 60_000 + "a=1}", "a key has more than 100 steps."),
        ("{a: " + "[" * 60_000, "it is nested deeper than 100 levels."),
    ]:
        with pytest.raises(ConfigError) as caught:
            parse_reference(text, "strategy")
        assert problem in str(caught.value)
    with pytest.raises(ConfigError, match="is not valid JSON: it is nested deeper than 100 levels"):
        parse_json_reference('{"a": ' + "[" * 60_000, "metric")
