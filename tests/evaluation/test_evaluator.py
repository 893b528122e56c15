import dataclasses

import pytest
from small_tasks import sentences, words

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.composition.resolve import CompositionError
from taskgraft.contract.config import ConfigError
from taskgraft.evaluation.errors import EvaluationError
from taskgraft.storage.atomic_write import OutputError

PLUGIN = """
from taskgraft.plugin import Config, MetricSpec, TargetKind, hookimpl

TASKGRAFT_CONTRACT = "1.0"


class PriceConfig(Config):
    price: float = 1.0
    file: str = "errors.txt"


@hookimpl
def taskgraft_metrics():
    yield MetricSpec(
        name="price",
        summary="what wrong labels cost",
        config=PriceConfig,
        targets=frozenset({TargetKind.CATEGORY}),
        build=build,
        plot=draw,
    )


def wrong(predictions, truth):
    return [label != goal for label, goal in zip(predictions.values, truth, strict=True)]


def build(predictions, truth, columns, settings):
    costs = [settings.price * error for error in wrong(predictions, truth)]
    return lambda rows: {"price": sum(costs[row] for row in rows.tolist())}


def draw(predictions, truth, columns, settings, folder):
    assert list(folder.iterdir()) == []
    (folder / settings.file).write_text(f"{sum(wrong(predictions, truth))} of {len(columns['text'])}")
    if settings.file == "broken.txt":
        raise OSError(28, "No space left on device")
    return [folder / settings.file]
"""


class Priced(Classification):
    """A classification head with a price metric, and intervals by writer."""

    def __init__(self):
        super().__init__(ClassificationConfig())

    @property
    def description(self):
        metrics = ("classification", {"name": "price", "price": 10.0})
        return dataclasses.replace(super().description, metrics=metrics, group_column="writer")


@pytest.fixture(autouse=True)
def plugin(beside_others):
    beside_others.plant(PLUGIN)


ROWS = sentences(12, seed=1) | {"writer": ["one", "two", "three"] * 4}


def fitted(head="classification"):
    model = tg.compose(words(), head, "linear-probe")
    run = model.fit(sentences(), validation=ROWS, inputs="text", target="label", quiet=True)
    return model, run


def errors(found) -> int:
    return round((1 - found["accuracy"]) * found.rows)


# --- metrics with settings


def test_a_metric_takes_settings():
    model, _ = fitted()
    wrong = errors(model.evaluate(ROWS, quiet=True))
    assert wrong > 0
    assert model.evaluate(ROWS, metrics="price", quiet=True) == {"price": wrong}
    for metrics in ({"name": "price", "price": 2.5}, [{"name": "price", "price": 2.5}]):
        assert model.evaluate(ROWS, metrics=metrics, quiet=True) == {"price": 2.5 * wrong}


def test_a_head_names_metrics_with_settings():
    _, run = fitted(Priced())
    assert run.metrics["price"] == 10 * errors(run.metrics)
    assert run.metrics.baselines["majority"].keys() == run.metrics.keys()


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        (
            {"name": "price", "prize": 2},
            ConfigError,
            "metric 'price': there is no setting 'prize'. Did you mean 'price'? Settings: price, file.",
        ),
        ({"price": 2}, ConfigError, "metric: the setting 'name' is missing."),
        (
            "classification:3",
            ConfigError,
            "metric 'classification': it takes no argument after the colon, but was given '3'.",
        ),
        (3, CompositionError, "The metric is 3, of the type int. Give a name, or a dict with 'name' and settings."),
    ],
    ids=["setting", "no-name", "argument", "number"],
)
def test_invalid_settings_of_a_metric_are_reported(metric, error, message):
    with pytest.raises(error) as caught:
        fitted()[0].evaluate(ROWS, metrics=[metric])
    assert str(caught.value) == message


# --- groups of a head


def test_intervals_come_from_the_groups_that_a_head_names():
    model, run = fitted(Priced())
    assert run.metrics.groups == "writer"
    assert model.evaluate(ROWS, groups="label", quiet=True).groups == "label"


def test_rows_without_the_column_of_the_groups_are_drawn_one_by_one():
    assert fitted(Priced())[0].evaluate(sentences(), quiet=True).groups is None


# --- figures


@pytest.mark.slow
def test_figures_are_drawn_on_request_into_a_folder_that_is_made(tmp_path):
    model, _ = fitted()
    folder = tmp_path / "new" / "figures"
    found = model.evaluate(ROWS, metrics=["classification", "price"], figures=folder, quiet=True)
    assert found.figures == (folder / "errors.txt",)
    assert found.to_json()["figures"] == [str(folder / "errors.txt")]
    assert [path.name for path in folder.iterdir()] == ["errors.txt"]
    assert (folder / "errors.txt").read_text() == f"{errors(found)} of 12"
    assert model.evaluate(ROWS, metrics="price", quiet=True).figures == ()


def test_a_figure_replaces_an_older_one(tmp_path):
    (tmp_path / "errors.txt").write_text("old")
    fitted()[0].evaluate(ROWS, metrics="price", figures=str(tmp_path), quiet=True)
    assert (tmp_path / "errors.txt").read_text() != "old"


def test_figures_that_cannot_be_written_leave_nothing_behind(tmp_path):
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "broken.txt").write_text("old")
    with pytest.raises(OutputError) as caught:
        fitted()[0].evaluate(ROWS, metrics={"name": "price", "file": "broken.txt"}, figures=folder, quiet=True)
    assert str(caught.value) == f"The figures cannot be written to {folder}: No space left on device."
    assert [path.name for path in folder.iterdir()] == ["broken.txt"]
    assert (folder / "broken.txt").read_text() == "old"


def test_figures_of_metrics_that_draw_none_are_an_error_before_predicting(tmp_path):
    with pytest.raises(EvaluationError) as caught:
        fitted()[0].evaluate(ROWS, figures=tmp_path / "figures")
    start, _, names = str(caught.value).partition(": ")
    assert start == "Figures were requested, but no figure is drawn by 'classification'. Choose a metric that does"
    assert "price" in names.rstrip(".").split(", ")
    assert not (tmp_path / "figures").exists()
