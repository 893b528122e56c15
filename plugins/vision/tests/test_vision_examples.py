"""The examples on images run, and the network of one of them passes the conformance kit."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import typed
from safetensors.torch import load_file, save_file
from sample_images import encoded_images, randomize_weights

import taskgraft as tg
from taskgraft.plugin import MissingTensors
from taskgraft.testing import BackboneLaws

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[3] / "examples"
DATA = Path(os.environ.get("TASKGRAFT_DATA", EXAMPLES.parents[1] / "shared" / "data"))


@pytest.fixture(autouse=True)
def example_folder(monkeypatch, tmp_path, request):
    """Make the modules of an example importable, and run it in an empty folder."""
    name = "foreign" if "oreign" in request.node.nodeid else "digits"
    monkeypatch.syspath_prepend(EXAMPLES / name)
    monkeypatch.chdir(tmp_path)
    yield
    for module in ("resnet", "save"):
        sys.modules.pop(module, None)


def foreign(**settings):
    from resnet import CifarResNet

    return CifarResNet(**settings)


class TestForeign(BackboneLaws):
    @pytest.fixture
    def backbone(self):
        return randomize_weights(foreign(depth=8))

    @pytest.fixture
    def inputs(self):
        return {"image": encoded_images()}


def test_a_foreign_network_saves_and_loads_as_an_object(tmp_path):
    save_file(randomize_weights(foreign(depth=8)).state_dict(), tmp_path / "weights.safetensors")
    rows = {"image": encoded_images(8), "label": ["a", "b"] * 4}
    model = tg.compose(foreign(weights="weights.safetensors", depth=8), "classification", "partial:1")
    model.fit(rows, target="label", training={"epochs": 1}, quiet=True)
    model.save("artifact")
    again = tg.load("artifact", backbone=foreign(weights="weights.safetensors", depth=8))

    assert again.predict_proba(rows["image"], quiet=True) == model.predict_proba(rows["image"], quiet=True)


def test_a_foreign_checkpoint_without_a_tensor_is_an_error(tmp_path):
    tensors = foreign(depth=8).state_dict()
    del tensors["layer2.0.bn1.running_mean"]
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(MissingTensors) as caught:
        foreign(weights="weights.safetensors", depth=8)
    assert caught.value.missing == ("layer2.0.bn1.running_mean",)


def test_the_foreign_checkpoint_nearly_reaches_its_benchmark_on_fewer_rows():
    import pyarrow.parquet as pq

    weights = DATA / "weights/resnet_cifar10/resnet20.safetensors"
    if not weights.is_file():
        pytest.skip("TASKGRAFT_DATA names no folder with these weights")
    assert set(foreign().state_dict()) - set(load_file(weights)) == {
        name for name in foreign().state_dict() if name.endswith("num_batches_tracked")
    }
    train, test = (pq.read_table(DATA / f"vision/cifar10_jpeg/{part}.parquet") for part in ("train", "test"))
    model = tg.compose(foreign(weights=weights), "classification", "linear-probe")
    model.fit(train.slice(0, 50_000).take(list(range(0, 50_000, 50))), inputs="image", target="label_name", quiet=True)

    assert model.evaluate(test.take(list(range(0, 10_000, 10))), resamples=0, quiet=True)["accuracy"] >= 0.79


def test_digits_are_classified_from_folders(capsys):
    runpy.run_path(str(EXAMPLES / "digits" / "fit.py"))
    out = capsys.readouterr().out
    accuracy = re.search(r"accuracy=([\d.]+)", out)[1]

    assert float(accuracy) >= 0.97
    assert re.findall(r"test/(\d)/\d+\.png +(\d)$", out, re.MULTILINE) == [(digit, digit) for digit in "02479"]


def test_the_commands_of_the_digits_readme_run(tmp_path):
    shutil.copytree(EXAMPLES / "digits", tmp_path / "examples" / "digits")
    (commands,) = re.findall(r"^```sh\n(.*?)^```", (EXAMPLES / "digits" / "README.md").read_text(), re.M | re.S)
    save, *others = commands.splitlines()
    subprocess.run([sys.executable, *save.split()[1:]], check=True)

    for command in others:
        words = command.split()[1:]
        done = typed(*words, "--quiet", *(["--json"] if words[0] == "evaluate" else []))
        assert (done.code, done.err) == (0, ""), command

    assert json.loads(done.out)["metrics"]["accuracy"]["value"] >= 0.97


@pytest.mark.parametrize("available", [True, False])
def test_the_demo_uses_real_weights_if_they_are_available(monkeypatch, capsys, tmp_path, available):
    if available and not (DATA / "weights/mobilenetv1_imagenet_trunc").is_dir():
        pytest.skip("TASKGRAFT_DATA names no folder with these weights")
    monkeypatch.setenv("TASKGRAFT_DATA", str(DATA if available else tmp_path))
    runpy.run_path(str(EXAMPLES / "digits" / "demo.py"), run_name="__main__")
    out = capsys.readouterr().out
    accuracies = {name: float(accuracy) for name, accuracy in re.findall(r"│ (\S.*?\S) +│ +([01]\.\d+) │", out)}

    skipped = (
        "Skipped: MobileNet, ImageNet weights, linear-probe. Set TASKGRAFT_DATA to the folder that contains "
        "weights/mobilenetv1_imagenet_trunc/mobilenetv1_100_to_block4_0.safetensors."
    )
    assert accuracies.pop("test_resnet, random weights, full") >= 0.97
    assert (skipped in " ".join(out.split())) is not available
    assert accuracies.keys() == ({"MobileNet, ImageNet weights, linear-probe"} if available else set())
    assert all(accuracy >= 0.9 for accuracy in accuracies.values())
    assert re.search(r"^ {2}0/\d+\.png +is classified as 0$", out, re.MULTILINE)
