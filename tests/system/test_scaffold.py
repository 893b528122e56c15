"""What ``taskgraft new plugin`` writes is installed, listed, linted, typed, tested and used as its author would."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import typed
from planting import garden_in

import taskgraft as tg
from taskgraft.scaffold import KINDS, MAX_NAME_LENGTH

ROOT = Path(__file__).parents[2]
CORE = Path(tg.__file__).parents[1]

HEADS = {
    "classification": {"label": ["small", "large"] * 6},
    "regression": {"weight": [1.0, 7.0, 2.0, 9.0, 1.5, 8.0] * 2},
    "multi-label": {"round": [0, 1, 0, 1, 0, 1] * 2, "red": [1, 1, 0, 0, 1, None] * 2},
}
"""Three heads, with targets for twelve rows."""

STRATEGIES = ("full", "linear-probe", "partial:1", "bitfit", "gradual", "acme-steps:2")
"""Five strategies of the core, and another written plugin."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a plugin of each kind, as the command wrote it."""
    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        done = typed("new", "plugin", f"acme-{kind}s", "--kind", kind, "--output", folder / f"acme-{kind}s")
        assert (done.code, done.err) == (0, "")
    return folder


def run(command, folder, *places):
    """Run a command in a folder, in an environment that sees some folders and what this process sees of the core."""
    seen = [*map(str, places), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, seen)),
        "MYPYPATH": str(CORE),
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "written"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def steps(folder):
    """The commands of the CI file, after the installation."""
    (job,) = yaml.safe_load((folder / ".github/workflows/tests.yml").read_text())["jobs"].values()
    install, *others = [step["run"].split() for step in job["steps"] if "run" in step]
    assert install == ["python", "-m", "pip", "install", "--editable", '".[test]"']
    return others


@pytest.mark.slow
def test_a_written_backbone_installs_and_all_that_its_ci_file_runs_passes(written, tmp_path):
    folder, site = written / "acme-backbones", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "--target", str(site), str(folder)], folder)
    assert [command[0] for command in steps(folder)] == ["ruff", "ruff", "mypy", "pytest", "taskgraft"]
    for command in steps(folder):
        run(command, folder, site)
    assert "acme-backbones 0.1.0" in run(["taskgraft", "list", "backbones"], folder, site)


@pytest.mark.slow
def test_a_written_head_and_a_written_strategy_pass_their_tests_and_their_types(written):
    folders = [written / f"acme-{kind}s" for kind in ("head", "strategy")]
    sources = [folder / "src" for folder in folders]
    for folder, source in zip(folders, sources, strict=True):
        run(["mypy", "src"], folder, source)
    tests = [str(folder / "tests") for folder in folders]
    assert re.search(r"^\d+ passed", run(["pytest", "-q", "-p", "no:cacheprovider", *tests], written, *sources), re.M)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", "acme-models", "Acme.Models_2", "abcdefghijklmnopqrstuvwxyzabcdef"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_written_plugin_is_linted_and_formatted(tmp_path, name, kind):
    assert len(name) <= MAX_NAME_LENGTH
    typed("new", "plugin", name, "--kind", kind, "--output", tmp_path / "written")
    for command in (["ruff", "check", "--no-cache", "."], ["ruff", "format", "--no-cache", "--check", "."]):
        run(command, tmp_path / "written")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_written_plugin_is_listed_and_keeps_its_promises(written, installed, kind):
    assert f"{kind}s" in typed("list").out.partition(f"acme-{kind}s 0.1.0")[0].splitlines()[-1]
    done = typed("doctor", f"acme-{kind}s")
    assert done.code == 0
    assert re.fullmatch(r"\d+ kept, 0 broken, 0 not tried\.", done.out.splitlines()[-1])


@pytest.mark.slow
def test_the_lines_of_a_written_backbones_readme_run(written, installed, capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```$", (written / "acme-backbones/README.md").read_text(), re.M | re.S)
    exec(code, {})
    assert capsys.readouterr().out.strip() in ("['english']", "['french']")


@pytest.fixture
def installed(written, tmp_path):
    """The written plugins are installed beside everything else."""
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        for kind in KINDS:
            plant(garden, written / f"acme-{kind}s")
        yield garden


def plant(garden, folder):
    """Install a written plugin as an installer does: its sources, and what its pyproject.toml says."""
    module = folder.name.replace("-", "_")
    garden.plant(None, folder.name, "0.1.0", entry_points=f"{folder.name} = {module}")
    garden.folder.joinpath(module).symlink_to(folder / "src" / module)
    importlib.invalidate_caches()


# --- starting from a written plugin


NETWORK = """
def layers(config: AcmeNetworkConfig) -> nn.Sequential:
    \"\"\"A network that knows nothing of taskgraft.\"\"\"
    return network(config.feature_size)


def network(size: int) -> nn.Sequential:
    first = nn.Sequential(nn.Linear(2, size), nn.BatchNorm1d(size), nn.GELU())
    second = nn.Sequential(nn.Linear(size, size), nn.LayerNorm(size), nn.GELU())
    return nn.Sequential(first, second, nn.Sequential(nn.Linear(size, size), nn.Tanh()))
"""

PROCESSOR = '''
class AcmeNetworkProcessor(Processor):
    """Two numbers → ``values`` ``(batch, 2)`` float32."""

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        rows = list(zip(inputs["length"], inputs["width"], strict=True))
        invalid = {row: "a number is missing" for row, numbers in enumerate(rows) if None in numbers}
        numbers = [[float(number or 0) for number in row] for row in rows]
        return ProcessedBatch(Batch({"values": torch.tensor(numbers, dtype=torch.float32)}), invalid)

    def settings(self) -> Mapping[str, Any]:
        return {}
'''

EDITS = {
    "src/acme_network/__init__.py": [
        ('(InputField("text"),)', '(InputField("length"), InputField("width"))'),
        (
            '{"text": ["one text", "another one", "short", "the longest text of all of them"]}',
            '{"length": [1.0, -2.0, 0.5, 3.0], "width": [0.0, 1.0, 2.5, -1.0]}',
        ),
    ],
    "src/acme_network/backbone.py": [
        (r"\nclass AcmeNetworkProcessor.*?\n\n\n", f"{PROCESSOR}\n\n"),
        (r"\ndef layers.*", NETWORK),
    ],
}


@pytest.fixture
def network(tmp_path):
    """A plain torch module made a backbone, by editing what was written for one; a strategy is installed beside it."""
    plugins = {"acme-network": "backbone", "acme-steps": "strategy"}
    for name, kind in plugins.items():
        typed("new", "plugin", name, "--kind", kind, "--output", tmp_path / name)
    with garden_in(tmp_path / "gardens" / "garden", alone=False) as garden:
        for name in plugins:
            plant(garden, tmp_path / name)
        for path, edits in EDITS.items():
            file = tmp_path / "acme-network" / path
            text = file.read_text()
            for old, new in edits:
                text, count = (
                    re.subn(old, lambda _, new=new: new, text, flags=re.DOTALL)
                    if old.startswith(r"\n")
                    else (text.replace(old, new), text.count(old))
                )
                assert count == 1, old
            file.write_text(text)
        yield tmp_path / "acme-network"


@pytest.mark.slow
def test_a_plain_torch_module_trains_with_three_heads_and_five_strategies(network):
    """Nothing but the files that were written for the backbone was edited."""
    assert typed("doctor", "acme-network").out.endswith(" 0 broken, 0 not tried.\n")
    sizes = [index / 10 * (-1) ** (index // 2) for index in range(12)]
    rows = {"length": sizes, "width": sizes[::-1]}
    for head, targets in HEADS.items():
        for strategy in STRATEGIES:
            model = tg.compose("acme-network:8", head, strategy)
            model.fit(
                {**rows, **targets},
                inputs={name: name for name in rows},
                target=tuple(targets),
                training={"epochs": 1, "batch_size": 6},
                quiet=True,
            )
            assert len(model.predict(rows, quiet=True)) == 12


# --- what is rejected


def refused(*arguments):
    done = typed("new", "plugin", *arguments)
    assert (done.code, done.out) == (2, "")
    return done.err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "acme models",
            "the name of a distribution has letters and digits, with dots, hyphens and underscores between them",
        ),
        ("-acme", "the name of a distribution has letters and digits, with dots, hyphens and underscores between them"),
        ("", "the name of a distribution has letters and digits, with dots, hyphens and underscores between them"),
        ("a" * 33, "it has 33 characters; 32 are allowed"),
        ("3d-models", "the names of its module and its classes would begin with a digit"),
        ("taskgraft-3d", "the names of its module and its classes would begin with a digit"),
        ("class", "its module would be called 'class', which is a keyword of Python"),
        ("json", "its module would be called 'json', which already exists"),
        ("Taskgraft", "its module would be called 'taskgraft', which already exists"),
    ],
)
def test_an_unusable_name_is_rejected(tmp_path, name, problem):
    found = refused("--kind", "head", "--output", tmp_path / "new", "--", name)
    assert found == f"Error: A plugin cannot be called '{name}': {problem}. A name like 'acme-models' works.\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_rejected(tmp_path):
    found = refused("acme", "--kind", "heads", "--output", tmp_path / "new")
    assert found == (
        "Error: There is no template for the kind 'heads'. Did you mean 'head'? Kinds: backbone, head, strategy.\n"
    )


def test_a_name_that_another_plugin_provides_is_rejected(tmp_path):
    found = refused("taskgraft-full", "--kind", "strategy", "--output", tmp_path / "new")
    assert found == (
        "Error: A plugin 'taskgraft-full' would provide the strategy 'full', which taskgraft 0.1.0 already provides; "
        "the name would be ambiguous. Choose another, such as 'acme-full'.\n"
    )


def test_a_folder_in_use_is_left_unchanged(tmp_path):
    tmp_path.joinpath("kept.txt").write_text("mine")
    assert refused("acme", "--kind", "head", "--output", tmp_path) == (
        f"Error: The plugin cannot be written to {tmp_path}: it is not empty; choose another folder (--output).\n"
    )
    assert refused("acme", "--kind", "head", "--output", tmp_path / "kept.txt") == (
        f"Error: The plugin cannot be written to {tmp_path / 'kept.txt'}: it is a file; "
        "choose another folder (--output).\n"
    )
    assert refused("acme", "--kind", "head", "--output", tmp_path / "no" / "new") == (
        f"Error: The plugin cannot be written to {tmp_path / 'no' / 'new'}: there is no folder {tmp_path / 'no'}.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_an_empty_folder_is_filled_and_json_lists_what_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("acme-models").mkdir()
    done = typed("new", "plugin", "acme-models", "--kind", "backbone", "--json")
    printed = json.loads(done.out)
    files = {path.relative_to("acme-models").as_posix() for path in Path("acme-models").rglob("*") if path.is_file()}
    assert set(printed.pop("files")) == files
    assert printed == {"folder": "acme-models", "module": "acme_models", "axis": "backbone", "name": "acme-models"}
    assert [path.name for path in tmp_path.iterdir()] == ["acme-models"]


def test_the_next_steps_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert typed("new", "plugin", "acme-models", "--kind", "head").out == (
        "Created acme-models: the head 'acme-models' in 8 files. It works as it is; try it:\n\n"
        "  cd acme-models\n"
        '  python -m pip install --editable ".[test]"\n'
        "  pytest\n"
        "  taskgraft doctor acme-models\n\n"
        "README.md says what to change.\n"
    )
