import pytest
import torch
from transformers import BertConfig, EsmConfig, GPT2Config, MobileBertConfig, T5Config

from taskgraft.plugin import LayerRole, sequence
from taskgraft_transformers.structure import find_structure

SMALL = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.slow
def test_no_memory_is_allocated():
    """A model larger than any memory can be described."""
    huge = BertConfig(hidden_size=65_536, num_attention_heads=8, intermediate_size=262_144, num_hidden_layers=100)

    result = find_structure(huge, sequence(65_536), "huge")

    assert len(result.parts) == 100


def test_a_pooler_is_not_built():
    result = find_structure(BertConfig(**SMALL), sequence(16), "bert")

    assert dict(result.init_kwargs) == {"add_pooling_layer": False}
    assert not any("pooler" in path for part in result.parts for path in part.owns)


def test_modules_before_the_first_block_belong_to_it_and_those_after_the_last_to_the_last():
    result = find_structure(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2), sequence(16), "gpt2")

    assert [part.owns for part in result.parts] == [("h.0", "wte", "wpe", "drop"), ("h.1", "ln_f")]
    assert result.after == ("ln_f",)


def test_fused_layers_have_their_own_role():
    result = find_structure(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2), sequence(16), "gpt2")

    assert dict(result.parts[1].roles) == {
        "h.1.attn.c_attn": LayerRole.FUSED,
        "h.1.attn.c_proj": LayerRole.ATTENTION_OUTPUT,
        "h.1.mlp.c_fc": LayerRole.FEED_FORWARD_IN,
        "h.1.mlp.c_proj": LayerRole.FEED_FORWARD_OUT,
    }


def test_a_decoder_is_causal_and_an_encoder_is_not():
    decoder = find_structure(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2), sequence(16), "gpt2")
    encoder = find_structure(BertConfig(**SMALL), sequence(16), "bert")

    assert (decoder.causal, encoder.causal) == (True, False)


def test_the_encoder_of_an_encoder_decoder_is_cut_between_blocks_that_share_a_bias():
    config = T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)

    result = find_structure(config, sequence(16), "t5")

    assert result.model_class.__name__ == "T5EncoderModel"
    assert result.cuts == (0, 1)
    assert not any(path.startswith("decoder") for part in result.parts for path in part.owns)


def test_finding_the_structure_does_not_change_the_random_state():
    before = torch.get_rng_state()
    find_structure(MobileBertConfig(**SMALL, embedding_size=16), sequence(16), "mobilebert")

    assert torch.equal(before, torch.get_rng_state())


def test_a_head_of_the_bare_model_is_unused():
    result = find_structure(EsmConfig(**SMALL, pad_token_id=1, mask_token_id=2), sequence(16), "esm")

    assert result.unused == ("contact_head",)
    assert not any("contact_head" in path for part in result.parts for path in part.owns)


def test_truncation_keeps_the_first_parts_and_the_cuts_before_them():
    result = find_structure(BertConfig(**SMALL), sequence(16), "bert").truncate("block.0")

    assert [part.name for part in result.kept_parts("model")] == ["block.0"]
    assert "model.encoder.layer.0" in result.kept_parts("model")[0].owns
    assert result.kept_cuts() == (0,)
