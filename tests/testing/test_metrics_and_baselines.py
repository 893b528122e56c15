"""Each check of the conformance kit for metrics and baselines catches a fault planted for it."""

import sys
import textwrap

import numpy as np
import pytest

from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.descriptions import TargetKind
from taskgraft.contract.predictions import Predictions
from taskgraft.testing import ContractViolation, LabelledRows
from taskgraft.testing import metrics_and_baselines as of_judging
from taskgraft.testing import plugin as of_plugin

RIGHT = """
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
            summary="always the first label",
            config=EmptyConfig,
            targets=frozenset({TargetKind.CATEGORY}),
            state=Learned,
            fit=learn,
            predict=predict,
        )

    def learn(inputs, truth, settings):
        return Learned(label=truth[0])

    def predict(learned, inputs, elements, settings):
        from taskgraft.plugin import Predictions

        return Predictions([learned.label for _ in inputs["text"]])
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a plugin's module, with a part of the right one replaced, and gives its name."""

    def write(name, *changes):
        code = RIGHT
        for old, new in changes:
            assert old in code
            code = code.replace(old, new)
        tmp_path.joinpath(f"{name}.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_right_metrics_and_baselines_pass(module):
    name = module("right")
    of_judging.check_metrics_count_rows(name, {}, {})
    of_judging.check_figures_are_files(name, {}, {})
    of_judging.check_baselines_predict_row_by_row(name, {}, {})


DRAWING = ("build=build,", "build=build,\n            plot=draw,")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("return [folder / 'cost.txt']", "it answers with ['cost.txt'], but the folder holds []"),
        (
            "(folder / 'cost.txt').write_text(''); return [folder / 'cost.txt']",
            "it answers with ['cost.txt'], but the folder holds []",
        ),
        ("(folder / 'cost.txt').write_text('1'); return []", "it answers with [], but the folder holds ['cost.txt']"),
        ("return []", "it answers with [], but the folder holds []"),
        ("raise ValueError('no ink')", "draw raises ValueError: no ink"),
    ],
    ids=["unwritten", "empty", "untold", "nothing", "raises"],
)
def test_a_metric_that_does_not_draw_files_is_caught(module, body, found):
    draw = f"    def draw(predictions, truth, columns, settings, folder):\n        {body}\n\n    class Learned(Config):"
    with pytest.raises(ContractViolation) as caught:
        of_judging.check_figures_are_files(module("wrong", DRAWING, ("    class Learned(Config):", draw)), {}, {})
    assert str(caught.value) == (
        f"metric 'cost' of wrong breaks the law 'figures are files in the folder that is given':\n{found}.\n"
        "Write figures into the folder, and answer with their paths."
    )


def test_a_metric_that_draws_files_passes(module):
    draw = """    def draw(predictions, truth, columns, settings, folder):
        (folder / "cost.txt").write_text("1")
        return [folder / "cost.txt"]

    class Learned(Config):"""
    of_judging.check_figures_are_files(module("right", DRAWING, ("    class Learned(Config):", draw)), {}, {})


ANSWER = '{"cost": float(wrong[rows].mean())}'


@pytest.mark.parametrize(
    ("change", "found", "advice"),
    [
        (
            (ANSWER, '{"cost": float(np.random.default_rng().random())}'),
            "asked twice for all rows it answers differently",
            "Draw nothing at random, keep nothing.",
        ),
        (
            (ANSWER, '{"cost": float(wrong[rows[0]])}'),
            "'cost' of all rows changes with their order",
            "Do not look at the order of rows.",
        ),
        (
            (ANSWER, '{"cost": float(wrong[list(set(rows.tolist()))].mean())}'),
            "'cost' of another resample is 0.8571428571428571, but 0.8333333333333334 for a table of those rows",
            "Give the numbers that the drawn rows alone would have.",
        ),
        (
            (ANSWER, '{"cost": float(wrong[rows].sum() / len(wrong))}'),
            "'cost' of one row is 0.08333333333333333, but 1.0 for a table of those rows",
            "Give the numbers that the drawn rows alone would have.",
        ),
        (
            (ANSWER, '{"cost": float("nan")}'),
            "'cost' of all rows is nan, no finite float",
            "Leave out what cannot be had; convert the rest.",
        ),
        (
            (ANSWER, '{"cost": 1}'),
            "'cost' of all rows is 1, no finite float",
            "Leave out what cannot be had; convert the rest.",
        ),
        (
            (ANSWER, '{"cost": 1.0 / (len(rows) - 1)}'),
            "judging one row raises ZeroDivisionError: float division by zero",
            "Give the numbers that the drawn rows alone would have.",
        ),
    ],
    ids=["random", "order", "once", "of-all", "nan", "whole-number", "one-row"],
)
def test_a_judge_that_does_not_count_rows_is_caught(module, change, found, advice):
    with pytest.raises(ContractViolation) as caught:
        of_judging.check_metrics_count_rows(module("wrong", change), {}, {})
    assert str(caught.value) == (
        f"metric 'cost' of wrong breaks the law 'a judge counts each row as often as it is drawn':\n{found}.\n{advice}"
    )


LEARNT, PREDICTED = "return Learned(label=truth[0])", 'Predictions([learned.label for _ in inputs["text"]])'
FROM_ROWS = "Learn from the training rows alone, and predict from what was learned and the row."


@pytest.mark.parametrize(
    ("changes", "found", "advice"),
    [
        (
            [(LEARNT, "return {'label': truth[0]}")],
            "learn answers {'label': 'a'}, no Learned",
            "Answer with the class 'learned'.",
        ),
        (
            [(LEARNT, "return Learned(label=f'{id(object())} {__import__(\"time\").perf_counter_ns()}')")],
            "learning twice from the same rows differs",
            "Draw nothing at random without a seed.",
        ),
        (
            [
                ("label: str", "label: str\n        share: float = 1.0"),
                (LEARNT, "return Learned.model_construct(label='a', share=float('inf'))"),
            ],
            "writing Learned as JSON raises ValueError: Out of range float values are not JSON compliant",
            FROM_ROWS,
        ),
        (
            [
                ("label: str", "label: str\n        seen: object = ()"),
                (LEARNT, "return Learned(label='a', seen=(1, 2))"),
            ],
            "Learned(label='a', seen=(1, 2)) written as JSON is read as Learned(label='a', seen=[1, 2])",
            FROM_ROWS,
        ),
        ([(PREDICTED, 'Predictions(["a"])')], "it gives 1 values for 12 rows", "Predict once per row."),
        (
            [(PREDICTED, 'Predictions(["a"] * len(inputs["text"]), [[1.0]])')],
            "it gives 1 probabilities for 12 rows",
            "Predict once per row.",
        ),
        (
            [(PREDICTED, 'Predictions([0 for _ in inputs["text"]])')],
            "it predicts 0, which is no word of the truth",
            "Predict as the truth is given.",
        ),
        (
            [(PREDICTED, 'Predictions(["ab"[row == 0] for row, _ in enumerate(inputs["text"])])')],
            "it predicts otherwise for a row when other rows stand beside it",
            FROM_ROWS,
        ),
        (
            [(PREDICTED, 'Predictions(inputs["amount"])')],
            "predict raises KeyError: 'amount'",
            FROM_ROWS,
        ),
    ],
    ids=["no-config", "random", "endless", "tuple", "one", "one-probability", "other-words", "companions", "column"],
)
def test_a_baseline_that_is_not_plain_and_honest_is_caught(module, changes, found, advice):
    with pytest.raises(ContractViolation) as caught:
        of_judging.check_baselines_predict_row_by_row(module("wrong", *changes), {}, {})
    law = "what a baseline learned is JSON, and it predicts row by row"
    assert str(caught.value) == f"baseline 'first' of wrong breaks the law '{law}':\n{found}.\n{advice}"


KEPT_NOWHERE = ("            state=Learned,\n", "")


def test_what_a_baseline_keeps_nowhere_need_be_no_json(module):
    unequal = (LEARNT, "return type('Loose', (), {'label': truth[0]})()")
    of_judging.check_baselines_predict_row_by_row(module("right", KEPT_NOWHERE, unequal), {}, {})


def test_what_a_baseline_keeps_nowhere_is_learned_the_same_again(module):
    drawn = (LEARNT, "return type('Loose', (), {'label': 'abc'[next(count) % 3]})()")
    counting = (
        "    class Learned(Config):",
        "    from itertools import count as counted\n    count = counted()\n\n    class Learned(Config):",
    )
    with pytest.raises(ContractViolation) as caught:
        of_judging.check_baselines_predict_row_by_row(module("wrong", KEPT_NOWHERE, drawn, counting), {}, {})
    assert (caught.value.found, caught.value.advice) == (
        "learning twice from the same rows differs",
        "Draw nothing at random without a seed.",
    )


def test_a_label_for_each_element_is_asked_of_a_baseline_of_elements(module):
    name = module(
        "wrong",
        ("TargetKind.CATEGORY", "TargetKind.ELEMENT_CATEGORIES"),
        (LEARNT, "return Learned(label='a')"),
        (PREDICTED, 'Predictions([["a"]] * len(elements))'),
    )
    with pytest.raises(ContractViolation) as caught:
        of_judging.check_baselines_predict_row_by_row(name, {}, {})
    assert caught.value.found == (
        "it gives [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] labels for rows of [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4] elements"
    )


def test_rows_can_be_given_where_the_usual_ones_do_not_do(module):
    name = module("wrong", ("predictions.values, truth)", 'columns["amount"], truth)'))
    rows = LabelledRows(TargetKind.CATEGORY, Predictions(["a"] * 2), ["a", "b"], {"amount": [1, 2]})
    of_judging.check_metrics_count_rows(name, {}, {"cost": rows})
    with pytest.raises(ContractViolation) as caught:
        of_judging.check_metrics_count_rows(name, {}, {})
    assert caught.value.found == "build raises KeyError: 'amount'"


def test_settings_are_given_by_axis_and_name_where_two_specs_have_a_name(module):
    (metric, baseline) = of_plugin.specs(module("right"))
    one, other = EmptyConfig(), EmptyConfig()
    assert of_plugin.config_of(metric, {"cost": one, "metric cost": other}) is other
    assert of_plugin.config_of(baseline, {"first": one, "metric first": other}) is one


def test_the_usual_rows_of_pairs_have_a_label_and_shares_for_each_pair_of_elements():
    rows = of_judging.sample_rows(TargetKind.PAIR_CATEGORIES)
    for value, shares, goal in zip(rows.predictions.values, rows.predictions.probabilities, rows.truth, strict=True):
        assert value.shape == goal.shape == shares.shape[:2] == (len(goal), len(goal))
        assert shares.sum(-1) == pytest.approx(np.ones(goal.shape))
        assert set(np.unique(goal)) <= {"a", "b", "c"}
