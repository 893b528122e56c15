"""Each check of the conformance kit for metrics and baselines catches a fault planted for it."""

import sys
import textwrap

import numpy as np
import pytest
from kit_laws import message

from taskgraft import testing as kit
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.testing import ContractViolation, LabelledRows
from taskgraft.testing.labelled_rows import sample_rows
from taskgraft.testing.plugin import config_to_try, load_specs

CORRECT = """
    from taskgraft.plugin import BaselineSpec, Config, EmptyConfig, MetricSpec, TargetKind, hookimpl

    TASKGRAFT_CONTRACT = "1.0"

    @hookimpl
    def taskgraft_metrics():
        yield MetricSpec(
            name="cost",
            summary="what wrong labels cost",
            config=EmptyConfig,
            targets=frozenset({TargetKind.CATEGORY}),
            build=build,
        )

    def build(predictions, truth, columns, settings):
        import numpy as np

        wrong = np.array([label != goal for label, goal in zip(predictions.values, truth)], dtype=np.float64)

        def judge(rows):
            return {"cost": float(wrong[rows].mean())}

        return judge

    class Learned(Config):
        label: str

    @hookimpl
    def taskgraft_baselines():
        yield BaselineSpec(
            name="first",
            summary="always the first label in sorted order",
            config=EmptyConfig,
            targets=frozenset({TargetKind.CATEGORY}),
            state=Learned,
            fit=learn,
            predict=predict,
        )

    def learn(inputs, truth, settings):
        return Learned(label=min(truth))

    def predict(learned, inputs, elements, settings):
        from taskgraft.plugin import Predictions

        return Predictions([learned.label for _ in inputs["text"]])
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a plugin's module, with a part of the correct one replaced, and returns its name."""

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


def test_correct_metrics_and_baselines_pass(module):
    name = module("right")
    kit.check_metrics_count_rows(name, {}, {})
    kit.check_figures_are_files(name, {}, {})
    kit.check_baselines_predict_row_by_row(name, {}, {})


DRAWING = ("build=build,", "build=build,\n            plot=draw,")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("return [folder / 'cost.txt']", "it returns ['cost.txt'], but the folder holds []"),
        (
            "(folder / 'cost.txt').write_text(''); return [folder / 'cost.txt']",
            "it returns ['cost.txt'], but the folder holds []",
        ),
        ("(folder / 'cost.txt').write_text('1'); return []", "it returns [], but the folder holds ['cost.txt']"),
        ("return []", "it returns [], but the folder holds []"),
        ("raise ValueError('no ink')", "plot raises ValueError: no ink"),
    ],
    ids=["unwritten", "empty", "unlisted", "nothing", "raises"],
)
def test_a_metric_that_does_not_write_its_figures_is_caught(module, body, found):
    draw = f"    def draw(predictions, truth, columns, settings, folder):\n        {body}\n\n    class Learned(Config):"
    with pytest.raises(ContractViolation) as caught:
        kit.check_figures_are_files(module("wrong", DRAWING, ("    class Learned(Config):", draw)), {}, {})
    assert str(caught.value) == message(kit.check_figures_are_files, "metric 'cost' of wrong", found)


def test_a_metric_that_writes_its_figures_passes(module):
    draw = """    def draw(predictions, truth, columns, settings, folder):
        (folder / "cost.txt").write_text("1")
        return [folder / "cost.txt"]

    class Learned(Config):"""
    kit.check_figures_are_files(module("right", DRAWING, ("    class Learned(Config):", draw)), {}, {})


ANSWER = '{"cost": float(wrong[rows].mean())}'


@pytest.mark.parametrize(
    ("change", "found", "advice"),
    [
        (
            (ANSWER, '{"cost": float(np.random.default_rng().random())}'),
            "two calls for all rows differ",
            "Use no random numbers, and keep nothing.",
        ),
        (
            (ANSWER, '{"cost": float(wrong[rows[0]])}'),
            "'cost' of all rows changes with their order",
            "Do not depend on the order of rows.",
        ),
        (
            (ANSWER, '{"cost": float(wrong[list(set(rows.tolist()))].mean())}'),
            "'cost' of another resample is 0.8571428571428571, but 0.8333333333333334 for a table of those rows",
            None,
        ),
        (
            (ANSWER, '{"cost": float(wrong[rows].sum() / len(wrong))}'),
            "'cost' of one row is 0.08333333333333333, but 1.0 for a table of those rows",
            None,
        ),
        (
            (ANSWER, '{"cost": float("nan")}'),
            "'cost' of all rows is nan, not a finite float",
            "Leave out what is undefined; convert the rest.",
        ),
        (
            (ANSWER, '{"cost": 1}'),
            "'cost' of all rows is 1, not a finite float",
            "Leave out what is undefined; convert the rest.",
        ),
        (
            (ANSWER, '{"cost": 1.0 / (len(rows) - 1)}'),
            "evaluating one row raises ZeroDivisionError: float division by zero",
            None,
        ),
    ],
    ids=["random", "order", "once", "of-all", "nan", "whole-number", "one-row"],
)
def test_a_metric_that_does_not_count_rows_is_caught(module, change, found, advice):
    with pytest.raises(ContractViolation) as caught:
        kit.check_metrics_count_rows(module("wrong", change), {}, {})
    assert str(caught.value) == message(kit.check_metrics_count_rows, "metric 'cost' of wrong", found, advice)


LEARNT, PREDICTED = "return Learned(label=min(truth))", 'Predictions([learned.label for _ in inputs["text"]])'


@pytest.mark.parametrize(
    ("changes", "found", "advice"),
    [
        (
            [(LEARNT, "return {'label': truth[0]}")],
            "fit returns {'label': 'a'}, not Learned",
            "Return an instance of the class 'state'.",
        ),
        (
            [(LEARNT, "return Learned(label=f'{id(object())} {__import__(\"time\").perf_counter_ns()}')")],
            "fitting twice to the same rows differs",
            "Use no random numbers without a seed.",
        ),
        (
            [
                ("label: str", "label: str\n        share: float = 1.0"),
                (LEARNT, "return Learned.model_construct(label='a', share=float('inf'))"),
            ],
            "writing Learned as JSON raises ValueError: Out of range float values are not JSON compliant",
            None,
        ),
        (
            [
                ("label: str", "label: str\n        seen: object = ()"),
                (LEARNT, "return Learned(label='a', seen=(1, 2))"),
            ],
            "Learned(label='a', seen=(1, 2)) written as JSON is read as Learned(label='a', seen=[1, 2])",
            None,
        ),
        ([(PREDICTED, 'Predictions(["a"])')], "it returns 1 values for 12 rows", "Predict once per row."),
        (
            [(PREDICTED, 'Predictions(["a"] * len(inputs["text"]), [[1.0]])')],
            "it returns 1 probabilities for 12 rows",
            "Predict once per row.",
        ),
        (
            [(PREDICTED, 'Predictions([0 for _ in inputs["text"]])')],
            "it predicts 0, which is not a label of the truth",
            "Predict in the form of the truth.",
        ),
        (
            [(PREDICTED, 'Predictions(["ab"[row == 0] for row, _ in enumerate(inputs["text"])])')],
            "its prediction for a row depends on the other rows",
            None,
        ),
        (
            [(PREDICTED, 'Predictions(inputs["amount"])')],
            "predict raises KeyError: 'amount'",
            None,
        ),
    ],
    ids=["no-config", "random", "infinite", "tuple", "one", "one-probability", "other-words", "companions", "column"],
)
def test_a_baseline_that_breaks_its_law_is_caught(module, changes, found, advice):
    with pytest.raises(ContractViolation) as caught:
        kit.check_baselines_predict_row_by_row(module("wrong", *changes), {}, {})
    expected = message(kit.check_baselines_predict_row_by_row, "baseline 'first' of wrong", found, advice)
    assert str(caught.value) == expected


NOT_STORED = ("            state=Learned,\n", "")


def test_a_state_that_is_not_stored_need_not_be_json(module):
    unequal = (LEARNT, "return type('Loose', (), {'label': truth[0]})()")
    kit.check_baselines_predict_row_by_row(module("right", NOT_STORED, unequal), {}, {})


def test_a_state_that_is_not_stored_is_fitted_the_same_again(module):
    drawn = (LEARNT, "return type('Loose', (), {'label': 'abc'[next(count) % 3]})()")
    counting = (
        "    class Learned(Config):",
        "    from itertools import count as counted\n    count = counted()\n\n    class Learned(Config):",
    )
    with pytest.raises(ContractViolation) as caught:
        kit.check_baselines_predict_row_by_row(module("wrong", NOT_STORED, drawn, counting), {}, {})
    assert (caught.value.found, caught.value.advice) == (
        "fitting twice to the same rows differs",
        "Use no random numbers without a seed.",
    )


def test_a_baseline_of_elements_must_predict_a_label_for_each_element(module):
    name = module(
        "wrong",
        ("TargetKind.CATEGORY", "TargetKind.ELEMENT_CATEGORIES"),
        (LEARNT, "return Learned(label='a')"),
        (PREDICTED, 'Predictions([["a"]] * len(elements))'),
    )
    with pytest.raises(ContractViolation) as caught:
        kit.check_baselines_predict_row_by_row(name, {}, {})
    assert caught.value.found == (
        "it returns [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] labels for rows of [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4] elements"
    )


def test_an_author_can_give_rows_where_the_sample_rows_do_not_fit(module):
    name = module("wrong", ("predictions.values, truth)", 'columns["amount"], truth)'))
    rows = LabelledRows(TargetKind.CATEGORY, Predictions(["a"] * 2), ["a", "b"], {"amount": [1, 2]})
    kit.check_metrics_count_rows(name, {}, {"cost": rows})
    with pytest.raises(ContractViolation) as caught:
        kit.check_metrics_count_rows(name, {}, {})
    assert caught.value.found == "build raises KeyError: 'amount'"


def test_settings_are_given_by_axis_and_name_where_two_specs_share_a_name(module):
    (metric, baseline) = load_specs(module("right"))
    one, other = EmptyConfig(), EmptyConfig()
    assert config_to_try(metric, {"cost": one, "metric cost": other}) is other
    assert config_to_try(baseline, {"first": one, "metric first": other}) is one


def test_sample_rows_of_pairs_have_a_label_and_probabilities_for_each_pair_of_elements():
    rows = sample_rows(TargetKind.PAIR_CATEGORIES)
    for value, shares, goal in zip(rows.predictions.values, rows.predictions.probabilities, rows.truth, strict=True):
        assert value.shape == goal.shape == shares.shape[:2] == (len(goal), len(goal))
        assert shares.sum(-1) == pytest.approx(np.ones(goal.shape))
        assert set(np.unique(goal)) <= {"a", "b", "c"}
