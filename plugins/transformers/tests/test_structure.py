import torch
from transformers import BertConfig, EsmConfig, GPT2Config, MobileBertConfig, T5Config

from taskgraft.plugin import LayerRole, sequence
from taskgraft_transformers.structure import structure

SMALL = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def test_nothing_is_allocated():
    """A model that would fill any memory is described all the same."""
    huge = BertConfig(hidden_size=65_536, num_attention_heads=8, intermediate_size=262_144, num_hidden_layers=100)

    found = structure(huge, sequence(65_536), "huge")

    assert len(found.parts) == 100


def test_a_pooler_is_not_built():
    found = structure(BertConfig(**SMALL), sequence(16), "bert")

    assert dict(found.keywords) == {"add_pooling_layer": False}
    assert not any("pooler" in path for part in found.parts for path in part.owns)


def test_what_runs_before_the_first_block_belongs_to_it_and_what_runs_after_the_last_to_that():
    found = structure(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2), sequence(16), "gpt2")

    assert [part.owns for part in found.parts] == [("h.0", "wte", "wpe", "drop"), ("h.1", "ln_f")]
    assert found.after == ("ln_f",)


def test_fused_layers_have_their_own_role():
    found = structure(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2), sequence(16), "gpt2")

    assert dict(found.parts[1].roles) == {
        "h.1.attn.c_attn": LayerRole.FUSED,
        "h.1.attn.c_proj": LayerRole.ATTENTION_OUTPUT,
        "h.1.mlp.c_fc": LayerRole.FEED_FORWARD_IN,
        "h.1.mlp.c_proj": LayerRole.FEED_FORWARD_OUT,
    }


def test_a_decoder_is_causal_and_an_encoder_is_not():
    decoder = structure(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2), sequence(16), "gpt2")
    encoder = structure(BertConfig(**SMALL), sequence(16), "bert")

    assert (decoder.causal, encoder.causal) == (True, False)


def test_of_an_encoder_decoder_the_encoder_is_taken_and_cut_between_blocks_that_share_a_bias():
    config = T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)

    found = structure(config, sequence(16), "t5")

    assert found.model_class.__name__ == "T5EncoderModel"
    assert found.cuts == (0, 1)
    assert not any(path.startswith("decoder") for part in found.parts for path in part.owns)


def test_describing_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    structure(MobileBertConfig(**SMALL, embedding_size=16), sequence(16), "mobilebert")

    assert torch.equal(before, torch.get_rng_state())


def test_a_head_that_comes_with_the_bare_model_is_idle():
    found = structure(EsmConfig(**SMALL, pad_token_id=1, mask_token_id=2), sequence(16), "esm")

    assert found.idle == ("contact_head",)
    assert not any("contact_head" in path for part in found.parts for path in part.owns)


def test_parts_up_to_one_are_kept_and_the_cuts_before_them():
    found = structure(BertConfig(**SMALL), sequence(16), "bert").until("block.0")

    assert [part.name for part in found.kept_parts("model")] == ["block.0"]
    assert "model.encoder.layer.0" in found.kept_parts("model")[0].owns
    assert found.kept_cuts() == (0,)
