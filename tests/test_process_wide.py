import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from taskgraft.process_wide import SharedSetting, ignored_warnings, safe_children


def test_threads_that_overlap_leave_a_setting_as_it_was():
    """Each saved and restored it: the second restored what the first had set."""
    value, barrier = ["before"], threading.Barrier(2)

    @contextmanager
    def changed():
        old, value[0] = value[0], "changed"
        yield
        value[0] = old

    setting, first_left = SharedSetting(changed), threading.Event()

    def first():
        with setting():
            barrier.wait(20)
        first_left.set()

    def second():
        barrier.wait(20)
        with setting():
            first_left.wait(20)
            assert value == ["changed"]

    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(first), threads.submit(second)]:
            one.result()
    assert value == ["before"]


def test_a_setting_ends_after_an_error():
    ended = []

    @contextmanager
    def changed():
        yield
        ended.append(True)

    with pytest.raises(KeyError), SharedSetting(changed)():
        raise KeyError
    assert ended == [True]


def test_warnings_are_ignored_within_and_not_afterwards():
    with warnings.catch_warnings(record=True, action="always") as caught:
        with ignored_warnings(UserWarning):
            warnings.warn("ignored", stacklevel=1)
            with ignored_warnings():
                warnings.warn("ignored", DeprecationWarning, stacklevel=1)
        warnings.warn("shown", stacklevel=1)
    assert [str(one.message) for one in caught] == ["shown"]


def test_threads_that_ignore_warnings_leave_the_filters_as_they_were():
    before = [*warnings.filters]

    def work(number):
        for _ in range(200):
            with ignored_warnings(UserWarning if number % 2 else RuntimeWarning):
                warnings.warn("ignored", UserWarning if number % 2 else RuntimeWarning, stacklevel=1)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert warnings.filters == before


def test_processes_that_are_started_in_a_block_leave_out_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("print('code ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    command = [sys.executable, "-c", "import queue"]
    with safe_children():
        inside = subprocess.run(command, capture_output=True, text=True, check=True)
    after = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (inside.stdout, after.stdout) == ("", "code ran\n")
    assert "PYTHONSAFEPATH" not in os.environ
