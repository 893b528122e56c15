"""The FT-Transformer gives the library's features, and a vector per column."""

import pytest
import torch
from rtdl_revisiting_models import FTTransformer
from small_tables import SMALL, SPECS, build, fitted

from taskgraft.plugin import Batch, ConfigError, Layout, parse_config

TABLE = {
    "amount": [3.5, 80.0, 1.0, 12.25, 7.0],
    "visits": [1, 0, 4, 2, 2],
    "shop": ["books", "food", "food", "toys", "books"],
    "town": ["Ulm", "Ulm", "Jena", "Jena", "Ulm"],
}


def library(backbone):
    """The library's own FT-Transformer with a linear layer of two outputs and the weights of a backbone."""
    config = fitted(SMALL["ft-transformer"], TABLE)
    model = FTTransformer(
        n_cont_features=2,
        cat_cardinalities=[column.size for column in config.learned[2:]],
        d_out=2,
        n_blocks=config.blocks,
        d_block=config.feature_size,
        attention_n_heads=config.attention_heads,
        attention_dropout=config.attention_dropout,
        ffn_d_hidden_multiplier=config.feed_forward,
        ffn_dropout=config.feed_forward_dropout,
        residual_dropout=config.residual_dropout,
    )
    keys = model.load_state_dict(backbone.model.transformer.state_dict(), strict=False)
    assert [name.partition(".")[0] for name in keys.missing_keys] == ["backbone"] * 4
    assert all(name.startswith("backbone.output.") for name in keys.missing_keys)
    assert keys.unexpected_keys == []
    model.backbone.output.normalization.load_state_dict(backbone.model.norm.state_dict())
    return model.eval()


def test_the_vector_is_the_input_of_the_librarys_linear_layer():
    backbone = build("ft-transformer", TABLE, feed_forward=4 / 3).eval()
    torch.nn.init.normal_(backbone.model.norm.weight)
    model = library(backbone)
    batch = backbone.processor.prepare(TABLE).batch
    with torch.no_grad():
        expected = model(batch["numbers"], batch["categories"])
        output = model.backbone.output.linear(backbone(batch, Layout.VECTOR).value)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-6)


def test_each_column_attends_over_all_columns_in_every_block():
    backbone = build("ft-transformer", TABLE).eval()
    batch = backbone.processor.prepare(TABLE).batch
    sequence = backbone(batch, Layout.SEQUENCE).value
    for column in range(2):
        other = batch["numbers"].clone()
        other[:, column] += 1.0
        moved = backbone(Batch({**batch.tensors, "numbers": other}), Layout.SEQUENCE).value
        assert bool(((moved - sequence).abs().amax(-1) > 1e-6).all())


def test_elements_are_in_the_order_of_the_columns_whatever_their_kind():
    """With attention and feed-forward zeroed, an element depends on its own column alone."""
    mixed = {"shop": TABLE["shop"], "amount": [3.5, None, 1.0, 12.25, 7.0], "town": TABLE["town"]}
    backbone = build("ft-transformer", mixed).eval()
    with torch.no_grad():
        for block in backbone.model.transformer.backbone.blocks:
            for layer in (block["attention"].W_out, block["ffn"].linear2):
                layer.weight.zero_()
                layer.bias.zero_()
    batch = backbone.processor.prepare(mixed).batch
    before = backbone(batch, Layout.SEQUENCE).value
    assert before.shape == (5, 3, 16)
    other = dict(mixed, amount=[9.0, 9.0, 9.0, None, 9.0])
    after = backbone(backbone.processor.prepare(other).batch, Layout.SEQUENCE).value
    moved = (after - before).abs().amax(-1) > 1e-6
    assert moved.tolist() == [[False, True, False]] * 5


def test_a_feature_size_that_the_attention_heads_do_not_divide_is_an_error():
    with pytest.raises(ConfigError) as caught:
        parse_config(SPECS["ft-transformer"].config, {"feature_size": 100}, "backbone 'ft-transformer'")
    assert str(caught.value) == "backbone 'ft-transformer': feature_size 100 is not a multiple of 8 attention_heads."
