"""What does not exist is found in the header of the data, before torch is imported."""

import subprocess
import sys

import pytest
from commands import typed
from small_tasks import sentences

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from taskgraft.cli.main import main

try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""

RECIPE = """
backbone = "hf-text:some/checkpoint"
head = "classification"
strategy = "linear-probe"

[data]
train = "train.csv"
split = "fraction:0.2"
inputs = "text"
target = "label"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    rows = sentences(12)
    lines = [f"{text},{label}" for text, label in zip(rows["text"], rows["label"], strict=True)]
    for name, header in (("train", "text,label"), ("wrong", "txt,label"), ("other", "text,lable")):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *lines]))
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.target=lable", "train.csv has no column 'lable'. Did you mean 'label'? Columns: text, label."),
        ("data.inputs=txt", "train.csv has no column 'txt'. Did you mean 'text'? Columns: text, label."),
        ("data.exclude=nix", "data.exclude names 'nix', which train.csv does not have. Columns: text, label."),
        ("data.split=column:part", "train.csv has no column 'part'. Columns: text, label."),
        ("data.train=nowhere.csv", "nowhere.csv: there is no such file."),
    ],
)
def test_fit_finds_it_without_torch(place, setting, message):
    command = [sys.executable, "-c", SCRIPT, "fit", "recipe.toml", "-o", "out", "--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2 False\n", f"Error: {message}\n")


def test_a_validation_file_and_a_test_file_are_looked_into_too(place):
    done = typed("fit", "recipe.toml", "-o", "out", "--set", "data.split=null", "--set", "data.validation=other.csv")
    assert done.err == "Error: other.csv has no column 'label'. Did you mean 'lable'? Columns: text, lable.\n"
    strategies = ("--strategy", "full", "--strategy", "partial:1")
    done = typed("compare", "recipe.toml", *strategies, "--test", "wrong.csv", "-o", "out")
    assert done.err == "Error: wrong.csv has no column 'text'. Did you mean 'txt'? Columns: txt, label.\n"


@pytest.mark.parametrize("form", ["train.tsv", "train.csv.gz", "train.parquet"])
def test_other_files_with_a_header_are_looked_into(place, form):
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    if form.endswith(".tsv"):
        (place / form).write_text("text\tlabel\nwhere\ta\n")
    elif form.endswith(".gz"):
        (place / form).write_bytes(gzip.compress((place / "train.csv").read_bytes()))
    else:
        pq.write_table(pa.table(sentences(4)), place / form)
    done = typed("fit", "recipe.toml", "-o", "out", "--set", f"data.train={form}", "--set", "data.target=lable")
    assert done.err == f"Error: {form} has no column 'lable'. Did you mean 'label'? Columns: text, label.\n"
