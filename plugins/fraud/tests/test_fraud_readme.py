"""The code of the plugin's README runs, and the example does from its generator to its last command."""

import re
import runpy
import sys
import tomllib
from pathlib import Path

import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from commands import typed

from taskgraft.plugin import parse_config
from taskgraft_fraud.head_settings import FraudConfig
from taskgraft_fraud.transactions_settings import TransactionsConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
README = (ROOT / "plugins/fraud/README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The generator's transactions, as the example needs them, and a part of them as Parquet."""
    folder = tmp_path_factory.mktemp("data")
    generate = runpy.run_path(str(ROOT / "examples/fraud/generate.py"))
    generate["save"](folder / "runs" / "transactions")
    rows = pyarrow.csv.read_csv(folder / "runs/transactions/train.csv")
    some = rows.filter(pyarrow.compute.is_in(rows["customer"], rows["customer"].unique()[:60]))
    half = len(some) // 2
    pq.write_table(some.slice(0, half), folder / "payments.parquet")
    pq.write_table(some.slice(half), folder / "later.parquet")
    pq.write_table(some.drop_columns(["fraud"]).slice(0, 600), folder / "unlabelled.parquet")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def test_the_python_blocks_run(data, monkeypatch):
    monkeypatch.chdir(data)
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), names)
    assert sorted(path.name for path in (data / "figures").iterdir()) == ["precision_recall.png", "reliability.png"]


def test_every_head_of_the_readme_is_valid():
    block = next(block for block in blocks("toml") if block.startswith('head = {name = "fraud"'))
    heads = re.findall(r"\{name = \"fraud\", [^}]*\}", block)
    assert len(heads) == 4
    for text in heads:
        settings = tomllib.loads(f"head = {text}")["head"]
        settings.pop("name")
        assert isinstance(parse_config(FraudConfig, settings, "head 'fraud'"), FraudConfig)


def test_the_reader_of_the_readme_is_valid():
    block = next(block for block in blocks("toml") if block.startswith("[data.reader]"))
    settings = tomllib.loads(block)["data"]["reader"]
    assert settings.pop("name") == "transactions"
    assert isinstance(parse_config(TransactionsConfig, settings, "reader 'transactions'"), TransactionsConfig)


def test_the_pretraining_recipe_runs_and_its_artifact_is_a_base(data, monkeypatch):
    monkeypatch.chdir(data)
    Path("pretrain.toml").write_text(next(block for block in blocks("toml") if "masked-elements" in block))
    small = ("--set", "backbone.feature_size=16", "--set", "training.epochs=1", "--quiet")
    done = typed("fit", "pretrain.toml", "-o", "runs/pretrained", *small)
    assert (done.code, done.err) == (0, "")
    model = (
        'backbone = "ft-transformer:runs/pretrained"\nhead = "classification"\nstrategy = "linear-probe"\n'
        'data = {train = "payments.parquet", target = "fraud"}\n'
    )
    Path("tuned.toml").write_text(model)
    assert typed("fit", "tuned.toml", "-o", "runs/tuned", "--quiet").code == 0


def test_the_commands_of_the_example_run(data, monkeypatch):
    monkeypatch.chdir(data)
    text = (ROOT / "examples/fraud/README.md").read_text()
    commands = re.findall(r"^taskgraft (.*)$", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["fit", "evaluate", "predict"]
    change = ("--set", "data.train=runs/transactions/train.csv")
    for command in commands:
        words = [*command.split(), "--quiet", *(change if command.startswith("fit") else ())]
        done = typed(*words)
        assert done.code == 0, done.err
    lines = (data / "runs/frauds.csv").read_text().splitlines()
    assert lines[0] == "time,customer,terminal,amount,prediction"
    assert len(lines) == 4_000


def test_the_ten_lines_of_the_example_run_and_find_frauds(data, monkeypatch, capsys):
    monkeypatch.chdir(data)
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples/fraud"), *sys.path])
    runpy.run_path(str(ROOT / "examples/fraud/fit.py"), run_name="__main__")
    printed = capsys.readouterr().out
    average_precision = float(re.search(r"average_precision \(1\)=([\d.]+)", printed)[1])
    assert average_precision > 0.4  # ranking by amount alone gives 0.34
