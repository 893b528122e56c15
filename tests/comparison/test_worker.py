"""The process of one run: what it records when the machine, or the run, fails."""

import pytest
from attacks import forked

from taskgraft.comparison import worker
from taskgraft.comparison.worker import RECORD, RunRecord
from taskgraft.engine.memory import NotEnoughMemory
from taskgraft.files.temporary_folder import TemporaryFilesError
from taskgraft.preparation.errors import TrainingError
from taskgraft.processes.workers import WorkerLost
from taskgraft.storage.atomic_write import OutputError
from taskgraft.storage.documents import read_document
from taskgraft.storage.run_directory import RunDirectoryError

OF_THE_MACHINE = (
    NotEnoughMemory("no memory"),
    WorkerLost("killed"),
    TemporaryFilesError("no room"),
    OutputError("record.json", "No space left on device", "record"),
    RunDirectoryError("its checkpoint cannot be written"),
)


def recorded(folder, monkeypatch, error):
    """The record of a run that raised an error, in a process of its own."""

    def fail(*arguments):
        raise error

    monkeypatch.setattr(worker, "_read_request", lambda folder: None)
    monkeypatch.setattr(worker, "run", fail)
    monkeypatch.setattr(worker, "end_with_parent", lambda wait: None)
    done = forked(lambda: worker.execute(folder, only_base=False))
    assert done.code == 0, done.text
    return read_document(folder / RECORD, RunRecord)


@pytest.mark.parametrize("error", OF_THE_MACHINE, ids=lambda error: type(error).__name__)
def test_an_error_of_the_machine_is_tried_again(tmp_path, monkeypatch, error):
    record = recorded(tmp_path, monkeypatch, error)
    assert (record.problem, record.final) == (str(error), False)


def test_an_error_of_the_run_is_not(tmp_path, monkeypatch):
    record = recorded(tmp_path, monkeypatch, TrainingError("it has diverged"))
    assert (record.problem, record.final) == ("it has diverged", True)
