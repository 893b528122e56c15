"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

import os
import signal
import threading

import pytest
from commands import typed
from typer.core import TyperGroup

PLUGIN = """
import os
import signal
import time

from taskgraft.plugin import CONTRACT_VERSION, EmptyConfig, HeadSpec, hookimpl

TASKGRAFT_CONTRACT = CONTRACT_VERSION


def _terminated(config):
    os.kill(os.getpid(), getattr(signal, os.environ["SENT"]))
    time.sleep(float(os.environ.get("SLEPT", "0")))
    return 1 / 0


def _twice(config):
    try:
        _terminated(config)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.01)
        print("cleaned up")


@hookimpl
def taskgraft_heads():
    for name, describe in (("terminated", _terminated), ("twice", _twice)):
        yield HeadSpec(name=name, summary="does not stand still", config=EmptyConfig, describe=describe, build=print)
"""


pytestmark = pytest.mark.usefixtures("default_signals")


@pytest.fixture(autouse=True)
def planted(beside_others):
    beside_others.plant(PLUGIN)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_is_one_sentence_and_its_code(monkeypatch, name, code):
    monkeypatch.setenv("SENT", name)
    monkeypatch.setenv("SLEPT", "5")
    done = typed("show", "terminated")
    assert (done.code, done.out, done.err) == (code, "", "Interrupted.\n")


def test_a_signal_while_arguments_are_read_is_the_same_sentence(monkeypatch):
    """Typer has a word and an exit code of its own for an interruption there."""
    monkeypatch.setattr(TyperGroup, "make_context", lambda *args, **settings: os.kill(os.getpid(), signal.SIGTERM))
    done = typed("list")
    assert (done.code, done.out, done.err) == (143, "", "Interrupted.\n")


def test_a_second_signal_does_not_interrupt_the_cleaning(monkeypatch):
    monkeypatch.setenv("SENT", "SIGTERM")
    done = typed("show", "twice")
    assert (done.code, done.out, done.err) == (143, "cleaned up\n", "Interrupted.\n")


def test_the_handlers_of_the_caller_come_back(monkeypatch):
    def handler(number, frame):
        raise AssertionError("it belongs to the caller")

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setenv("SENT", "SIGTERM")
    try:
        assert typed("show", "terminated").code == 143
        assert [signal.getsignal(number) for number in before] == [handler, handler]
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setenv("SENT", "SIGHUP")
    try:
        done = typed("show", "terminated")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (done.code, "division by zero" in done.err) == (1, True)


def test_in_a_thread_no_handler_is_set():
    codes = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: codes.append(typed("list").code))
    thread.start()
    thread.join()
    assert codes == [0]
    assert signal.getsignal(signal.SIGTERM) == before
