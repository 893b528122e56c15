"""Two processes give the weights of one, also if the rows do not divide evenly."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from on_two_processes import models
from planting import install
from safetensors.torch import load_file
from small_tasks import sentences

from taskgraft import compose
from taskgraft.discovery.catalog import catalog

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Iterator[Path]:
    """An artifact of a small backbone, whose plugin is installed meanwhile."""
    folder = tmp_path_factory.mktemp("teacher")
    install(folder / "installed", "taskgraft-small", "small_plugin")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "installed")
        catalog.cache_clear()
        model = compose("small-words", "classification", "full")
        model.fit(sentences(), target="label", quiet=True)
        yield model.save(folder / "artifact")
    catalog.cache_clear()


def train(folder: Path, processes: int, teacher: Path) -> Path:
    folder.mkdir()
    start = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)] if processes > 1 else []
    path = os.pathsep.join(
        [str(HERE), str(teacher.with_name("installed")), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    script = [str(HERE / "on_two_processes.py"), str(folder), str(processes), str(teacher)]
    done = subprocess.run(
        [sys.executable, *start, *script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory, teacher) -> Path:
    return train(tmp_path_factory.mktemp("one") / "out", 1, teacher)


@pytest.fixture(scope="module")
def two(tmp_path_factory, teacher) -> Path:
    return train(tmp_path_factory.mktemp("two") / "out", 2, teacher)


@pytest.mark.parametrize("name", models())
def test_two_processes_give_the_weights_of_one(one, two, name):
    expected = load_file(one / f"{name}.0.safetensors")
    found = load_file(two / f"{name}.0.safetensors")
    assert found.keys() == expected.keys()
    for tensor in expected:
        torch.testing.assert_close(
            found[tensor], expected[tensor], atol=1e-5, rtol=0, msg=lambda text, t=tensor: f"{t}: {text}"
        )


@pytest.mark.parametrize("name", models())
def test_both_processes_have_the_same_weights(two, name):
    first, second = (load_file(two / f"{name}.{process}.safetensors") for process in (0, 1))
    assert all(torch.equal(first[tensor], second[tensor]) for tensor in first)


@pytest.mark.parametrize("name", models())
def test_losses_are_the_mean_over_the_rows_of_all_processes(one, two, name):
    expected, found = (json.loads((folder / "numbers.0.json").read_text())[name] for folder in (one, two))
    for stage, other in zip(expected["losses"], found["losses"], strict=True):
        assert other == pytest.approx(stage, abs=1e-5)


@pytest.mark.parametrize("name", models())
def test_no_row_counts_twice_in_a_metric(one, two, name):
    expected = json.loads((one / "numbers.0.json").read_text())[name]
    for process in (0, 1):
        found = json.loads((two / f"numbers.{process}.json").read_text())[name]
        assert found["metrics"] == expected["metrics"]
        assert found["evaluated"] == expected["evaluated"] == expected["metrics"]


def test_all_processes_tune_to_the_same_values(one, two):
    expected, *found = (
        json.loads((folder / f"numbers.{process}.json").read_text())["settled"]["target"]
        for folder, process in ((one, 0), (two, 0), (two, 1))
    )
    assert found[0] == found[1]
    assert found[0]["floor"] == pytest.approx(expected["floor"], abs=1e-5)
