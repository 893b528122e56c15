import math
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from taskgraft.comparison.figure import draw
from taskgraft.comparison.results import Candidate, Comparison, RunResult, Score


def run_result(value: float = 0.9, seconds: float = 1.0, low: float | None = None, high: float | None = None, **others):
    known = {
        "shared_seconds": 0.0,
        "peak_memory": 900_000_000,
        "peak_device_memory": None,
        "trained": 1_234,
        "artifact": 22_000,
        "interrupted": False,
    }
    return RunResult(metrics={"accuracy": Score(value, low, high)}, seconds=seconds, **known | others)


def candidate(strategy: str, *results: RunResult, problem: str | None = None, backbone: str = "small") -> Candidate:
    return Candidate(backbone, strategy, dict(enumerate(results)), problem)


def comparison(*candidates: Candidate, lower: bool = False) -> Comparison:
    seeds = range(max(len(one.results) for one in candidates))
    return Comparison("accuracy", lower, "validation rows", 300, seeds, candidates)


def best(*points: tuple[float, float], lower: bool = False) -> list[str]:
    named = [candidate(str(number), run_result(value, seconds)) for number, (seconds, value) in enumerate(points)]
    return [one.strategy for one in comparison(*named, lower=lower).best]


def test_the_best_trade_offs_are_not_beaten_in_the_same_time():
    assert best((5, 0.7), (1, 0.6), (9, 0.9), (6, 0.7), (9, 0.8), (2, 0.6)) == ["1", "0", "2"]


def test_lower_is_better_for_errors():
    assert best((1, 0.6), (2, 0.7), (3, 0.5), lower=True) == ["0", "2"]


def test_two_equal_candidates_are_both_best():
    assert best((1, 0.6), (1, 0.6), (1, 0.5)) == ["0", "1"]


def test_a_candidate_with_a_problem_or_without_the_metric_is_not_compared():
    other = replace(run_result(1.0, 0.1), metrics={"r2": Score(1.0)})
    found = comparison(
        candidate("good", run_result()),
        candidate("half", run_result(1.0), problem="seed 1: no"),
        candidate("other", other),
    )
    assert [one.strategy for one in found.best] == ["good"]


def test_one_seed_has_the_interval_of_its_rows():
    one = candidate("one", run_result(0.9, low=0.8, high=0.95))
    assert one.summary.metrics["accuracy"] == Score(0.9, 0.8, 0.95)


def test_the_interval_of_several_seeds_combines_the_errors_of_rows_and_seeds():
    one = candidate(
        "one",
        run_result(0.8, low=0.7, high=0.85),
        run_result(0.9, low=0.82, high=0.93),
        run_result(0.85, low=0.75, high=0.89),
    )
    score = one.summary.metrics["accuracy"]
    assert score.value == pytest.approx(0.85)
    seeds = 4.303 * 0.05 / math.sqrt(3)
    assert score.value - score.low == pytest.approx(math.hypot((0.1 + 0.08 + 0.1) / 3, seeds))
    assert score.high - score.value == pytest.approx(math.hypot((0.05 + 0.03 + 0.04) / 3, seeds))


def test_a_metric_that_one_seed_lacks_has_no_score():
    other = replace(run_result(), metrics={"r2": Score(1.0)})
    assert candidate("one", run_result(), other).summary.metrics == {}


def test_the_summary_has_mean_seconds_and_the_highest_peaks():
    one = candidate(
        "one", run_result(seconds=1.0), run_result(seconds=3.0, peak_memory=10**9, artifact=30_000, shared_seconds=1.0)
    )
    costs = one.summary
    assert (costs.seconds, costs.shared_seconds, costs.peak_memory, costs.artifact) == (2.0, 0.5, 10**9, 30_000)


def printed(found: Comparison) -> str:
    out = StringIO()
    Console(file=out, width=200, markup=False).print(found)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_the_table_shows_scores_and_costs():
    found = comparison(
        candidate("linear-probe", run_result(0.777, 2.5, 0.73, 0.8233)),
        candidate(
            "partial:1", run_result(0.7967, 9.8, 0.75, 0.84, trained=1_779_084, artifact=71_250_000, shared_seconds=1.5)
        ),
        candidate("full", problem="There is not enough memory."),
    )
    assert (
        printed(found)
        == """\
    strategy       accuracy      95 % interval   seconds   peak memory   trainable parameters   artifact
────────────────────────────────────────────────────────────────────────────────────────────────────────
●   linear-probe     0.7770   0.7300 to 0.8233       2.5        900 MB                  1,234      22 KB
●   partial:1        0.7967   0.7500 to 0.8400       9.8        900 MB              1,779,084      71 MB
    full                  –                  –         –             –                      –          –
300 validation rows. ● No other is better in the same time.
Frozen features were computed once and shared; their time counts in every run that used them.

full: There is not enough memory."""
    )


def test_the_table_shows_backbones_seeds_devices_and_interruptions_where_there_are_any():
    resumed = run_result(0.5, peak_device_memory=2 * 10**9, interrupted=True)
    found = comparison(
        candidate("full", resumed, run_result(0.5), backbone="one"),
        candidate("full", run_result(0.6), run_result(0.6), backbone="other"),
        lower=True,
    )
    lines = printed(found).splitlines()
    assert lines[0].split()[:3] == ["backbone", "strategy", "accuracy"]
    assert "2,000 MB" in lines[2]
    assert lines[4:] == [
        "300 validation rows; means of 2 seeds, intervals over rows and seeds; peaks are the highest. "
        "● No other is better in the same time (accuracy: lower is better).",
        "Interrupted and resumed, with the peak memory of the last process: full on one.",
    ]


def test_what_the_validation_rows_chose_is_said():
    found = comparison(
        candidate("probe", run_result(chosen={"penalty": 0.03})),
        candidate("tune", run_result(0.8, 2.0, chosen={"epoch": 3.0, "threshold": 0.4})),
        candidate("full", run_result(0.7, 3.0)),
    )
    said = "The validation rows also chose settings of probe (penalty), tune (epoch, threshold): "
    assert f"{said}expect a little less there on new rows." in " ".join(printed(found).split())
    assert "also chose" not in printed(replace(found, evaluated="test rows"))


def test_json_has_everything_with_null_for_unknown_values():
    found = comparison(candidate("one", run_result(0.9, low=0.8, high=0.95)), candidate("two", problem="no"))
    document = found.to_json()
    assert {key: document[key] for key in ("metric", "better", "judged", "rows", "seeds", "figure")} == {
        "metric": "accuracy",
        "better": "higher",
        "judged": "validation rows",
        "rows": 300,
        "seeds": [0],
        "figure": None,
    }
    one, two = document["contenders"]
    assert two == {"backbone": "small", "strategy": "two", "problem": "no"}
    assert one["best_trade_off"] is True
    assert one["score"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert one["trials"]["0"]["trained"] == one["trained"] == 1_234


@pytest.mark.parametrize("seconds", [1.5, 900.0], ids=["near", "far"])
def test_the_figure_is_a_png(tmp_path, seconds):
    found = comparison(
        candidate("one", run_result(0.7, low=0.6, high=0.8)),
        candidate("two", run_result(0.9, seconds)),
        candidate("no", problem="no"),
    )
    draw(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_figure_ignores_settings_in_the_working_folder_and_takes_no_name_for_a_formula(tmp_path):
    """``text.usetex`` starts LaTeX, with what the file of settings puts into it."""
    matplotlib = pytest.importorskip("matplotlib")
    found = comparison(candidate("$\\frac{$", run_result(0.7)), candidate("b\x1b[2J$x$", run_result(0.9, 2.0)))
    with matplotlib.rc_context({"text.usetex": True, "font.size": 99}):
        draw(found, tmp_path / "figure.png")
        assert matplotlib.rcParams["text.usetex"] is True  # the user's own figures keep their settings
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
