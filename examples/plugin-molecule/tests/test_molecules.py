"""Molecules are parsed, reported if invalid, tokenized in canonical form, split by scaffold, fitted and saved."""

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
INVALID = {
    None: "the SMILES is empty",
    " ": "the SMILES is empty",
    7: "the SMILES is 7, not a text",
    "CCO ethanol": "the SMILES 'CCO ethanol' contains white space; put names in another column",
    "CC(": "'CC(' is not a SMILES",
    "C1CC": "'C1CC' is not a SMILES",
    "C(C)(C)(C)(C)C": "'C(C)(C)(C)(C)C' is not a molecule (Explicit valence for atom # 0 C, 5, is greater than permitted)",
    "c1cccc1": "'c1cccc1' is not a molecule (Can't kekulize mol.  Unkekulized atoms: 0 1 2 3 4)",
}


def processor(smiles=SMILES, **settings) -> SmilesProcessor:
    return SmilesProcessor(tokens.fit_config(SmilesTransformerConfig(**settings), {"smiles": smiles}))


def process(smiles, **settings):
    return processor(**settings).prepare({"smiles": [smiles]})


# --- parsing


@pytest.mark.parametrize(("value", "reason"), INVALID.items(), ids=map(str, INVALID))
def test_an_invalid_molecule_has_a_reason(value, reason, capfd):
    assert processor().prepare({"smiles": ["CCO", value]}).invalid == {1: reason}
    assert capfd.readouterr().err == ""


def test_a_molecule_that_is_too_long_is_invalid():
    assert process("CCCC", max_length=3).invalid == {0: "the molecule has 4 tokens, more than max_length = 3"}


def test_all_invalid_rows_of_a_file_are_reported_with_their_lines(tmp_path):
    (tmp_path / "some.csv").write_text("smiles,y\nCCO,1\nCC(,2\nCCN,3\nC1CC,4\n")
    model = tg.compose(SMALL, "regression", "linear-probe")
    with pytest.raises(InvalidRows) as caught:
        model.fit(tmp_path / "some.csv", target="y", quiet=True)
    assert str(caught.value) == (
        "some.csv, line 3: 'CC(' is not a SMILES.\nsome.csv, line 5: 'C1CC' is not a SMILES.\n"
        'Fix these rows, or drop them with data.on_bad_row = "skip".'
    )


def test_every_smiles_of_a_molecule_gives_the_same_tokens_in_the_order_of_its_atoms():
    first, second = process("OCC"), process("CCO")
    assert first.batch[TOKENS].tolist() == [second.batch[TOKENS][0].flip(0).tolist()]
    assert first.batch[POSITIONS].tolist() == [[2, 1, 0]]
    assert second.batch[POSITIONS].tolist() == [[0, 1, 2]]


def test_elements_are_atoms():
    processed = process("[Na+].[O-]C(=O)c1ccccc1")
    assert processed.elements == processed.batch.lengths[ELEMENT_AXIS].tolist() == [10]


def test_atoms_not_in_training_are_unknown_with_a_note():
    processed = process("C[Se]C")
    assert processed.notes == {"atoms not in the training molecules treated as unknown": 1}
    assert processed.batch[TOKENS].tolist()[0][1] == tokens.UNKNOWN


def test_a_seed_determines_a_random_smiles_of_the_same_molecule():
    randomised = processor(randomised=True)
    aspirin = {"smiles": ["CC(=O)Oc1ccccc1C(=O)O"] * 20}
    augmented, again = (randomised.augment(aspirin, list(range(20))).batch for _ in range(2))
    assert torch.equal(augmented[POSITIONS], again[POSITIONS])
    assert len(set(map(tuple, augmented[POSITIONS].tolist()))) > 10
    parsed = molecule.parse_smiles(aspirin["smiles"][0])
    random = {molecule.random_smiles(parsed, seed).smiles for seed in range(20)}
    assert {molecule.canonical_smiles(molecule.parse_smiles(smiles)).smiles for smiles in random} == {
        aspirin["smiles"][0]
    }


# --- splitting


def test_no_scaffold_is_in_two_parts_and_the_most_common_is_in_training():
    rows = Rows(pa.table({"smiles": SMILES}), "molecules")
    config = ScaffoldConfig(validation=0.2, test=0.1)
    parts = scaffold.split_by_scaffold(rows, (), config, 0)
    assert parts == {"train": [0, 1, 2, 3, 4, 5, 6, 11], "validation": [7, 8], "test": [9, 10]}
    assert parts == scaffold.split_by_scaffold(rows, (), config, 1)


def test_rows_that_cannot_be_split_are_skipped_on_request():
    rows = {"smiles": [*SMILES, "CC("], "y": [float(row) for row in range(13)]}
    model = tg.compose(SMALL, "regression", "linear-probe")
    run = model.fit(rows, split="scaffold:0.25", target="y", on_bad_row="skip", quiet=True)
    assert run.notes == {"skipped, since 'CC(' is not a SMILES": 1}
    assert "mean_squared_error" in run.metrics


# --- training


@pytest.fixture
def file(tmp_path):
    """Molecules with targets of every kind."""
    rows = {
        "smiles": SMILES,
        "toxic": [1, 0, None] * 4,
        "soluble": [None, 1, 0] * 4,
        "kind": ["chain"] * 4 + ["ring"] * 8,
        "y": [float(len(smiles)) for smiles in SMILES],
    }
    pq.write_table(pa.table(rows), tmp_path / "some.parquet")
    return tmp_path / "some.parquet"


def test_unknown_labels_are_ignored_and_the_forest_is_evaluated_too(file):
    model = tg.compose(SMALL, "multi-label", "full")
    model.fit(file, target=["toxic", "soluble"], training={"epochs": 1}, quiet=True)
    forest = {"name": "morgan-forest", "trees": 5}
    evaluation = model.evaluate(file, baselines=[forest], resamples=0, quiet=True)
    assert evaluation.baselines["morgan-forest"]["auroc"] > 0.9 > evaluation["auroc"]


def test_the_forest_supports_numbers_and_categories_too(file):
    for head, target, metric in (("classification", "kind", "accuracy"), ("regression", "y", "r2")):
        model = tg.compose(SMALL, head, "linear-probe")
        model.fit(file, target=target, quiet=True)
        evaluation = model.evaluate(file, baselines=[{"name": "morgan-forest", "trees": 20}], resamples=0, quiet=True)
        assert evaluation.baselines["morgan-forest"][metric] > 0.7


def test_a_label_per_atom_is_learned():
    def aromatic(smiles):
        return [letter.islower() for letter in smiles if letter.isalpha()]

    smiles_list = [smiles for smiles in SMILES if "Cl" not in smiles]
    rows = {"smiles": smiles_list, "aromatic": [list(map(str, aromatic(smiles))) for smiles in smiles_list]}
    model = tg.compose(SMALL, "element-classification", "linear-probe")
    model.fit(rows, target="aromatic", quiet=True)
    assert model.evaluate(rows, resamples=0, quiet=True)["accuracy"] > 0.95


def test_a_pretrained_artifact_is_the_base_of_another_model(tmp_path):
    first = tg.compose({**SMALL, "randomised": True}, "masked-elements", "full")
    first.fit({"smiles": SMILES}, training={"epochs": 2}, quiet=True)
    folder = first.save(tmp_path / "pretrained")
    model = tg.compose(f"smiles-transformer:{folder}", "regression", "partial:1")
    rows = {"smiles": SMILES, "y": [float(row) for row in range(12)]}
    model.fit(rows, target="y", training={"epochs": 1}, quiet=True)
    again = tg.load(model.save(tmp_path / "model"))
    assert again.predict(SMILES, quiet=True) == model.predict(SMILES, quiet=True)
    assert len(model.recipe.backbone.settings["vocabulary"]) == len(tokens.BASE_VOCABULARY)


def test_listing_imports_neither_torch_nor_rdkit():
    code = (
        "import sys, plugin_molecule as p; list(p.taskgraft_backbones()); print({'torch', 'rdkit'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
