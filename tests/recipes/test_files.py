import json

import pytest
from small_tasks import sentences, trained, words

from taskgraft.contract.config import ConfigError
from taskgraft.recipes.files import InvalidRecipe, read_recipe

TOML = """
backbone = "hf-text:some/checkpoint"
head = "classification"
strategy = {name = "partial", learn = 2}

[data]
train = "train.csv"
target = "label"

[training]
epochs = 5
"""

YAML = """
backbone: hf-text:some/checkpoint
head: classification
strategy:
  name: partial
  learn: 2
data:
  train: train.csv
  target: label
training:
  epochs: 5
"""

JSON = """{
"backbone": "hf-text:some/checkpoint",
"head": "classification",
"strategy": {"name": "partial", "learn": 2},
"data": {"train": "train.csv", "target": "label"},
"training": {"epochs": 5}
}"""

START = 'backbone = "hf-text:x"\nhead = "classification"\n'


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the working directory, and give its name."""
    monkeypatch.chdir(tmp_path)

    def write(content, name="recipe.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    return write


def error_text(kind, path, *overrides):
    with pytest.raises(kind) as caught:
        read_recipe(path, overrides)
    return str(caught.value)


# --- formats


def test_toml_yaml_and_json_give_the_same_recipe(write):
    files = [write(TOML), write(YAML, "recipe.yaml"), write(YAML, "recipe.yml"), write(JSON, "recipe.json")]
    recipes = [read_recipe(file) for file in files]
    assert recipes[0].strategy.settings == {"learn": 2}
    assert recipes[0].data.target == ("label",)
    assert all(recipe == recipes[0] for recipe in recipes)


def test_a_byte_order_mark_is_ignored(write):
    assert read_recipe(write(b"\xef\xbb\xbf" + TOML.encode())).training.epochs == 5


def test_a_number_with_an_exponent_is_a_number_in_yaml(write):
    recipe = read_recipe(write(YAML.replace("  learn: 2", "  learn: 2\n  learning_rate: 1e-4"), "recipe.yaml"))
    assert recipe.strategy.settings["learning_rate"] == 1e-4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.toml", "a = 1\nhead = = 2", "r.toml, line 2, column 8: invalid value."),
        ("r.toml", "head = [", "r.toml, line 1: invalid value at the end of the file."),
        ("r.toml", b"a = 1\n\xff", "r.toml, line 2: the file is not UTF-8 (byte 0xff)."),
        ("r.json", '{"a": 1,\n "b": }', "r.json, line 2, column 7: expecting value."),
        ("r.json", '{"a": "\x01"}', "r.json, line 1, column 8: invalid control character."),
        ("r.json", '{"a": 1, "a": 2}', "r.json: the key 'a' is used twice in one object."),
        ("r.json", '{"a": NaN}', "r.json: NaN is not a JSON value."),
        ("r.json", "[1]", "r.json: the file is a list; keys are needed: backbone, head, strategy, data, training."),
        ("r.json", "[" * 100_000, "r.json: it is nested deeper than 100 levels."),
        (
            "r.yaml",
            "a: [b\nc: d",
            "r.yaml, line 2, column 2: while parsing a flow sequence, expected ',' or ']', but got ':'.",
        ),
        ("r.yaml", "a: 1\nb: 2\na: 3", "r.yaml, line 3, column 1: the key 'a' is used twice in one mapping."),
        ("r.yaml", "a: {b: 1, b: 2}", "r.yaml, line 1, column 11: the key 'b' is used twice in one mapping."),
        ("r.yaml", "a: no", 'r.yaml, line 1, column 4: YAML reads no as false; write false, or "no".'),
        ("r.yaml", "a: 007", 'r.yaml, line 1, column 4: YAML reads 007 as the number 7; write 7, or "007".'),
        ("r.yaml", "a: 1:30", 'r.yaml, line 1, column 4: YAML reads 1:30 as the number 90; write 90, or "1:30".'),
        ("r.yaml", "a: 2024-01-31", 'r.yaml, line 1, column 4: YAML reads 2024-01-31 as a date; write "2024-01-31".'),
        (
            "r.yaml",
            "a: 1\n---\nb: 2",
            "r.yaml, line 2, column 1: expected a single document in the stream, but found another document.",
        ),
        ("r.yaml", "", "r.yaml: the file is empty; keys are needed: backbone, head, strategy, data, training."),
        ("r.ini", "", "r.ini: a recipe is a file that ends in .toml or .json or .yaml or .yml, or an artifact."),
    ],
)
def test_an_invalid_file_is_rejected_with_line_and_column(write, name, content, message):
    assert error_text(InvalidRecipe, write(content, name)) == message


def test_yaml_makes_no_objects_of_python(write):
    message = error_text(InvalidRecipe, write("a: !!python/object/apply:os.getcwd []", "r.yaml"))
    assert "could not determine a constructor for the tag" in message


@pytest.mark.parametrize(
    "content", ['a: "no"', "a: 'no'", 'a: "007"', "a: true", "a: False", "a: 12", "a: -3", "a: 0.5"]
)
def test_unambiguous_yaml_is_read(write, content):
    assert "there is no setting 'a'" in error_text(ConfigError, write(content, "r.yaml"))


def test_a_missing_file_suggests_a_similar_one(write):
    write(TOML, "intents.toml")
    assert (
        error_text(InvalidRecipe, "intent.toml") == "intent.toml: there is no such file. Did you mean 'intents.toml'?"
    )
    assert error_text(InvalidRecipe, "quite-another.toml") == "quite-another.toml: there is no such file."


def test_a_folder_without_artifact_is_not_a_recipe(write):
    write(TOML, "folder/recipe.toml")
    assert error_text(InvalidRecipe, "folder") == "folder: this is a folder, but not an artifact."


def test_every_unknown_key_and_invalid_value_is_named(write):
    text = START + 'stratgy = "full"\n[training]\nepoch = 3\nwarmup = 2\n'
    assert error_text(ConfigError, write(text)) == (
        "recipe.toml: the setting 'strategy' has no default, so set it. "
        "the setting 'training.warmup' is 2: input should be less than 1. "
        "there is no setting 'training.epoch'. Did you mean 'training.epochs'? Settings: epochs, steps, batch_size, "
        "batch_elements, micro_batch, seed, optimizer, schedule, warmup, weight_decay, clip, patience and 5 more. "
        "there is no setting 'stratgy'. Did you mean 'strategy'? Settings: backbone, head, strategy, data, training."
    )


# --- paths


def test_paths_are_relative_to_the_folder_of_the_recipe(write):
    text = """
    backbone = "hf-text:./encoder"
    head = {name = "classification", table = "../weights.csv"}
    strategy = "full"
    data = {train = "data/train.csv", validation = "../valid.csv", reader = {name = "csv", schema = "./s.json"}}
    """
    recipe = read_recipe(write(text, "deep/recipes/one.toml"))
    assert recipe.backbone.name == "hf-text:deep/recipes/encoder"
    assert recipe.head.settings == {"table": "deep/weights.csv"}
    assert recipe.data.train == "deep/recipes/data/train.csv"
    assert recipe.data.validation == "deep/valid.csv"
    assert recipe.data.reader.settings == {"schema": "deep/recipes/s.json"}


def test_paths_in_lists_are_relative_to_the_folder_of_the_recipe_too(write):
    strategies = '["acme:./one", {name = "acme", place = "../two"}, "full", "../three"]'
    text = f'{START}strategy = {{name = "stages", strategies = {strategies}}}\n'
    settings = read_recipe(write(text, "deep/one.toml")).strategy.settings
    assert settings["strategies"] == ["acme:deep/one", {"name": "acme", "place": "two"}, "full", "three"]


@pytest.mark.parametrize(
    ("strategy", "found"),
    [
        ('"average:distill:./one"', ("average:distill:deep/one", {})),
        ('{name = "average", strategy = "distill:../one"}', ("average", {"strategy": "distill:one"})),
        (
            '{name = "average", strategy = {name = "distill:./one"}}',
            ("average", {"strategy": {"name": "distill:deep/one"}}),
        ),
    ],
)
def test_paths_of_a_strategy_within_another_are_relative_to_the_folder_of_the_recipe_too(write, strategy, found):
    read = read_recipe(write(f"{START}strategy = {strategy}\n", "deep/one.toml")).strategy
    assert (read.name, read.settings) == found


def test_names_on_the_hub_and_absolute_paths_stay(write):
    text = (
        START.replace(":x", ":org/checkpoint")
        + 'strategy = "full"\ndata = {train = "hub:org/set", validation = "/v.csv"}'
    )
    recipe = read_recipe(write(text, "deep/one.toml"))
    assert recipe.backbone.name == "hf-text:org/checkpoint"
    assert (recipe.data.train, recipe.data.validation) == ("hub:org/set", "/v.csv")


def test_paths_of_overrides_are_relative_to_the_working_directory(write):
    recipe = read_recipe(write(TOML, "deep/one.toml"), ["data.train=other.csv", "backbone=hf-text:./encoder"])
    assert recipe.data.train == "other.csv"
    assert recipe.backbone.name == "hf-text:./encoder"


# --- overrides


def test_values_are_read_as_json_or_toml_and_else_as_text(write):
    path = write(TOML)
    for text, value in [
        ("5", 5),
        ("1e-4", 1e-4),
        ("1_000", 1000),
        ("true", True),
        ("null", None),
        ('["a", "b"]', ["a", "b"]),
        ("['a']", ["a"]),
        ("{a = 2.0}", {"a": 2.0}),
        ('"5"', "5"),
        ("007", "007"),
        ("2024-01-31", "2024-01-31"),
        ("nan", "nan"),
        ("NaN", "NaN"),
        ("no", "no"),
        ("a=b", "a=b"),
        ("", ""),
    ]:
        assert read_recipe(path, [f"head.some={text}"]).head.settings == {"some": value}


@pytest.mark.parametrize("name", ["r.toml", "r.json", "r.yaml"])
def test_a_number_with_too_many_digits_is_rejected(write, name):
    digits = "1" * 5_000
    content = {"r.toml": f"a = {digits}", "r.json": f'{{"a": {digits}}}', "r.yaml": f"a: {digits}"}[name]
    assert error_text(InvalidRecipe, write(content, name)) == {
        "r.toml": "r.toml: it has a whole number of more than 4,300 digits.",
        "r.json": "r.json: it has a whole number of more than 4,300 digits.",
        "r.yaml": "r.yaml, line 1, column 4: a number has more than 4,300 digits.",
    }.get(name)


def test_a_setting_can_be_changed_where_the_recipe_wrote_a_name(write, garden):
    path = write(START + 'strategy = "partial:2"')
    recipe = read_recipe(path, ["strategy.learn=3"])
    assert (recipe.strategy.name, recipe.strategy.settings) == ("partial", {"learn": 3})
    recipe = read_recipe(path, ["strategy.learning_rate=0.1"])
    assert (recipe.strategy.name, recipe.strategy.settings) == ("partial:2", {"learning_rate": 0.1})


def test_a_setting_can_be_changed_where_the_recipe_wrote_a_table(write):
    path = write(START + 'strategy = {name = "partial", learn = 2, learning_rate = 0.1}')
    assert read_recipe(path, ["strategy.learn=3"]).strategy.settings == {"learn": 3, "learning_rate": 0.1}
    assert read_recipe(path, ["strategy=full"]).strategy.settings == {}


def test_keys_that_the_recipe_does_not_have_yet_can_be_set(write):
    path = write(START + 'strategy = "full"')
    recipe = read_recipe(
        path, ["training.epochs=7", "data.target=label", "data.inputs.text=body", "data.split=fraction:0.1"]
    )
    assert recipe.training.epochs == 7
    assert recipe.data.target == ("label",)
    assert recipe.data.inputs == {"text": "body"}
    assert recipe.data.split.name == "fraction:0.1"


def test_a_later_override_wins(write):
    assert read_recipe(write(TOML), ["training.epochs=7", "training.epochs=8"]).training.epochs == 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "'training.epochs' cannot be set: it is not written KEY=VALUE."),
        ("=5", "'=5' cannot be set: it is not written KEY=VALUE."),
        ("training..epochs=5", "'training..epochs=5' cannot be set: it is not written KEY=VALUE."),
        (
            "epochs=5",
            "'epochs=5' cannot be set: a recipe has no 'epochs'. Did you mean 'training.epochs'? "
            "Keys: backbone, head, strategy, data, training.",
        ),
        (
            "data.traim=5",
            "'data.traim=5' cannot be set: a recipe has no 'data.traim'. Did you mean 'data.train'? Keys: data.train, "
            "data.validation, data.split, data.reader, data.inputs, data.target, data.on_bad_row, "
            "data.exclude, data.labels, data.missing, data.decimal, data.thousands, data.units, data.dates.",
        ),
        (
            "zzz=5",
            "'zzz=5' cannot be set: a recipe has no 'zzz'. Keys: backbone, head, strategy, data, training.",
        ),
        ("training.epochs.x=5", "'training.epochs.x=5' cannot be set: 'training.epochs' has no settings below it."),
    ],
)
def test_a_key_that_no_recipe_has_is_rejected_with_the_nearest(write, override, message):
    assert error_text(ConfigError, write(TOML), override) == message


def test_an_invalid_value_names_the_override(write):
    assert error_text(ConfigError, write(TOML), "training.epochs=many") == (
        "recipe.toml (with training.epochs=many): the setting 'training.epochs' is 'many': "
        "input should be a valid integer, unable to parse string as an integer."
    )


# --- recipes of artifacts


def test_an_artifact_is_a_recipe_too(tmp_path, small_plugin_installed):
    import taskgraft as tg

    model = tg.compose("small-words", "classification", {"name": "linear-probe", "penalty": 1e-3})
    model.fit(sentences(), target="label", training={"seed": 4}, quiet=True)
    recipe = read_recipe(model.save(tmp_path / "artifact"), ["training.epochs=9"])
    assert recipe.backbone == model.recipe.backbone
    assert recipe.data == model.recipe.data
    assert (recipe.training.seed, recipe.training.epochs) == (4, 9)


def test_the_recipe_of_an_artifact_with_objects_needs_names_for_them(tmp_path):
    model = trained(words())
    path = model.save(tmp_path / "artifact")
    assert error_text(InvalidRecipe, path) == (
        f"{path}: the backbone was an object of the class backbones.Words. Name one that is installed."
    )


def test_the_schema_knows_every_key(write):
    from taskgraft.recipe import Recipe

    schema = Recipe.model_json_schema()
    assert set(schema["properties"]) == {"backbone", "head", "strategy", "data", "training"}
    assert json.loads(json.dumps(schema)) == schema
