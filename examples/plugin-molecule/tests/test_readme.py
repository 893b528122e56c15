"""The README's code runs unchanged."""

import gzip
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
from taskgraft.plugin import InvalidRows, Rows

from plugin_molecule.molecule import parse_smiles

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(code, {})
    assert re.fullmatch(r"\[\{'toxic': 0\.\d+, 'soluble': 0\.\d+\}\]\n", capsys.readouterr().out)


def test_the_recipe_runs_on_the_command_line(tmp_path):
    (text,) = blocks("toml")
    (tmp_path / "solubility.toml").write_text(text)
    target = tomllib.loads(text)["data"]["target"]
    smiles = ["CCO", "CCN", "CC(", "c1ccccc1O", "c1ccncc1", "C1CCCCC1", "CCCC", "O=C1CCCN1", "CCCl", "c1ccc2ccccc2c1"]
    lines = [f"smiles,{target}", *(f"{text},{len(text)}" for text in smiles)]
    with gzip.open(tmp_path / "esol.csv.gz", "wt") as file:
        file.write("\n".join(lines))
    command = [
        sys.executable,
        "-m",
        "taskgraft",
        "fit",
        "solubility.toml",
        "-o",
        "fitted",
        "--set",
        "training.epochs=1",
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "skipped, since 'CC(' is not a SMILES: 1" in run.stdout + run.stderr


def test_the_printed_message_is_the_real_one():
    values = ["CCO", "CC(", "CCN", "C(C)(C)(C)(C)C"]
    rows = Rows(pa.table({"smiles": values}), "some.csv", [2, 3, 4, 5])
    reasons = {row: reason for row, value in enumerate(values) if isinstance(reason := parse_smiles(value), str)}
    assert f"```\n{InvalidRows(rows, reasons)}\n```" in README
