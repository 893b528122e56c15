from importlib.metadata import distribution

from transformers.utils import logging

from taskgraft_transformers.weights import quiet


def test_the_distribution_has_no_entry_point():
    points = distribution("taskgraft-transformers").entry_points

    assert [point for point in points if point.group == "taskgraft"] == []


def test_quiet_restores_the_logging_settings():
    logging.set_verbosity(logging.INFO)
    bars = logging.is_progress_bar_enabled()
    with quiet():
        silent = logging.get_verbosity(), logging.is_progress_bar_enabled()

    assert silent == (logging.ERROR, False)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.INFO, bars)
    logging.set_verbosity_warning()
