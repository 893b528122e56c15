"""The built wheels work by themselves, in an environment that sees the heavy libraries and not our source."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = {
    "taskgraft": ROOT,
    "taskgraft_transformers": ROOT / "plugins/transformers",
    "taskgraft_text": ROOT / "plugins/text",
    "taskgraft_vision": ROOT / "plugins/vision",
    "taskgraft_fraud": ROOT / "plugins/fraud",
    "taskgraft_protein": ROOT / "plugins/protein",
    "taskgraft_peft": ROOT / "plugins/peft",
}

SCRIPT = """
import sys
from pathlib import Path
import taskgraft, taskgraft_fraud, taskgraft_peft, taskgraft_protein, taskgraft_text, taskgraft_transformers, taskgraft_vision
for package in (taskgraft, taskgraft_fraud, taskgraft_peft, taskgraft_protein, taskgraft_text, taskgraft_transformers,
                taskgraft_vision):
    folder = Path(package.__file__).parent
    assert folder.is_relative_to(sys.prefix), folder
    assert (folder / "py.typed").is_file(), folder
known = taskgraft.catalog()
assert not known.failures, known.failures
assert not known.remarks, known.remarks
print(*sorted({entry.spec.name for entry in known.entries}))
model = taskgraft.compose("hf-text:" + sys.argv[1], head="classification", strategy="partial:1")
rows = {"text": ["lost card", "late parcel", "my card", "my parcel"], "label": ["card", "parcel", "card", "parcel"]}
model.fit(rows, target="label", training={"epochs": 1}, quiet=True)
model.save(sys.argv[2])
assert taskgraft.load(sys.argv[2]).predict(rows["text"], quiet=True) == model.predict(rows["text"], quiet=True)

model = taskgraft.compose("hf-text:" + sys.argv[1], head="classification", strategy="lora:4")
model.fit(rows, target="label", training={"epochs": 1}, quiet=True)
assert set(model.predict(rows["text"], quiet=True)) <= {"card", "parcel"}

from PIL import Image
for row in range(4):
    Path(f"images/{row % 2}").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (250 * (row % 2), 60 * row, 0)).save(f"images/{row % 2}/{row}.png")
backbone = {"name": "timm:test_resnet", "weights": "random", "image_size": 32}
model = taskgraft.compose(backbone, head="classification", strategy="linear-probe")
model.fit("images", target="label", quiet=True)
assert model.predict(["images/1/1.png", "images/0/2.png"], quiet=True) == ["1", "0"]

table = {"amount": [1.0, 9.0, 2.0, 8.0] * 4, "shop": ["a", "b"] * 8, "fraud": [0, 1, 0, 1] * 4}
model = taskgraft.compose({"name": "tabm", "members": 2, "feature_size": 8}, head="fraud", strategy="full")
model.fit(table, validation=table, target="fraud", training={"epochs": 1}, quiet=True)
assert set(model.predict(table, quiet=True)) <= {0, 1}

proteins = {"sequence": ["MKVLA", "GGSAAP", "MKKLV", "PGSGA"], "label": ["in", "out", "in", "out"]}
backbone = {"name": "new-esm", "blocks": 1, "feature_size": 8, "heads": 2}
model = taskgraft.compose(backbone, head="classification", strategy="linear-probe")
model.fit(proteins, target="label", quiet=True)
assert set(model.predict(proteins, quiet=True)) <= {"in", "out"}
"""


NAMES = """
adalora classification column contact-map contacts csv customer dataset-folder dora element-classification entities fasta
fraction fraud ft-transformer full gradient-boosting hf-text hf-vision hub ia3 image-folder json-lines linear-probe
logistic-regression lora majority masked-elements mean mlp-plr multi-label new-esm one-hot-ridge one-hot-window parquet partial
prefix-tuning prompt-tuning protein random-forest regression residue-labels rslora segmentation sequence-identity tabm
tabular-resnet time timm transactions vera
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(folder),
    ]
    subprocess.run([*build, *map(str, DISTRIBUTIONS.values())], check=True, capture_output=True, text=True)
    return sorted(folder.iterdir())


def test_each_distribution_builds_one_wheel(wheels):
    assert [wheel.name.partition("-")[0] for wheel in wheels] == sorted(DISTRIBUTIONS)


def test_the_wheels_alone_find_each_other_train_save_and_load(wheels, tmp_path):
    import tiny

    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, *map(str, wheels)], check=True, capture_output=True, text=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "heavy.pth").write_text(sysconfig.get_path("purelib") + "\n")
    checkpoint = tiny.save("bert", tmp_path / "checkpoint")

    run = subprocess.run(
        [str(python), "-c", SCRIPT, str(checkpoint), str(tmp_path / "artifact")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == NAMES.split()
