"""The synthetic proteins of the example are as its README says, and its commands run."""

import re
import runpy
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from commands import typed

from taskgraft.plugin import parse_config
from taskgraft_protein.data_settings import FastaConfig, SequenceIdentityConfig
from taskgraft_protein.fasta import read_fasta
from taskgraft_protein.sequence_identity import split_by_identity

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "examples" / "proteins"
FILES = ("train.fasta", "train.labels.fasta", "test.fasta", "test.labels.fasta")


@pytest.fixture
def generate(monkeypatch):
    """The module that generates proteins."""
    monkeypatch.syspath_prepend(EXAMPLE)
    import generate

    yield generate
    del sys.modules["generate"]


@pytest.fixture
def parts():
    """Rows of train.fasta and of test.fasta, as the recipe's reader gives them."""
    settings = tomllib.loads((EXAMPLE / "recipe.toml").read_text())["data"]["reader"]
    config = parse_config(
        FastaConfig, {key: value for key, value in settings.items() if key != "name"}, "reader 'fasta'"
    )
    return [read_fasta(EXAMPLE / name, config) for name in ("train.fasta", "test.fasta")]


def test_the_files_are_what_the_generator_writes(generate, tmp_path):
    folder = generate.save(tmp_path)
    assert [name for name in FILES if (folder / name).read_bytes() != (EXAMPLE / name).read_bytes()] == []
    other = generate.save(tmp_path / "other", seed=1)
    assert [name for name in FILES if (other / name).read_bytes() == (EXAMPLE / name).read_bytes()] == []


def test_classes_are_balanced_and_each_residue_has_a_label(parts):
    for rows, count in zip(parts, (90, 30), strict=True):
        assert (rows.invalid, rows.notes) == ({}, {})
        assert Counter(rows.values("label")) == dict.fromkeys(("alpha", "beta", "mixed"), count)
        pairs = zip(rows.values("sequence"), rows.values("labels"), strict=True)
        assert all(len(sequence) == len(labels) for sequence, labels in pairs)


def test_a_class_has_the_structure_of_its_name(parts):
    states = {"alpha": {"C", "H"}, "beta": {"C", "E"}, "mixed": {"C", "E", "H"}}
    for rows in parts:
        for kind, labels in zip(rows.values("label"), rows.values("labels"), strict=True):
            assert set(labels) == states[kind]


def test_hydrophobic_residues_follow_the_period_of_helices_and_strands(parts):
    rows, _ = parts
    hydrophobic = {"H": [], "E": []}
    for sequence, labels in zip(rows.values("sequence"), rows.values("labels"), strict=True):
        for state, flags in hydrophobic.items():
            start = "".join(labels).find(state)
            if start >= 0:
                flags.append([letter in "LMIVFYW" for letter in sequence[start : start + 5]])
    helix, strand = np.mean(hydrophobic["H"], 0), np.mean(hydrophobic["E"], 0)
    assert helix[[0, 3, 4]].min() > 0.45 > 0.3 > helix[[1, 2]].max()
    assert strand[[0, 2, 4]].min() > 0.6 > 0.4 > strand[[1, 3]].max()


def test_the_split_of_the_recipe_keeps_families_together(parts):
    rows, _ = parts
    families = [name[:-1] for name in rows.values("id")]
    split = split_by_identity(rows, ("label",), SequenceIdentityConfig(validation=0.2), 0)
    assert {families[row] for row in split["train"]} & {families[row] for row in split["validation"]} == set()
    assert len(split["validation"]) == 54


def test_the_commands_of_the_readme_run(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(EXAMPLE.parent)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^taskgraft (.*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["fit", "evaluate", "predict", "fit", "evaluate"]
    for command in commands:
        quicker = ("--set", "training.epochs=2") if command.startswith("fit") else ()
        done = typed(*command.split(), *quicker, "--quiet")
        assert done.code == 0, done.err
    assert len((tmp_path / "runs/classes.csv").read_text().splitlines()) == 91


def test_the_ten_lines_run_and_classify_well(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(EXAMPLE.parent)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE / "fit.py"), run_name="__main__")
    assert float(re.search(r"accuracy=([\d.]+)", capsys.readouterr().out)[1]) > 0.9
