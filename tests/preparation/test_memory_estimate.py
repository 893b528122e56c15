"""Many classes: the memory that the head needs is said before, and the solver computes with few rows at a time."""

import pytest
from small_tasks import training_stage
from torch import nn

import taskgraft as tg
from taskgraft.contract.plan import HeadSolver
from taskgraft.preparation.memory_estimate import memory_note
from taskgraft.training.convex_solver import SOLVER_BUDGET, solver_budget

SOLVED = training_stage(solve=HeadSolver.CONVEX)


def test_a_small_head_is_not_mentioned():
    assert memory_note(nn.Linear(768, 1_000, device="meta"), [SOLVED], 5_000) is None


@pytest.mark.parametrize(
    ("stage", "rows", "note"),
    [
        (SOLVED, 0, "training it takes about 3.9 GB of memory."),
        (
            training_stage("first"),
            5_000,
            "training it takes about 0.6 GB of memory, and predicting for 5,000 validation rows about 4.0 GB.",
        ),
    ],
)
def test_the_memory_of_a_hundred_thousand_classes_is_estimated(stage, rows, note):
    found = memory_note(nn.Linear(384, 100_000, device="meta"), [stage], rows)
    assert found == f"The head has 100,000 outputs and 38,500,000 parameters: {note}"


def test_the_solver_reads_fewer_rows_at_a_time_for_very_many_classes():
    assert solver_budget(nn.Linear(8, 1_024, device="meta")) == SOLVER_BUDGET
    few = solver_budget(nn.Linear(8, 100_000, device="meta"))
    assert (few.rows, few.elements) == (671, 671)


@pytest.mark.usefixtures("small_plugin_installed")
def test_a_fit_with_many_classes_says_what_it_needs_before_training(capsys, monkeypatch):
    monkeypatch.setattr("taskgraft.preparation.memory_estimate._NOTED_BYTES", 1_000)
    rows = {"text": [f"a {number}" for number in range(24)], "label": [f"c{number % 6}" for number in range(24)]}
    model = tg.compose("small-words", "classification", {"name": "linear-probe", "penalty": 1e-3})
    model.fit(rows, target="label", validation=rows)
    lines = capsys.readouterr().err.splitlines()
    said = next(index for index, line in enumerate(lines) if line.startswith("The head has 6 outputs and "))
    assert said < next(index for index, line in enumerate(lines) if line.startswith("linear-probe: training loss"))
