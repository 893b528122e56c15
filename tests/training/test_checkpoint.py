"""States of runs that are not what this version writes, with their digests recomputed: each is one sentence."""

import json
import shutil

import pytest
import torch
from flips import fit, interrupted
from safetensors.torch import save_file
from small_tasks import assert_same_bits, weights

from taskgraft.optimization.saved_state import pack_state, unpack_state
from taskgraft.storage.run_directory import DamagedRun, RunDirectoryError
from taskgraft.storage.verified_tensors import read_verified, write_verified

STATE = "state.safetensors"


@pytest.fixture(scope="module")
def interrupted_run(tmp_path_factory):
    """A run that stopped in its second stage, after an epoch."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    interrupted(folder, ("last", 7))
    return folder


@pytest.fixture
def run(interrupted_run, tmp_path):
    return shutil.copytree(interrupted_run, tmp_path / "run")


def values(change):
    def forge(document, tensors):
        change(document["values"])

    return forge


def tensors(change):
    def forge(document, tensors):
        change(tensors)

    return forge


def loop(change):
    return values(lambda values: change(values["descent"]))


def optimizer(change):
    def forge(document, tensors):
        found = document["values"]["descent"]
        named = {name.removeprefix("optimizer."): tensors.pop(name) for name in list(tensors) if "optimizer." in name}
        state = unpack_state(found["optimizer"], named)
        change(state)
        found["optimizer"], named = pack_state(state, "it")
        tensors.update({f"optimizer.{name}": tensor for name, tensor in named.items()})

    return forge


def first(found, start):
    return next(name for name in sorted(found) if name.startswith(start))


FORGERIES = {
    "no tensors": (tensors(lambda found: found.clear()), "the weights lack blocks.1."),
    "no weights": (
        tensors(lambda found: [found.pop(name) for name in list(found) if name.startswith("weights.head.")]),
        "the weights lack head.",
    ),
    "a foreign weight": (
        tensors(lambda found: found.update({"weights.blocks.0.query.weight": torch.zeros(2)})),
        "the weights have the unexpected blocks.0.query.weight",
    ),
    "another shape": (
        tensors(lambda found: found.update({first(found, "weights.head."): torch.zeros(1)})),
        "of the weights, head.",
    ),
    "another dtype": (
        tensors(lambda found: found.update({name: found[name].double() for name in found if "weights" in name})),
        "of the weights, ",
    ),
    "no moments": (
        tensors(lambda found: found.pop("optimizer.1")),
        "its state lacks the tensor 1",
    ),
    "moments of no parameter": (
        tensors(lambda found: found.update({"optimizer.999": torch.zeros(())})),
        "nothing refers to its tensor 999",
    ),
    "a state of no parameter": (
        optimizer(lambda found: found["state"].update({99: found["state"][0]})),
        "the state of the optimizer 'adamw' has parameters that do not exist: 99",
    ),
    "a state without its step": (
        optimizer(lambda found: found["state"][0].pop("step")),
        "of the state of the optimizer 'adamw', 0.step is missing, not torch.float32 ()",
    ),
    "other groups": (
        optimizer(lambda found: found["param_groups"].pop()),
        "the state of the optimizer 'adamw' has other groups of parameters",
    ),
    "a state of nothing": (
        optimizer(lambda found: found.update(state=None)),
        "the state of the optimizer 'adamw' has no states of parameters",
    ),
    "states that are not written as states": (
        loop(lambda found: found.update(optimizer=["set", []])),
        "its state is not written as states are",
    ),
    "the state of a callback": (
        loop(lambda found: found.update(callbacks=[["dict", []]] * 2)),
        "it has the states of 2 callbacks, but the stage has 0",
    ),
    "moments of another shape": (
        tensors(lambda found: found.update({"optimizer.1": torch.zeros(3)})),
        "of the state of the optimizer 'adamw', 0.exp_avg is torch.float32 (3,), not torch.float32 (",
    ),
    "no best weights": (
        tensors(lambda found: [found.pop(name) for name in list(found) if name.startswith("best.")]),
        "the weights of the best epoch lack ",
    ),
    "tensors of an unknown kind": (
        tensors(lambda found: found.update({"momentum.0": torch.zeros(1)})),
        "it has tensors of an unknown kind: momentum",
    ),
    "a missing key": (values(lambda found: found.pop("steps")), "it is invalid at 'steps': field required"),
    "a foreign key": (
        values(lambda found: found.update(epochs=3)),
        "it is invalid at 'epochs': extra inputs are not permitted",
    ),
    "a negative number": (
        values(lambda found: found.update(steps=-1)),
        "it is invalid at 'steps': input should be greater than or equal to 0",
    ),
    "a text for a list": (
        values(lambda found: found.update(finished="none")),
        "it is invalid at 'finished': input should be a valid tuple",
    ),
    "a report without a name": (
        values(lambda found: found["finished"][0].pop("name")),
        "it is invalid at 'finished.0.name': field required",
    ),
    "too many reports": (
        values(lambda found: found.update(finished=found["finished"] * 3)),
        "it has 3 finished stages, but the strategy has 3",
    ),
    "no progress": (
        loop(lambda found: found.pop("progress")),
        "it is invalid at 'descent.progress': field required",
    ),
    "progress with a foreign key": (
        loop(lambda found: found["progress"].update(batch=3)),
        "it is invalid at 'descent.progress.batch': unexpected keyword argument",
    ),
    "losses of other epochs": (
        loop(lambda found: found["progress"].update(losses=[])),
        "it has 0 losses of 2 epochs",
    ),
    "no guard": (loop(lambda found: found.pop("guard")), "it is invalid at 'descent.guard': field required"),
    "a micro-batch of 0": (
        loop(lambda found: found.update(micro_batch=0)),
        "it is invalid at 'descent.micro_batch': input should be greater than 0",
    ),
    "a loss scale": (
        loop(lambda found: found.update(scaler={"scale": 2.0})),
        "its loss scale does not fit the precision",
    ),
    "no values": (lambda document, tensors: document.pop("values"), "it is not a checkpoint of a run"),
    "no size of the metrics": (lambda document, tensors: document.pop("metrics"), "it is not a checkpoint of a run"),
    "a negative size": (lambda document, tensors: document.update(metrics=-4), "it is not a checkpoint of a run"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_state_that_does_not_fit_is_one_sentence(run, name):
    forge, problem = FORGERIES[name]
    document, found = read_verified(run / STATE)
    forge(document, found)
    write_verified(run / STATE, document, found)
    with pytest.raises(DamagedRun) as raised:
        fit(run)
    message = str(raised.value)
    start = f"The run folder {run} cannot be used: its checkpoint is damaged ({problem}"
    assert message[: len(start)] == start
    assert message.endswith("); start again without resume (on the command line: --overwrite instead of --resume).")
    assert "\n" not in message


def test_a_state_of_an_older_format_says_so(run):
    _, found = read_verified(run / STATE)
    header = {"values": {"finished": [], "steps": 0, "seconds": 0.0, "descent": None}, "metrics": 0}
    save_file(found, run / STATE, {"state": json.dumps(header)})
    with pytest.raises(DamagedRun) as raised:
        fit(run)
    assert str(raised.value) == (
        f"The run folder {run} cannot be used: its checkpoint is damaged (it has another format than this version of "
        "taskgraft, which reads format 2); start again without resume (on the command line: --overwrite instead of --resume)."
    )


def test_a_state_that_is_no_regular_file_is_not_taken_for_no_state(run):
    (run / STATE).unlink()
    (run / STATE).mkdir()
    with pytest.raises(RunDirectoryError) as raised:
        fit(run)
    assert "its checkpoint is damaged (it is a folder, not a regular file)" in str(raised.value)


def test_the_state_that_was_not_forged_gives_the_weights_of_an_uninterrupted_fit(run):
    assert_same_bits(weights(fit(run)), weights(fit(None)))
