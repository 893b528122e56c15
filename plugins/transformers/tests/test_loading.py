from importlib.metadata import distribution

from transformers.utils import logging

from taskgraft_transformers.loading import quiet


def test_this_is_a_library_without_an_entry_point():
    points = distribution("taskgraft-transformers").entry_points

    assert [point for point in points if point.group == "taskgraft"] == []


def test_quiet_gives_back_what_was_set():
    logging.set_verbosity(logging.INFO)
    bars = logging.is_progress_bar_enabled()
    with quiet():
        silent = logging.get_verbosity(), logging.is_progress_bar_enabled()

    assert silent == (logging.ERROR, False)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.INFO, bars)
    logging.set_verbosity_warning()
