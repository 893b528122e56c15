import pytest

from taskgraft import progress
from taskgraft.progress import ProgressReporter


def test_all_items_pass_in_their_order():
    assert list(ProgressReporter(quiet=True).track(iter("abc"), "going", 3)) == ["a", "b", "c"]


def test_what_is_done_in_two_seconds_shows_nothing(capsys):
    list(ProgressReporter().track(range(5), "going", 5))
    assert capsys.readouterr().err == ""


def test_what_takes_longer_shows_how_many_are_done_the_last_one_included(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", -1.0)
    list(ProgressReporter().track(range(5), "going", 5))
    assert "going" in (shown := capsys.readouterr().err)
    assert "5/5" in shown


def test_what_stops_half_way_leaves_the_terminal_as_it_was(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", -1.0)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", -1.0)
    going = ProgressReporter().track(range(5), "going", 5)
    next(going), next(going), next(going)
    going.close()
    assert "2/5" in capsys.readouterr().err
    list(ProgressReporter().track(range(2), "again", 2))  # only one can be shown at a time


def test_an_error_in_the_work_passes(monkeypatch):
    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", -1.0)
    with pytest.raises(ZeroDivisionError):
        list(ProgressReporter().track((1 / item for item in range(5)), "going", 5))
