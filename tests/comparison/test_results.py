import math
from dataclasses import asdict, replace
from io import StringIO

import pytest
from rich.console import Console

from taskgraft.comparison.figure import draw
from taskgraft.comparison.results import Candidate, Comparison, RunResult, Score


def trial(value: float = 0.9, seconds: float = 1.0, low: float | None = None, high: float | None = None, **others):
    known = {
        "shared_seconds": 0.0,
        "peak_memory": 900_000_000,
        "peak_device_memory": None,
        "trained": 1_234,
        "artifact": 22_000,
        "interrupted": False,
    }
    return RunResult(metrics={"accuracy": Score(value, low, high)}, seconds=seconds, **known | others)


def contender(strategy: str, *trials: RunResult, problem: str | None = None, backbone: str = "small") -> Candidate:
    return Candidate(backbone, strategy, dict(enumerate(trials)), problem)


def comparison(*contenders: Candidate, lower: bool = False) -> Comparison:
    seeds = range(max(len(one.trials) for one in contenders))
    return Comparison("accuracy", lower, "validation rows", 300, seeds, contenders)


def best(*points: tuple[float, float], lower: bool = False) -> list[str]:
    named = [contender(str(number), trial(value, seconds)) for number, (seconds, value) in enumerate(points)]
    return [one.strategy for one in comparison(*named, lower=lower).best]


def test_the_best_trade_offs_are_those_that_nothing_beats_in_as_many_seconds():
    assert best((5, 0.7), (1, 0.6), (9, 0.9), (6, 0.7), (9, 0.8), (2, 0.6)) == ["1", "0", "2"]


def test_of_errors_the_lower_ones_are_better():
    assert best((1, 0.6), (2, 0.7), (3, 0.5), lower=True) == ["0", "2"]


def test_two_that_are_the_same_are_both_marked():
    assert best((1, 0.6), (1, 0.6), (1, 0.5)) == ["0", "1"]


def test_what_had_a_problem_or_lacks_the_number_is_no_trade_off():
    other = replace(trial(1.0, 0.1), metrics={"r2": Score(1.0)})
    found = comparison(
        contender("good", trial()), contender("half", trial(1.0), problem="seed 1: no"), contender("other", other)
    )
    assert [one.strategy for one in found.best] == ["good"]


def test_one_seed_has_the_interval_of_its_rows():
    assert contender("one", trial(0.9, low=0.8, high=0.95)).score("accuracy") == Score(0.9, 0.8, 0.95)


def test_several_seeds_have_the_doubt_of_rows_and_of_seeds():
    one = contender(
        "one", trial(0.8, low=0.7, high=0.85), trial(0.9, low=0.82, high=0.93), trial(0.85, low=0.75, high=0.89)
    )
    score = one.score("accuracy")
    assert score.value == pytest.approx(0.85)
    seeds = 4.303 * 0.05 / math.sqrt(3)
    assert score.value - score.low == pytest.approx(math.hypot((0.1 + 0.08 + 0.1) / 3, seeds))
    assert score.high - score.value == pytest.approx(math.hypot((0.05 + 0.03 + 0.04) / 3, seeds))


def test_a_seed_without_the_number_leaves_no_score():
    other = replace(trial(), metrics={"r2": Score(1.0)})
    assert contender("one", trial(), other).score("accuracy") is None


def test_costs_are_means_of_seconds_and_the_highest_peaks():
    one = contender(
        "one", trial(seconds=1.0), trial(seconds=3.0, peak_memory=10**9, artifact=30_000, shared_seconds=1.0)
    )
    assert (one.seconds, one.shared_seconds, one.peak_memory, one.artifact) == (2.0, 0.5, 10**9, 30_000)


def test_a_trial_is_read_from_its_json():
    one = trial(0.9, low=0.8, high=0.95)
    assert RunResult.of_json(asdict(one)) == one


def printed(found: Comparison) -> str:
    out = StringIO()
    Console(file=out, width=200, markup=False).print(found)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_the_table_says_what_each_reaches_and_costs():
    found = comparison(
        contender("linear-probe", trial(0.777, 2.5, 0.73, 0.8233)),
        contender(
            "partial:1", trial(0.7967, 9.8, 0.75, 0.84, trained=1_779_084, artifact=71_250_000, shared_seconds=1.5)
        ),
        contender("full", problem="There is not enough memory."),
    )
    assert (
        printed(found)
        == """\
    strategy       accuracy      95 % interval   seconds   peak memory   trained numbers   artifact
───────────────────────────────────────────────────────────────────────────────────────────────────
●   linear-probe     0.7770   0.7300 to 0.8233       2.5        900 MB             1,234      22 KB
●   partial:1        0.7967   0.7500 to 0.8400       9.8        900 MB         1,779,084      71 MB
    full                  –                  –         –             –                 –          –
300 validation rows. ● No other is better in as many seconds.
What stays frozen was computed once; seconds count it for each that used it, as if it ran alone.

full: There is not enough memory."""
    )


def test_the_table_tells_backbones_seeds_devices_and_interruptions_where_there_are_any():
    gone = trial(0.5, peak_device_memory=2 * 10**9, interrupted=True)
    found = comparison(
        contender("full", gone, trial(0.5), backbone="one"),
        contender("full", trial(0.6), trial(0.6), backbone="other"),
        lower=True,
    )
    lines = printed(found).splitlines()
    assert lines[0].split()[:3] == ["backbone", "strategy", "accuracy"]
    assert "2,000 MB" in lines[2]
    assert lines[4:] == [
        "300 validation rows; means of 2 seeds, intervals of rows and seeds; peaks are the highest. "
        "● No other is better in as many seconds (accuracy: lower is better).",
        "Interrupted once, with the peak memory of what came after: full on one.",
    ]


def test_json_has_everything_and_says_what_is_not_known():
    found = comparison(contender("one", trial(0.9, low=0.8, high=0.95)), contender("two", problem="no"))
    said = found.to_json()
    assert {key: said[key] for key in ("metric", "better", "judged", "rows", "seeds", "figure")} == {
        "metric": "accuracy",
        "better": "higher",
        "judged": "validation rows",
        "rows": 300,
        "seeds": [0],
        "figure": None,
    }
    one, two = said["contenders"]
    assert two == {"backbone": "small", "strategy": "two", "problem": "no"}
    assert one["best_trade_off"] is True
    assert one["score"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert one["trials"]["0"]["trained"] == one["trained"] == 1_234


@pytest.mark.parametrize("seconds", [1.5, 900.0], ids=["near", "far"])
def test_the_figure_is_a_png(tmp_path, seconds):
    found = comparison(
        contender("one", trial(0.7, low=0.6, high=0.8)),
        contender("two", trial(0.9, seconds)),
        contender("no", problem="no"),
    )
    draw(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
