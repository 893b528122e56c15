import json
import shutil

import pytest
import tiny
import torch
from cut_checks import UnreliableBackbone, check_features, max_relative_difference, through_cut
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

import taskgraft as tg
from taskgraft.plugin import Features, LayerRole, Layout, Stage, Strategy, TaskgraftError, Unfreeze
from taskgraft_text.backbone import TextBackbone
from taskgraft_text.checkpoint import describe
from taskgraft_text.settings import TextConfig

pytestmark = pytest.mark.slow

TEXTS = ("where is my parcel please?", "help", "the card is lost, my money is late late late", "lost card")
OTHERS = ("late", "the parcel, help", "money", "where is my card?")

RESUMABLE = [
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "mpnet",
    "deberta-v3",
    "modernbert",
    "gpt2",
    "qwen2",
    "llama",
    "t5",
]
"""Families whose blocks pass on one tensor, or more that depend only on the length of the inputs."""

WHOLE_ONLY = ["albert", "xlm", "deberta-v2-convolution"]
"""Families whose blocks pass on more, or that have no single list of blocks."""


def build(folder, **settings) -> TextBackbone:
    return TextBackbone(TextConfig(checkpoint=str(folder), **settings)).eval()


def prepare(backbone, texts=TEXTS, others=None):
    columns = {"text": list(texts)} | ({} if others is None else {"text_pair": list(others)})
    return backbone.processor.prepare(columns).batch


def crop(features: Features, like: Features) -> Features:
    return Features(features.layout, (features.value[:, : like.value.shape[1]],), features.lengths)


@pytest.mark.slow
@pytest.mark.parametrize("family", RESUMABLE + WHOLE_ONLY)
def test_features_are_the_hidden_states_of_the_model_itself(saved, family):
    folder = saved(family)
    backbone = build(folder)
    text = TEXTS[2]
    ids = backbone.processor.prepare({"text": [text]}).batch["ids"]
    plain = type(backbone.model).from_pretrained(folder).eval()

    with torch.no_grad():
        expected = plain(input_ids=ids).last_hidden_state
        actual = backbone(prepare(backbone), Layout.SEQUENCE).value[2:3, : ids.shape[1]]

    assert torch.allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("family", RESUMABLE)
def test_every_cut_resumes_exactly_in_a_longer_batch(saved, family):
    backbone = build(saved(family))
    batch = prepare(backbone)
    with torch.no_grad():
        whole = backbone(batch, Layout.SEQUENCE)

    assert backbone.description.cuts == (0, 1, 2)
    for cut in backbone.description.cuts:
        again = through_cut(backbone, cut, batch, Layout.SEQUENCE, longer=5)
        assert max_relative_difference(whole, crop(again, whole)) < 1e-5


@pytest.mark.parametrize("family", WHOLE_ONLY)
def test_a_model_whose_blocks_pass_on_more_has_only_the_first_cut(saved, family):
    assert describe(TextConfig(checkpoint=str(saved(family)))).cuts == (0,)


def test_a_cut_that_would_be_silently_wrong_is_caught_on_the_first_batch(saved):
    """DeBERTa-v2 runs a convolution between its blocks, so its description has no cut 1."""
    backbone = build(saved("deberta-v2-convolution"))

    with pytest.warns(UnreliableBackbone) as warnings:
        verified = check_features(backbone, prepare(backbone), Layout.VECTOR, (1,))

    assert verified.cuts == ()
    assert str(warnings[0].message) == (
        "TextBackbone: features resumed from cut 1 differ from a whole pass, so nothing will be cached there."
    )


@pytest.mark.parametrize("family", RESUMABLE + WHOLE_ONLY)
def test_parts_own_every_tensor_once(saved, family):
    backbone = build(saved(family))
    parts = backbone.description.parts
    named = [name for name, _ in [*backbone.named_parameters(), *backbone.named_buffers()]]

    assert {name: sum(part.covers(name) for part in parts) for name in named} == dict.fromkeys(named, 1)


@pytest.mark.parametrize("family", RESUMABLE)
def test_blocks_have_roles(saved, family):
    roles = set(describe(TextConfig(checkpoint=str(saved(family)))).parts[0].roles.values())

    assert {LayerRole.ATTENTION_OUTPUT, LayerRole.FEED_FORWARD_IN, LayerRole.FEED_FORWARD_OUT} <= roles
    assert LayerRole.FUSED in roles or {LayerRole.QUERY, LayerRole.KEY, LayerRole.VALUE} <= roles


@pytest.mark.parametrize(("family", "last"), [("gpt2", "ln_f"), ("llama", "norm"), ("modernbert", "final_norm")])
def test_a_final_norm_belongs_to_the_last_block(saved, family, last):
    parts = describe(TextConfig(checkpoint=str(saved(family)))).parts

    assert parts[-1].covers(f"model.{last}.weight")
    assert any(path.endswith("2") for path in parts[-1].owns)


@pytest.mark.parametrize("family", ["bert", "gpt2", "deberta-v3", "modernbert"])
def test_until_gives_the_hidden_states_of_an_earlier_block(saved, family):
    folder = saved(family)
    backbone = build(folder, until="block.1")
    ids = backbone.processor.prepare({"text": [TEXTS[0]]}).batch["ids"]
    plain = AutoModel.from_pretrained(folder).eval()

    with torch.no_grad():
        expected = plain(input_ids=ids, output_hidden_states=True).hidden_states[2]
        actual = backbone(prepare(backbone, [TEXTS[0]]), Layout.SEQUENCE).value

    assert torch.allclose(actual, expected, atol=1e-5)
    assert [part.name for part in backbone.description.parts] == ["block.0", "block.1"]
    assert not any(".2." in name for name in backbone.state_dict())


def test_until_needs_no_later_block_in_the_checkpoint(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "short")
    weights = load_file(folder / "model.safetensors")
    remaining = {name: tensor for name, tensor in weights.items() if ".layer.2." not in name}
    save_file(remaining, folder / "model.safetensors", {"format": "pt"})

    whole, short = build(saved("bert"), until="block.1"), build(folder, until="block.1")

    assert whole.fingerprint() != build(saved("bert")).fingerprint()
    assert torch.equal(short(prepare(short), Layout.VECTOR).value, whole(prepare(whole), Layout.VECTOR).value)
    with pytest.raises(TaskgraftError) as error:
        build(folder)
    assert str(error.value) == (
        f"The checkpoint '{folder}' lacks 16 tensors that the features use: encoder.layer.2.attention.output.LayerNorm.bias, "
        "encoder.layer.2.attention.output.LayerNorm.weight, encoder.layer.2.attention.output.dense.bias and 13 more.\n"
        "They would be initialized at random, so choose a complete checkpoint."
    )


def test_until_without_such_a_part_lists_the_parts(saved):
    with pytest.raises(TaskgraftError) as error:
        describe(TextConfig(checkpoint=str(saved("bert")), until="layer.1"))
    assert str(error.value) == (
        "The setting 'until' names no part of the backbone: 'layer.1'. Parts: block.0, block.1, block.2."
    )


def test_one_checkpoint_has_one_fingerprint_in_any_dtype_and_without_its_pooler(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "bare")
    weights = load_file(folder / "model.safetensors")
    assert any(name.startswith("pooler.") for name in weights)
    bare = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler.")}
    save_file(bare, folder / "model.safetensors", {"format": "pt"})

    fingerprints = {
        build(place, dtype=dtype).fingerprint() for place in (saved("bert"), folder) for dtype in ("fp32", "bf16")
    }

    assert len(fingerprints) == 1


def test_a_changed_tokenizer_file_or_weight_changes_the_fingerprint(saved, tmp_path):
    fingerprint = build(saved("bert")).fingerprint()
    other = shutil.copytree(saved("bert"), tmp_path / "tokenizer")
    settings = json.loads((other / "tokenizer.json").read_text())
    settings["normalizer"]["lowercase"] = False
    (other / "tokenizer.json").write_text(json.dumps(settings))
    changed = shutil.copytree(saved("bert"), tmp_path / "weight")
    weights = load_file(changed / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] += 1e-3
    save_file(weights, changed / "model.safetensors", {"format": "pt"})

    assert len({fingerprint, build(other).fingerprint(), build(changed).fingerprint()}) == 3


def test_random_weights_have_no_fingerprint_and_follow_the_seed(saved):
    torch.manual_seed(3)
    first = build(saved("bert"), weights="random")
    torch.manual_seed(3)
    second = build(saved("bert"), weights="random")

    assert first.fingerprint() is None
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    assert describe(TextConfig(checkpoint=str(saved("bert")), weights="random")) == first.description


def test_composing_never_reads_weights(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "trap")
    (folder / "model.safetensors").write_bytes(b"raises when it is read")

    model = tg.compose(f"hf-text:{folder}", head="classification", strategy="linear-probe")

    assert model.composition.backbone_description.parts[-1].name == "block.2"
    with pytest.raises(TaskgraftError) as error:
        model.fit({"text": list(TEXTS), "label": ["a", "b", "a", "b"]}, target="label", quiet=True)
    assert str(error.value).startswith(f"The checkpoint '{folder}' cannot be used: ")


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", lambda hidden: hidden.mean(0)),
        ("cls", lambda hidden: hidden[0]),
        ("last", lambda hidden: hidden[-1]),
        ("max", lambda hidden: hidden.amax(0)),
    ],
)
def test_pooling_ignores_padding(saved, pooling, expected):
    backbone = build(saved("bert"), pooling=pooling)
    batch = prepare(backbone)
    with torch.no_grad():
        pooled, sequence = backbone(batch, Layout.VECTOR).value, backbone(batch, Layout.SEQUENCE)

    for row, length in enumerate(sequence.lengths.tolist()):
        assert torch.allclose(pooled[row], expected(sequence.value[row, :length]), atol=1e-6)


def test_a_decoder_pools_the_last_token_and_an_encoder_the_mean(saved):
    assert {
        family: str(build(saved(family))._info.pooling) for family in ("bert", "modernbert", "gpt2", "llama", "qwen2")
    } == {
        "bert": "mean",
        "modernbert": "cls",
        "gpt2": "last",
        "llama": "last",
        "qwen2": "last",
    }


def test_a_sentence_transformers_folder_decides_pooling_norm_length_and_pairs(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "sentences")
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
    backbone = build(folder)

    with torch.no_grad():
        pooled = backbone(prepare(backbone), Layout.VECTOR).value
        sequence = backbone(prepare(backbone), Layout.SEQUENCE)

    assert torch.allclose(pooled.norm(dim=-1), torch.ones(4))
    assert torch.allclose(pooled, torch.nn.functional.normalize(sequence.value[:, 0], dim=-1))
    assert int(sequence.lengths.max()) == 6
    model = tg.compose(f"hf-text:{folder}", head="regression", strategy="linear-probe")
    rows = {"text": list(TEXTS), "text_pair": list(OTHERS), "score": [1.0, 2.0, 3.0, 4.0]}
    model.fit(rows, target="score", quiet=True)
    assert model.recipe.backbone.settings["pair"] == "apart"


def test_a_pair_apart_gives_both_vectors_their_difference_and_product(saved):
    alone, apart = build(saved("bert")), build(saved("bert"), pair="apart")

    with torch.no_grad():
        u, v = (alone(prepare(alone, texts), Layout.VECTOR).value for texts in (TEXTS, OTHERS))
        actual = apart(prepare(apart, TEXTS, OTHERS), Layout.VECTOR).value

    assert torch.allclose(actual, torch.cat([u, v, (u - v).abs(), u * v], -1), atol=1e-6)
    for cut in apart.description.cuts:
        again = through_cut(apart, cut, prepare(apart, TEXTS, OTHERS), Layout.VECTOR, longer=3)
        assert torch.allclose(again.value, actual, atol=1e-5)


def test_a_pair_together_is_what_the_tokenizer_makes_of_two_texts(saved):
    folder = saved("bert")
    together = build(folder, pair="together", pooling="cls")
    encoded = AutoTokenizer.from_pretrained(folder)(
        TEXTS[0], OTHERS[0], return_tensors="pt", return_token_type_ids=True
    )

    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(**encoded).last_hidden_state[:, 0]
        actual = together(prepare(together, TEXTS[:1], OTHERS[:1]), Layout.VECTOR).value

    assert 1 in encoded["token_type_ids"]
    assert torch.allclose(actual, expected, atol=1e-5)


def test_words_get_the_vector_of_their_first_token(saved):
    backbone = build(saved("bert"))
    words = [["lost", "zebra", "card"], ["help"]]
    batch = prepare(backbone, words)

    with torch.no_grad():
        actual = backbone(batch, Layout.SEQUENCE)
        tokens = backbone(prepare(backbone, ["lost zebra card"]), Layout.SEQUENCE).value

    assert actual.lengths.tolist() == [3, 1]
    assert torch.allclose(actual.value[0], tokens[0, [1, 2, 7]], atol=1e-6)
    for cut in backbone.description.cuts:
        again = through_cut(backbone, cut, batch, Layout.SEQUENCE, longer=2)
        assert max_relative_difference(actual, crop(again, actual)) < 1e-5


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_weights_can_be_loaded_in_low_precision(saved, dtype):
    low, full = build(saved("bert"), dtype=dtype), build(saved("bert"))

    with torch.no_grad():
        actual, expected = (one(prepare(one), Layout.VECTOR).value.float() for one in (low, full))

    assert next(low.parameters()).dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    assert (actual - expected).abs().max() < 0.1


def test_a_name_that_is_nowhere_says_what_to_do():
    with pytest.raises(TaskgraftError) as error:
        tg.compose("hf-text:nobody/has-this-model", head="classification", strategy="full")
    assert str(error.value) == (
        "No checkpoint 'nobody/has-this-model': it is not a local folder, it is not in the local hub cache, and the hub "
        "cannot be reached.\n"
        "Check the spelling, give the path of a folder with config.json in it, or download the checkpoint on a machine "
        "with network access."
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/nowhere/at/all", "No checkpoint '/nowhere/at/all': there is no such folder.\n"),
        ("not a//name", "No checkpoint 'not a//name': it is neither a local folder nor a valid hub name.\n"),
    ],
)
def test_a_missing_folder_and_an_invalid_name_have_messages_of_their_own(name, problem):
    with pytest.raises(TaskgraftError) as error:
        describe(TextConfig(checkpoint=name))
    assert str(error.value).startswith(problem)


def test_a_folder_that_is_not_a_checkpoint_is_invalid(tmp_path):
    with pytest.raises(TaskgraftError) as error:
        describe(TextConfig(checkpoint=str(tmp_path)))
    assert str(error.value) == (
        f"The checkpoint '{tmp_path}' cannot be used: it has no config.json, so it is not a transformers checkpoint."
    )


def test_a_checkpoint_with_a_tensor_of_another_shape_is_invalid(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "shape")
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"] = torch.zeros(17)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    with pytest.raises(TaskgraftError) as error:
        build(folder)
    assert str(error.value).startswith(f"The checkpoint '{folder}' cannot be used: ")


def test_older_checkpoints_in_pickle_format_load_weights_only(saved, tmp_path):
    folder = shutil.copytree(saved("bert"), tmp_path / "pickled")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({f"bert.{name}": tensor for name, tensor in weights.items()}, folder / "pytorch_model.bin")

    one, other = build(saved("bert")), build(folder)

    assert torch.equal(one(prepare(one), Layout.VECTOR).value, other(prepare(other), Layout.VECTOR).value)
    assert other.fingerprint() == build(folder).fingerprint()


class LastBlock(Strategy):
    """Trains the last block, with or without caching the features before it."""

    def __init__(self, *, cache: bool):
        self._cache = cache

    def plan(self, backbone, head):
        return (
            Stage(
                "last",
                (Unfreeze((backbone.parts[-1].name,), 1e-3),),
                head_learning_rate=1e-2,
                cache_features=self._cache,
            ),
        )


@pytest.mark.parametrize("family", ["bert", "modernbert", "gpt2", "t5"])
def test_training_from_cached_features_equals_training_without(saved, family):
    rows = {"text": [*TEXTS, *OTHERS], "label": list("abababab")}
    results = []
    for cache in (True, False):
        model = tg.compose(f"hf-text:{saved(family)}", head="classification", strategy=LastBlock(cache=cache))
        stage = model.fit(rows, target="label", training={"batch_size": 4, "epochs": 2}, quiet=True).stages[0]
        probabilities = [row["a"] for row in model.predict_proba(rows)]
        results.append((stage.stored_at, stage.losses, probabilities))

    cached, whole = results
    assert (cached[0], whole[0]) == (2, None)
    assert cached[1] == pytest.approx(whole[1], abs=1e-5)
    assert cached[2] == pytest.approx(whole[2], abs=1e-4)


def test_the_vocabulary_of_the_tiny_checkpoints_has_no_unknown_letter():
    assert tiny.tokenizer(special=True).unk_token_id not in tiny.tokenizer(special=True)(" ".join(TEXTS))["input_ids"]


def test_a_fit_with_pairs_does_not_affect_the_next_fit(saved):
    model = tg.compose(f"hf-text:{saved('bert')}", head="regression", strategy="linear-probe")
    alone = {"text": list(TEXTS), "score": [1.0, 2.0, 3.0, 4.0]}
    pairs = alone | {"text_pair": list(OTHERS)}

    settings = []
    for rows in (pairs, alone, pairs):
        model.fit(rows, target="score", quiet=True)
        settings.append(model.recipe.backbone.settings["pair"])

    assert settings == ["together", "none", "together"]


def test_pair_none_has_no_second_input(saved):
    model = tg.compose(
        {"name": "hf-text", "checkpoint": str(saved("bert")), "pair": "none"},
        head="regression",
        strategy="linear-probe",
    )
    with pytest.raises(TaskgraftError) as error:
        model.fit({"a": ["x"], "b": ["y"], "score": [1.0]}, inputs=["a", "b"], target="score", quiet=True)
    assert str(error.value) == (
        "The backbone reads text, but 2 columns were named: a, b. Name the columns to read with inputs=…."
    )


def test_a_model_without_biases_is_rejected_for_bitfit_before_its_weights_are_read(saved, tmp_path):
    shutil.copytree(saved("t5"), folder := tmp_path / "t5")
    (folder / "model.safetensors").unlink()
    with pytest.raises(TaskgraftError) as error:
        tg.compose(f"hf-text:{folder}", head="classification", strategy="bitfit")
    assert str(error.value) == (
        "The stage 'bitfit' cannot run: its selection 1 matches no tensor of block.0, block.1, block.2: none is called 'bias' "
        "or 'in_proj_bias'. Choose another strategy."
    )
