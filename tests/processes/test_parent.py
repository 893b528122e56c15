import signal

from taskgraft.processes.parent import signal_name


def test_a_signal_is_named_also_one_without_a_name():
    assert signal_name(-signal.SIGKILL) == "SIGKILL"
    assert signal_name(-(signal.SIGRTMIN + 3)) == f"signal {signal.SIGRTMIN + 3}"
