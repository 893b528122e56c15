import json
import shutil

import pytest
import torch
from cut_checks import max_relative_difference, through_cut
from safetensors.torch import load_file, save_file
from tiny_proteins import BLOCKS, HEADS
from transformers import AutoTokenizer, BertModel, EsmModel, T5EncoderModel

import taskgraft as tg
from taskgraft.plugin import Features, Layout, TaskgraftError
from taskgraft_protein.backbone import ProteinBackbone
from taskgraft_protein.checkpoint import describe
from taskgraft_protein.settings import NewEsmConfig, ProteinConfig

pytestmark = pytest.mark.slow

SEQUENCES = ["MKTAYIAKQRQISFVK", "GAVLI", "MSTNPKPQRKTKRNTNRRPQDV", "WYFHC"]
MODELS = {"esm2": EsmModel, "esm1b": EsmModel, "protbert": BertModel, "prott5": T5EncoderModel, "ankh": T5EncoderModel}
FAMILIES = list(MODELS)
ENCLOSED = {"esm2": (1, 1), "esm1b": (1, 1), "protbert": (1, 1), "prott5": (0, 1), "ankh": (0, 1)}
"""Special tokens before and after the residues."""


def build(folder, **settings) -> ProteinBackbone:
    return ProteinBackbone(ProteinConfig(checkpoint=str(folder), **settings)).eval()


def prepare(backbone, sequences=SEQUENCES):
    return backbone.processor.prepare({"sequence": list(sequences)}).batch


def features(backbone, layout, sequences=SEQUENCES) -> Features:
    with torch.no_grad():
        return backbone(prepare(backbone, sequences), layout)


def plain(saved, family, sequence, **more):
    """Run transformers alone on one sequence, written as the authors of the family write it."""
    folder = saved(family)
    model = MODELS[family].from_pretrained(folder, attn_implementation="eager").eval()
    encoded = AutoTokenizer.from_pretrained(folder)(
        sequence if family == "ankh" else " ".join(sequence), return_tensors="pt"
    )
    with torch.no_grad():
        return model(**encoded, **more)


def inner(family, values):
    before, after = ENCLOSED[family]
    return values[before : len(values) - after]


@pytest.mark.parametrize("family", FAMILIES)
def test_sequence_features_are_the_hidden_states_of_the_model_itself_without_special_tokens(saved, family):
    found = features(build(saved(family)), Layout.SEQUENCE)

    assert found.lengths.tolist() == [16, 5, 22, 5]
    for row, sequence in enumerate(SEQUENCES):
        expected = inner(family, plain(saved, family, sequence).last_hidden_state[0])
        assert torch.allclose(found.value[row, : len(sequence)], expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_vector_features_are_the_mean_over_residues(saved, family):
    found = features(build(saved(family)), Layout.VECTOR).value

    for row, sequence in enumerate(SEQUENCES):
        expected = inner(family, plain(saved, family, sequence).last_hidden_state[0]).mean(0)
        assert torch.allclose(found[row], expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_pair_features_are_attention_maps_block_by_block_and_head_by_head(saved, family):
    found = features(build(saved(family)), Layout.PAIR)

    assert found.value.shape == (4, 22, 22, BLOCKS * HEADS)
    for row, sequence in enumerate(SEQUENCES):
        maps = torch.cat(plain(saved, family, sequence, output_attentions=True).attentions, 1)[0]
        expected = inner(family, inner(family, maps.permute(1, 2, 0)).transpose(0, 1)).transpose(0, 1)
        assert torch.allclose(found.value[row, : len(sequence), : len(sequence)], expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", [Layout.VECTOR, Layout.SEQUENCE])
def test_every_cut_resumes_exactly_in_a_longer_batch(saved, family, layout):
    backbone = build(saved(family))
    whole = features(backbone, layout)

    assert backbone.description.cuts == (0, 1, 2)
    for cut in backbone.description.cuts:
        again = through_cut(backbone, cut, prepare(backbone), layout, longer=5)
        if layout == Layout.SEQUENCE:
            again = Features(layout, (again.value[:, : whole.value.shape[1]],), again.lengths)
        assert max_relative_difference(whole, again) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_of_the_tokenizer(saved, family):
    """Every letter; rare ones written as the authors of the family write them."""
    backbone = build(saved(family))
    letters = "ACDEFGHIKLMNPQRSTVWYXUZOB"
    written = letters if family in ("esm2", "esm1b", "ankh") else letters[:-4] + "XXXX"
    encoded = AutoTokenizer.from_pretrained(saved(family))(written if family == "ankh" else " ".join(written))

    assert prepare(backbone, [letters])["residues"][0].tolist() == inner(family, encoded["input_ids"])


def test_pair_features_are_not_cached(saved):
    description = describe(ProteinConfig(checkpoint=str(saved("esm2"))))

    assert description.cuts_for(Layout.PAIR) == (0,)
    assert description.cuts_for(Layout.SEQUENCE) == (0, 1, 2)


def test_attention_maps_do_not_change_the_model(saved):
    backbone = build(saved("esm2"))
    before = features(backbone, Layout.SEQUENCE).value
    features(backbone, Layout.PAIR)

    assert torch.equal(features(backbone, Layout.SEQUENCE).value, before)
    assert backbone.model.config._attn_implementation == "sdpa"


def test_pair_features_are_maps_of_the_kept_blocks_only(saved):
    backbone, whole = build(saved("esm2"), until="block.1"), build(saved("esm2"))

    found = features(backbone, Layout.PAIR).value

    assert found.shape[-1] == 2 * HEADS
    assert torch.allclose(found, features(whole, Layout.PAIR).value[..., : 2 * HEADS], atol=1e-6)


# --- long sequences

LONG = "MKTAYIAKQRQISFVKSHFSRQ"


def test_a_sequence_longer_than_the_limit_is_invalid(saved):
    backbone = build(saved("esm2"), max_length=10)

    assert backbone.processor.prepare({"sequence": [LONG, "GAVLI"]}).invalid == {
        0: 'the sequence has 22 residues, more than the 10 that go through the model at once; set long to "truncate" or '
        '"windows"'
    }


def test_a_truncated_sequence_is_counted(saved):
    backbone = build(saved("esm2"), max_length=10, long="truncate")
    processed = backbone.processor.prepare({"sequence": [LONG, "GAVLI"]})

    assert dict(processed.notes) == {"truncated to 10 residues": 1}
    assert processed.elements == [22, 5]
    assert torch.equal(processed.batch["residues"], prepare(backbone, [LONG[:10], "GAVLI"])["residues"])


@pytest.mark.parametrize("family", ["esm2", "prott5"])
def test_each_residue_has_the_vector_of_the_window_in_which_it_is_furthest_from_an_end(saved, family):
    """Windows of 10 that share 4 start at 0, 6 and 12: residues 6 and 7 are from the first, 8 and 9 from the second."""
    backbone, alone = build(saved(family), max_length=10, long="windows", overlap=4), build(saved(family))

    found = features(backbone, Layout.SEQUENCE, [LONG, "GAVLI"])
    windows = [features(alone, Layout.SEQUENCE, [LONG[start : start + 10]]).value[0] for start in (0, 6, 12)]
    expected = torch.cat([windows[0][:8], windows[1][2:8], windows[2][2:]])

    assert found.lengths.tolist() == [22, 5]
    assert torch.allclose(found.value[0], expected, atol=1e-5)
    assert torch.allclose(found.value[1, :5], features(alone, Layout.SEQUENCE, ["GAVLI"]).value[0], atol=1e-5)


def test_the_last_window_ends_with_the_sequence(saved):
    backbone, alone = build(saved("esm2"), max_length=10, long="windows", overlap=0), build(saved("esm2"))

    found = features(backbone, Layout.SEQUENCE, [LONG[:13]]).value[0]

    last = features(alone, Layout.SEQUENCE, [LONG[3:13]]).value[0]
    assert torch.allclose(found[-3:], last[-3:], atol=1e-5)


def test_the_vector_of_a_sequence_in_windows_is_the_mean_over_its_residues(saved):
    backbone = build(saved("esm2"), max_length=10, long="windows", overlap=4)

    found, residues = (features(backbone, layout, [LONG]).value for layout in (Layout.VECTOR, Layout.SEQUENCE))

    assert torch.allclose(found[0], residues[0].mean(0), atol=1e-6)


def test_windows_have_no_attention_maps(saved):
    description = describe(ProteinConfig(checkpoint=str(saved("esm2")), long="windows"))

    assert [feature.layout for feature in description.features] == [Layout.VECTOR, Layout.SEQUENCE]


@pytest.mark.parametrize(
    ("family", "residues"), [("esm2", 1022), ("esm1b", 1022), ("protbert", 58), ("prott5", 2048), ("ankh", 2048)]
)
def test_the_limit_is_that_of_the_checkpoint_without_special_tokens(saved, family, residues):
    assert build(saved(family)).processor.settings()["residues"] == residues


def test_a_vocabulary_with_more_tokens_than_the_embedding_has_rows_is_an_error(saved, tmp_path):
    folder = shutil.copytree(saved("esm2"), tmp_path / "esm2")
    (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text() + "\n<one>\n<two>")
    with pytest.raises(TaskgraftError) as error:
        describe(ProteinConfig(checkpoint=str(folder)))
    assert str(error.value) == (
        f"The checkpoint '{folder}' cannot be used: its tokenizer gives token numbers up to 34 ('<two>'), but its embedding "
        "has only 33 rows (vocab_size in config.json); use the tokenizer that the weights were trained with, or enlarge the "
        "embedding with model.resize_token_embeddings(35) of transformers and save model and tokenizer together."
    )


def test_max_length_beyond_the_positions_is_an_error_when_describing(saved):
    with pytest.raises(TaskgraftError) as error:
        describe(ProteinConfig(checkpoint=str(saved("protbert")), max_length=59))
    assert str(error.value) == (
        f"The checkpoint '{saved('protbert')}' cannot be used: it has positions for 58 residues, fewer than max_length = 59."
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"overlap": 4}, "'overlap' is for long = \"windows\""),
        ({"overlap": 9, "max_length": 9, "long": "windows"}, "windows of 9 residues cannot share 9"),
    ],
)
def test_invalid_windows_are_rejected(settings, problem):
    with pytest.raises(TaskgraftError) as error:
        tg.compose({"name": "protein", "checkpoint": "any", **settings}, head="regression", strategy="full")
    assert str(error.value) == f"backbone 'protein': {problem}."


# --- checkpoints


def test_a_checkpoint_has_one_fingerprint_in_any_dtype_and_without_its_contact_head(saved, tmp_path):
    folder = shutil.copytree(saved("esm2"), tmp_path / "bare")
    weights = load_file(folder / "model.safetensors")
    assert any("contact_head" in name for name in weights)
    bare = {name: tensor for name, tensor in weights.items() if "contact_head" not in name and "lm_head" not in name}
    save_file(bare, folder / "model.safetensors", {"format": "pt"})

    fingerprints = {
        build(place, dtype=dtype).fingerprint() for place in (saved("esm2"), folder) for dtype in ("fp32", "bf16")
    }

    assert len(fingerprints) == 1


def test_a_changed_vocabulary_or_weight_changes_the_fingerprint(saved, tmp_path):
    fingerprint = build(saved("esm2")).fingerprint()
    other = shutil.copytree(saved("esm2"), tmp_path / "vocabulary")
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text().replace("L\nA", "A\nL"))
    changed = shutil.copytree(saved("esm2"), tmp_path / "weight")
    weights = load_file(changed / "model.safetensors")
    weights["esm.encoder.layer.0.output.dense.weight"][0, 0] += 1e-3
    save_file(weights, changed / "model.safetensors", {"format": "pt"})

    assert len({fingerprint, build(other).fingerprint(), build(changed).fingerprint()}) == 3


def test_an_older_esm_with_frequencies_in_each_block_gives_the_same_features(saved, tmp_path):
    folder = shutil.copytree(saved("esm2"), tmp_path / "older")
    weights = load_file(folder / "model.safetensors")
    (name,) = [name for name in weights if name.endswith("inv_freq")]
    frequencies = weights.pop(name)
    for block in range(BLOCKS):
        weights[f"esm.encoder.layer.{block}.attention.self.rotary_embeddings.inv_freq"] = frequencies.clone()
    weights["esm.embeddings.position_ids"] = torch.arange(1026)[None]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    one, other = features(build(saved("esm2")), Layout.SEQUENCE), features(build(folder), Layout.SEQUENCE)

    assert torch.equal(one.value, other.value)
    assert features(build(folder, until="block.1"), Layout.SEQUENCE).value.isfinite().all()


def test_random_weights_have_no_fingerprint_and_follow_the_seed(saved):
    torch.manual_seed(3)
    first = build(saved("esm2"), weights="random")
    torch.manual_seed(3)
    second = build(saved("esm2"), weights="random")

    assert first.fingerprint() is None
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("family", ["esm2", "esm1b"])
def test_a_new_esm_reads_residues_as_pretrained_ones_do(saved, family):
    assert ProteinBackbone(NewEsmConfig(blocks=1)).processor.settings() == build(saved(family)).processor.settings()


def test_a_new_esm_has_about_eight_million_parameters():
    count = sum(parameter.numel() for parameter in ProteinBackbone(NewEsmConfig()).parameters())

    assert 7_000_000 < count < 8_000_000


def test_each_head_of_a_new_esm_attends_to_its_own_distances():
    torch.manual_seed(0)
    backbone = ProteinBackbone(NewEsmConfig(blocks=1, feature_size=64, heads=4)).eval()
    with torch.no_grad():
        maps = features(backbone, Layout.PAIR, ["A" * 40]).value[0]
    from_the_middle = maps[20] / maps[20].mean(0)

    assert (from_the_middle.std(0) > 0.5).all(), "attention depends on the distance, though all residues are equal"
    assert torch.corrcoef(from_the_middle.T).fill_diagonal_(0).max() < 0.9, "each head differs"


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("family", ["esm2", "prott5"])
def test_weights_can_be_loaded_in_low_precision(saved, family, dtype):
    low, full = (features(build(saved(family), dtype=one), Layout.VECTOR).value.float() for one in (dtype, "fp32"))

    assert (low - full).abs().max() < 0.1 * full.abs().max()


# --- invalid checkpoints


def error_of(folder, **settings) -> str:
    with pytest.raises(TaskgraftError) as error:
        describe(ProteinConfig(checkpoint=str(folder), **settings))
    return str(error.value).replace(str(folder), "HERE")


def test_a_folder_without_a_configuration_is_invalid(tmp_path):
    assert error_of(tmp_path) == (
        "The checkpoint 'HERE' cannot be used: it has no config.json, so it is not a transformers checkpoint."
    )


def test_a_checkpoint_without_a_vocabulary_is_invalid(saved, tmp_path):
    folder = shutil.copytree(saved("esm2"), tmp_path / "bare")
    (folder / "vocab.txt").unlink()

    assert error_of(folder) == (
        "The checkpoint 'HERE' cannot be used: it has no vocabulary (tokenizer.json, vocab.txt, vocab.json, spiece.model, "
        "sentencepiece.bpe.model, tokenizer.model), so sequences cannot be read."
    )


def vocabulary(folder, *, add=(), without=()):
    """Write another vocabulary into a checkpoint of ProtBERT."""
    path = folder / "tokenizer.json"
    settings = json.loads(path.read_text())
    tokens = [token for token in settings["model"]["vocab"] if token not in without] + list(add)
    settings["model"]["vocab"] = {token: number for number, token in enumerate(tokens)}
    path.write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("\n".join(tokens))


def test_a_text_model_is_invalid(saved, tmp_path):
    folder = shutil.copytree(saved("protbert"), tmp_path / "text")
    vocabulary(folder, add=["[unused1]", "the", "of", "parcel", "##s"])

    assert error_of(folder) == (
        "The checkpoint 'HERE' cannot be used: its vocabulary is not one of residues: it contains 'parcel', '##s', 'the' "
        "and 1 more."
    )


def test_a_vocabulary_of_nucleotides_is_invalid(saved, tmp_path):
    folder = shutil.copytree(saved("protbert"), tmp_path / "nucleotides")
    vocabulary(folder, without="DEFHIKLMPQRSVWYX")

    assert error_of(folder) == (
        "The checkpoint 'HERE' cannot be used: its vocabulary is not one of residues: it lacks D, E, F and 13 more."
    )


def test_a_checkpoint_without_weights_is_invalid(saved, tmp_path):
    folder = shutil.copytree(saved("esm2"), tmp_path / "bare")
    (folder / "model.safetensors").unlink()

    with pytest.raises(TaskgraftError) as error:
        build(folder)
    assert str(error.value) == (
        f"The checkpoint '{folder}' cannot be used: it has no weights (model.safetensors or pytorch_model.bin)."
    )


def test_until_without_such_a_part_lists_the_parts(saved):
    assert error_of(saved("esm2"), until="layer.1") == (
        "The setting 'until' names no part of the backbone: 'layer.1'. Parts: block.0, block.1, block.2."
    )
