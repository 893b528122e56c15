import faulthandler
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from attacks import spawned
from processes_left import ended_within

from taskgraft.errors import TaskgraftError
from taskgraft.files.limits import InvalidLimit
from taskgraft.processes.workers import MAX_WORKERS, WorkerLost, parallel_map, worker_count


@dataclass(eq=False)
class Odd(TaskgraftError):
    number: int
    advice: str

    def __str__(self):
        return f"{self.number} is odd. {self.advice}"


def doubled(number):
    return 2 * number, os.getpid()


def even(number):
    if number % 2:
        raise Odd(number, "Give an even one.")
    return number


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    assert [result for result, _ in parallel_map(doubled, range(20), workers)] == list(range(0, 40, 2))


def test_workers_are_other_processes():
    assert os.getpid() not in {process for _, process in parallel_map(doubled, range(8), 2)}


def test_without_workers_or_with_one_item_no_process_is_started():
    found = [*parallel_map(doubled, range(3), 0), *parallel_map(doubled, [5], 2)]
    assert {process for _, process in found} == {os.getpid()}


def test_nothing_to_do_is_done():
    assert list(parallel_map(doubled, [], 2)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_arrives_as_it_was_raised(workers):
    with pytest.raises(Odd) as caught:
        list(parallel_map(even, [2, 4, 7, 8], workers))
    assert str(caught.value) == "7 is odd. Give an even one."


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    list(parallel_map(doubled, range(4), 2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_machine_decides_where_the_user_does_not():
    cores = len(os.sched_getaffinity(0))
    assert worker_count(None, heavy=True) == min(cores, MAX_WORKERS)
    assert worker_count(None, heavy=False) == 0
    assert worker_count(3, heavy=False) == worker_count(3, heavy=True) == 3


def large(number):
    return {"pixels": torch.full((4, 256, 1024), float(number)), "row": number}


def test_tensors_arrive_in_order_and_bit_for_bit():
    for number, result in enumerate(parallel_map(large, range(12), 3)):
        assert result["row"] == number
        assert torch.equal(result["pixels"], torch.full((4, 256, 1024), float(number)))


SMALL_SHARED_MEMORY = """
import torch
from taskgraft.processes.workers import parallel_map
def work(number):
    return torch.full((1 << 20,), float(number))
kept = list(parallel_map(work, range(60), 2))  # 240 MB
assert [int(tensor[-1]) for tensor in kept] == list(range(60))
print("all arrived")
"""


@pytest.mark.slow
def test_shared_memory_of_one_megabyte_is_enough():
    """In a container of Docker it has 64 MB; torch's DataLoader waits for ever when it is full."""
    command = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" -c "$1"'
    done = spawned(["unshare", "-m", "sh", "-c", command, sys.executable, SMALL_SHARED_MEMORY], seconds=60)
    if "unshare" in done.text or "mount" in done.text:
        pytest.skip("needs the right to mount")
    assert (done.code, done.text, done.timed_out) == (0, "all arrived\n", False)


ADVICE = (
    "Load in this process: training.workers = 0 in the recipe, or TASKGRAFT_WORKERS=0 in the environment, which also applies "
    "to predict, evaluate and features"
)


def killed(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_is_one_sentence():
    results = parallel_map(killed, range(9), 2)
    found = [next(results) for _ in range(5)]
    with pytest.raises(WorkerLost) as caught:
        next(results)
    assert found == [0, 1, 2, 3, 4]
    assert str(caught.value) == (
        f"A loader process was killed by SIGKILL, as happens when memory runs out. {ADVICE}; or give the machine or container "
        "more memory."
    )
    assert multiprocessing.active_children() == []


def bus_error(number):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGBUS)


def test_a_bus_error_names_shared_memory():
    with pytest.raises(WorkerLost) as caught:
        list(parallel_map(bus_error, range(3), 2))
    assert str(caught.value) == (
        "A loader process was killed by SIGBUS, as happens when shared memory (docker run --shm-size) or a disk is full, or a "
        f"mapped file was cut. {ADVICE}; or give the machine or container more memory."
    )


def leaves(number):
    os._exit(3)


def test_a_worker_that_leaves_is_one_sentence():
    with pytest.raises(WorkerLost) as caught:
        list(parallel_map(leaves, range(3), 2))
    assert str(caught.value) == f"A loader process ended with code 3. {ADVICE}, and see why."


def waits(number):
    time.sleep(60)


def test_a_worker_that_does_not_answer_is_one_sentence(monkeypatch):
    monkeypatch.setenv("TASKGRAFT_WORKER_TIMEOUT", "0.3")
    start = time.monotonic()
    with pytest.raises(WorkerLost) as caught:
        list(parallel_map(waits, range(3), 2))
    assert time.monotonic() - start < 5
    assert str(caught.value) == (
        "A loader process has not answered for 0.3 seconds. If a single batch takes longer, raise the environment variable "
        f"TASKGRAFT_WORKER_TIMEOUT (in seconds). {ADVICE}."
    )
    assert multiprocessing.active_children() == []


def test_no_process_is_left_when_only_some_results_are_used():
    results = parallel_map(doubled, range(100), 2)
    next(results)
    results.close()
    assert multiprocessing.active_children() == []


def test_the_environment_decides_the_number_of_workers(monkeypatch):
    monkeypatch.setenv("TASKGRAFT_WORKERS", "0")
    assert worker_count(8, heavy=True) == worker_count(None, heavy=True) == 0


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("TASKGRAFT_WORKERS", "many", "a whole number of at least 0"),
        ("TASKGRAFT_WORKERS", "-1", "a whole number of at least 0"),
        ("TASKGRAFT_WORKERS", "1.5", "a whole number of at least 0"),
        ("TASKGRAFT_WORKER_TIMEOUT", "0", "a number of seconds above 0"),
        ("TASKGRAFT_WORKER_TIMEOUT", "inf", "a number of seconds above 0"),
        ("TASKGRAFT_WORKER_TIMEOUT", "nan", "a number of seconds above 0"),
    ],
)
def test_an_environment_variable_that_is_no_number_is_rejected(monkeypatch, name, text, kind):
    monkeypatch.setenv(name, text)
    with pytest.raises(InvalidLimit) as caught:
        list(parallel_map(doubled, range(4), worker_count(2, heavy=True)))
    assert str(caught.value) == f"The environment variable {name} is {text!r}, not {kind}."


def test_workers_that_cannot_be_started_are_one_sentence():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, limits[1]))
    try:
        with pytest.raises(WorkerLost) as caught:
            list(parallel_map(doubled, range(9), 8))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert str(caught.value).partition(". ")[0] in {
        f"Loader process {number} cannot be started: Too many open files" for number in range(1, 9)
    }
    assert str(caught.value).endswith(f". {ADVICE}.")
    assert multiprocessing.active_children() == []


class CannotBeSent(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fails(number):
    raise CannotBeSent(1, 2)


def unpicklable(number):
    return lambda: number


def test_an_error_that_cannot_be_sent_arrives_with_its_name():
    with pytest.raises(RuntimeError) as caught:
        list(parallel_map(fails, range(3), 2))
    assert str(caught.value) == "CannotBeSent: 1 and 2"
    assert "in fails" in "".join(caught.value.__notes__)


def test_a_result_that_cannot_be_sent_is_an_error_and_no_wait():
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="lambda"):
        list(parallel_map(unpicklable, range(3), 2))


ORPHANED = """
import os, time
from taskgraft.processes.workers import parallel_map
def work(number):
    print(os.getpid(), flush=True)
    if BUSY:
        sum(range(10**12))  # holds the interpreter: no other thread runs for long
    time.sleep(1000)
list(parallel_map(work, range(4), 2))
"""


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True], ids=["sleeping", "computing"])
def test_workers_end_with_a_parent_that_is_killed(busy):
    process = subprocess.Popen([sys.executable, "-c", f"BUSY = {busy}\n{ORPHANED}"], stdout=subprocess.PIPE, text=True)
    children = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.wait()
    assert ended_within(1.0, children)
    process.stdout.close()


def test_workers_of_a_thread_work():
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(lambda _: [result for result, _ in parallel_map(doubled, range(9), 2)], range(3)):
            assert found == list(range(0, 18, 2))


@pytest.mark.slow
def test_spawned_workers_import_nothing_from_the_working_folder(tmp_path):
    (tmp_path / "signal.py").write_text("print('code ran')")
    (tmp_path / "script").mkdir()
    script = tmp_path / "script" / "fit.py"
    script.write_text(
        "import multiprocessing\n"
        "from taskgraft.processes.workers import parallel_map\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    print(list(parallel_map(abs, [-1, -2, -3], 2)))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2, 3]\n", "")
