"""What chemists expect: molecules are read, told when bad, kept in one form, divided by scaffold, learned and saved."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import taskgraft as tg
import torch
from taskgraft.plugin import ELEMENT_AXIS, InvalidRows, Rows

from plugin_molecule import molecule, scaffold, tokens
from plugin_molecule.processor import POSITIONS, TOKENS, SmilesProcessor
from plugin_molecule.settings import ScaffoldConfig, SmilesTransformerConfig

SMILES = [
    "CCO",
    "CCN",
    "CCCl",
    "CC(C)O",
    "c1ccccc1O",
    "c1ccccc1N",
    "Cc1ccccc1",
    "C1CCCCC1",
    "C1CCCCC1O",
    "c1ccncc1",
    "c1ccc2ccccc2c1",
    "O=C1CCCN1",
]
SMALL = {"name": "smiles-transformer", "blocks": 1, "feature_size": 16, "heads": 2}
BAD = {
    None: "the SMILES is empty",
    " ": "the SMILES is empty",
    7: "the SMILES is 7, not a text",
    "CCO ethanol": "the SMILES 'CCO ethanol' has white space in it; names belong into a column of their own",
    "CC(": "'CC(' is no SMILES",
    "C1CC": "'C1CC' is no SMILES",
    "C(C)(C)(C)(C)C": "'C(C)(C)(C)(C)C' is no molecule (Explicit valence for atom # 0 C, 5, is greater than permitted)",
    "c1cccc1": "'c1cccc1' is no molecule (Can't kekulize mol.  Unkekulized atoms: 0 1 2 3 4)",
}


def processor(smiles=SMILES, **settings) -> SmilesProcessor:
    return SmilesProcessor(tokens.learned(SmilesTransformerConfig(**settings), {"smiles": smiles}))


def prepared(smiles, **settings):
    return processor(**settings).prepare({"smiles": [smiles]})


# --- reading


@pytest.mark.parametrize(("value", "reason"), BAD.items(), ids=map(str, BAD))
def test_what_is_no_molecule_is_refused_with_its_reason(value, reason, capfd):
    assert processor().prepare({"smiles": ["CCO", value]}).invalid == {1: reason}
    assert capfd.readouterr().err == ""


def test_a_molecule_that_is_too_long_is_refused():
    assert prepared("CCCC", max_length=3).invalid == {0: "the molecule has 4 tokens, more than max_length = 3"}


def test_all_bad_rows_of_a_file_are_told_with_their_lines(tmp_path):
    (tmp_path / "some.csv").write_text("smiles,y\nCCO,1\nCC(,2\nCCN,3\nC1CC,4\n")
    model = tg.compose(SMALL, "regression", "linear-probe")
    with pytest.raises(InvalidRows) as caught:
        model.fit(tmp_path / "some.csv", target="y", quiet=True)
    assert str(caught.value) == (
        "some.csv, line 3: 'CC(' is no SMILES.\nsome.csv, line 5: 'C1CC' is no SMILES.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_every_writing_of_a_molecule_gives_the_same_features_in_the_order_of_its_atoms():
    one, other = prepared("OCC"), prepared("CCO")
    assert one.batch[TOKENS].tolist() == [other.batch[TOKENS][0].flip(0).tolist()]
    assert one.batch[POSITIONS].tolist() == [[2, 1, 0]]
    assert other.batch[POSITIONS].tolist() == [[0, 1, 2]]


def test_elements_are_atoms():
    found = prepared("[Na+].[O-]C(=O)c1ccccc1")
    assert found.elements == found.batch.lengths[ELEMENT_AXIS].tolist() == [10]


def test_atoms_that_training_lacked_are_noted_and_read_as_unknown():
    found = prepared("C[Se]C")
    assert found.notes == {"atoms that no training molecule has read as unknown": 1}
    assert found.batch[TOKENS].tolist()[0][1] == tokens.UNKNOWN


def test_a_seed_draws_a_writing_and_the_molecule_stays_what_it_is():
    made = processor(randomised=True)
    aspirin = {"smiles": ["CC(=O)Oc1ccccc1C(=O)O"] * 20}
    varied, again = (made.augment(aspirin, list(range(20))).batch for _ in range(2))
    assert torch.equal(varied[POSITIONS], again[POSITIONS])
    assert len(set(map(tuple, varied[POSITIONS].tolist()))) > 10
    parsed = molecule.read(aspirin["smiles"][0])
    writings = {molecule.drawn(parsed, seed).smiles for seed in range(20)}
    assert {molecule.canonical(molecule.read(smiles)).smiles for smiles in writings} == {aspirin["smiles"][0]}


# --- dividing


def test_no_scaffold_stands_in_two_parts_and_the_commonest_is_learned_from():
    rows = Rows(pa.table({"smiles": SMILES}), "molecules")
    config = ScaffoldConfig(validation=0.2, test=0.1)
    parts = scaffold.by_scaffold(rows, (), config, 0)
    assert parts == {"train": [0, 1, 2, 3, 4, 5, 6, 11], "validation": [7, 8], "test": [9, 10]}
    assert parts == scaffold.by_scaffold(rows, (), config, 1)


def test_rows_that_cannot_be_divided_are_skipped_where_the_user_says_so():
    rows = {"smiles": [*SMILES, "CC("], "y": [float(row) for row in range(13)]}
    model = tg.compose(SMALL, "regression", "linear-probe")
    run = model.fit(rows, split="scaffold:0.25", target="y", on_bad_row="skip", quiet=True)
    assert run.notes == {"skipped, since 'CC(' is no SMILES": 1}
    assert "mean_squared_error" in run.metrics


# --- learning


@pytest.fixture
def file(tmp_path):
    """Molecules with targets of every kind."""
    rows = {
        "smiles": SMILES,
        "toxic": [1, 0, None] * 4,
        "soluble": [None, 1, 0] * 4,
        "kind": ["chain"] * 4 + ["ring"] * 8,
        "y": [float(len(one)) for one in SMILES],
    }
    pq.write_table(pa.table(rows), tmp_path / "some.parquet")
    return tmp_path / "some.parquet"


def test_labels_that_are_not_known_are_not_learned_from_and_the_forest_is_judged_beside(file):
    model = tg.compose(SMALL, "multi-label", "full")
    model.fit(file, target=["toxic", "soluble"], training={"epochs": 1}, quiet=True)
    forest = {"name": "morgan-forest", "trees": 5}
    found = model.evaluate(file, baselines=[forest], resamples=0, quiet=True)
    assert found.baselines["morgan-forest"]["auroc"] > 0.9 > found["auroc"]


def test_numbers_and_categories_have_the_forest_beside_them_too(file):
    for head, target, number in (("classification", "kind", "accuracy"), ("regression", "y", "r2")):
        model = tg.compose(SMALL, head, "linear-probe")
        model.fit(file, target=target, quiet=True)
        found = model.evaluate(file, baselines=[{"name": "morgan-forest", "trees": 20}], resamples=0, quiet=True)
        assert found.baselines["morgan-forest"][number] > 0.7


def test_a_label_per_atom_is_learned():
    def aromatic(smiles):
        return [letter.islower() for letter in smiles if letter.isalpha()]

    some = [smiles for smiles in SMILES if "Cl" not in smiles]
    rows = {"smiles": some, "aromatic": [list(map(str, aromatic(smiles))) for smiles in some]}
    model = tg.compose(SMALL, "element-classification", "linear-probe")
    model.fit(rows, target="aromatic", quiet=True)
    assert model.evaluate(rows, resamples=0, quiet=True)["accuracy"] > 0.95


def test_a_pretrained_artifact_is_the_base_of_a_model_that_saves_and_loads(tmp_path):
    first = tg.compose({**SMALL, "randomised": True}, "masked-elements", "full")
    first.fit({"smiles": SMILES}, training={"epochs": 2}, quiet=True)
    folder = first.save(tmp_path / "pretrained")
    model = tg.compose(f"smiles-transformer:{folder}", "regression", "partial:1")
    rows = {"smiles": SMILES, "y": [float(row) for row in range(12)]}
    model.fit(rows, target="y", training={"epochs": 1}, quiet=True)
    again = tg.load(model.save(tmp_path / "model"))
    assert again.predict(SMILES, quiet=True) == model.predict(SMILES, quiet=True)
    assert len(model.recipe.backbone.settings["vocabulary"]) == len(tokens.PLAIN)


def test_the_plugin_lists_without_torch_and_rdkit():
    code = (
        "import sys, plugin_molecule as p; list(p.taskgraft_backbones()); print({'torch', 'rdkit'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
