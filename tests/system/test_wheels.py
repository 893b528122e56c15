"""The built wheels work by themselves: all in one environment, and each alone with the core. None sees our source.

The environment sees the heavy libraries of the one that runs the tests, but nothing of taskgraft there.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.name.replace("-", "_"): path for path in sorted(ROOT.glob("examples/plugin-*"))}
OLD = ROOT / "tests" / "compatibility" / "contract_1_0"
PLUGINS = {f"taskgraft_{path.parent.name}": path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))}
FOLDERS = {**EXAMPLES, "taskgraft": ROOT, **PLUGINS}
"""Each distribution, by the name of its package."""

USES = {
    "taskgraft_text": """
rows = {"text": ["lost card", "late parcel", "my card", "my parcel"], "label": ["card", "parcel", "card", "parcel"]}
model = taskgraft.compose(f"hf-text:{sys.argv[1]}", head="classification", strategy="partial:1")
model.fit(rows, target="label", training={"epochs": 1}, quiet=True)
model.save("artifact")
assert taskgraft.load("artifact").predict(rows["text"], quiet=True) == model.predict(rows["text"], quiet=True)
""",
    "taskgraft_vision": """
from pathlib import Path
from PIL import Image
for row in range(4):
    Path(f"images/{row % 2}").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (250 * (row % 2), 60 * row, 0)).save(f"images/{row % 2}/{row}.png")
backbone = {"name": "timm:test_resnet", "weights": "random", "image_size": 32}
model = taskgraft.compose(backbone, head="classification", strategy="linear-probe")
model.fit("images", target="label", quiet=True)
assert model.predict(["images/1/1.png", "images/0/2.png"], quiet=True) == ["1", "0"]
""",
    "taskgraft_fraud": """
table = {"amount": [1.0, 9.0, 2.0, 8.0] * 4, "shop": ["a", "b"] * 8, "fraud": [0, 1, 0, 1] * 4}
model = taskgraft.compose({"name": "tabm", "members": 2, "feature_size": 8}, {"name": "fraud", "positive": 1}, "full")
model.fit(table, validation=table, target="fraud", training={"epochs": 1}, quiet=True)
assert set(model.predict(table, quiet=True)) <= {0, 1}
""",
    "taskgraft_protein": """
proteins = {"sequence": ["MKVLA", "GGSAAP", "MKKLV", "PGSGA"], "label": ["in", "out", "in", "out"]}
backbone = {"name": "new-esm", "blocks": 1, "feature_size": 8, "heads": 2}
model = taskgraft.compose(backbone, head="classification", strategy="linear-probe")
model.fit(proteins, target="label", quiet=True)
assert set(model.predict(proteins, quiet=True)) <= {"in", "out"}
""",
    "taskgraft_peft": f"""
sys.path.append({str(OLD)!r})
from letters_1_0.model import Letters, LettersConfig
rows = {{"text": ["abc", "bcd", "aab", "dcd"], "label": ["a", "d", "a", "d"]}}
lora = {{"name": "lora", "rank": 2, "roles": ["feed-forward-in"]}}
backbone = Letters(LettersConfig(feature_size=8, letters="abcd"))
model = taskgraft.compose(backbone, head="classification", strategy=lora)
model.fit(rows, target="label", training={{"epochs": 1}}, quiet=True)
assert set(model.predict(rows["text"], quiet=True)) <= {{"a", "d"}}
""",
}
"""What each distribution does when it is alone with the core and what it requires."""

ALONE = """
import json, sys
from pathlib import Path
import taskgraft
for package in map(__import__, sys.argv[2:]):
    folder = Path(package.__file__).parent
    assert folder.is_relative_to(Path(sys.prefix).parent), folder
    assert (folder / "py.typed").is_file(), folder
known = taskgraft.catalog()
assert not known.failures, known.failures
assert not known.remarks, known.remarks
{use}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


@dataclass(frozen=True)
class Place:
    """The wheels, and an environment to try them in.

    Attributes:
        wheels: those that were built.
        python: of an environment in which all are installed.
        bare: of one in which none is; it sees the heavy libraries alone.
        unpacked: a folder for each distribution, with what its wheel holds.
    """

    wheels: list[Path]
    python: Path
    bare: Path
    unpacked: Path

    def path(self, *packages: str) -> dict[str, str]:
        """The environment of processes that see some distributions."""
        return os.environ | {"PYTHONPATH": os.pathsep.join(str(self.unpacked / package) for package in packages)}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder / "wheels")]
    done([*pip, *build, *map(str, FOLDERS.values())])
    wheels = sorted((folder / "wheels").iterdir())
    for wheel in wheels:
        ZipFile(wheel).extractall(folder / "unpacked" / wheel.name.partition("-")[0])
    heavy = folder / "heavy"
    heavy.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("taskgraft", "__editable__.taskgraft", "_taskgraft", *EXAMPLES)):
            (heavy / entry.name).symlink_to(entry)
    pythons = [environment(folder / name, heavy) for name in ("full", "bare")]
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", *map(str, wheels)]
    done([*pip, "--python", str(pythons[0]), *install])
    return Place(wheels, *pythons, folder / "unpacked")


def environment(folder: Path, heavy: Path) -> Path:
    """Create an environment that sees the heavy libraries, and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "heavy.pth").write_text(f"{heavy}\n")
    return folder / "bin" / "python"


def done(command: list[str], **more) -> str:
    """Run a command that must succeed, and return its output."""
    run = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def requires(package: str) -> list[str]:
    """The distributions of this repository that one needs, itself last."""
    project = tomllib.loads((FOLDERS[package] / "pyproject.toml").read_text())["project"]
    named = [re.match(r"[\w-]+", one)[0].replace("-", "_") for one in project["dependencies"]]
    return [*(one for one in FOLDERS if one in named), package]


@pytest.fixture(scope="module")
def alone(place, tmp_path_factory) -> Iterator[dict[str, subprocess.Popen]]:
    """Each distribution at work, in a process of its own, all at once; and the tests of the plugins in examples/."""
    import tiny

    checkpoint = str(tiny.save("bert", tmp_path_factory.mktemp("tiny") / "checkpoint"))
    commands = {package: ["-c", ALONE.format(use=use), checkpoint, *requires(package)] for package, use in USES.items()}
    pytest_alone = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for package, folder in EXAMPLES.items():
        project = ["-c", str(folder / "pyproject.toml"), "--rootdir", str(folder)]
        commands[package] = [*pytest_alone, *project, str(folder / "tests")]
    running = {}
    for package, command in commands.items():
        running[package] = subprocess.Popen(
            [str(place.bare), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path_factory.mktemp(package),
            env=place.path(*requires(package)) | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


def test_each_distribution_builds_one_wheel(place):
    assert [wheel.name.partition("-")[0] for wheel in place.wheels] == sorted(FOLDERS)


def test_all_wheels_together_fit_and_are_found(place, alone):
    """The processes of ``alone`` run in parallel."""
    said = done([sys.executable, "-m", "pip", "--python", str(place.python), "check"], env=place.path())
    assert said == "No broken requirements found.\n"
    command = str(place.python.with_name("taskgraft"))
    assert "No problems found." in done([command, "doctor"], env=place.path())
    listed = json.loads(done([command, "list", "--json"], env=place.path()))
    assert {entry["distribution"].replace("-", "_") for entry in listed} == set(FOLDERS) - {"taskgraft_transformers"}


def test_every_plugin_of_this_repository_is_used_alone():
    plugins = {
        package for package, folder in PLUGINS.items() if "entry-points" in (folder / "pyproject.toml").read_text()
    }
    assert set(USES) == plugins


@pytest.mark.parametrize("package", USES)
def test_alone_with_the_core_it_works_and_imports_nothing_of_the_others(alone, package):
    out, err = alone[package].communicate()
    assert alone[package].returncode == 0, err
    assert set(json.loads(out.splitlines()[-1])) & set(FOLDERS) == {*requires(package)}


@pytest.mark.parametrize("package", EXAMPLES)
def test_a_plugin_of_the_examples_keeps_the_laws_with_the_wheel_of_the_core(alone, package):
    out, err = alone[package].communicate()
    assert alone[package].returncode == 0, out + err
    assert " passed" in out
