"""The role of each linear layer of a transformers model, by the name that its family gives such layers."""

from collections.abc import Iterable, Mapping

from torch import nn
from transformers.pytorch_utils import Conv1D

from taskgraft.plugin import LayerRole

ROLES: Mapping[LayerRole, tuple[str, ...]] = {
    LayerRole.QUERY: ("query", "q_proj", "q_lin", "query_proj", "attention.q", "attn.q", "SelfAttention.q"),
    LayerRole.KEY: ("key", "k_proj", "k_lin", "key_proj", "attention.k", "attn.k", "SelfAttention.k"),
    LayerRole.VALUE: ("value", "v_proj", "v_lin", "value_proj", "attention.v", "attn.v", "SelfAttention.v"),
    LayerRole.FUSED: ("c_attn", "qkv", "Wqkv", "query_key_value", "qkv_proj", "attn.in_proj"),
    LayerRole.ATTENTION_OUTPUT: (
        "attention.output.dense", "o_proj", "out_lin", "attn.c_proj", "attn.Wo", "SelfAttention.o", "attention.o", "attn.o",
        "out_proj", "attention.dense", "attn.out_proj",
    ),
    LayerRole.FEED_FORWARD_IN: (
        "intermediate.dense", "up_proj", "gate_proj", "gate_up_proj", "mlp.c_fc", "lin1", "ffn", "fc1", "mlp.Wi",
        "DenseReluDense.wi", "DenseReluDense.wi_0", "DenseReluDense.wi_1", "mlp.dense_h_to_4h", "fc_in",
    ),
    LayerRole.FEED_FORWARD_OUT: (
        "output.dense", "down_proj", "mlp.c_proj", "lin2", "ffn_output", "fc2", "mlp.Wo", "DenseReluDense.wo",
        "mlp.dense_4h_to_h", "fc_out",
    ),
}  # fmt: skip
"""Role → suffixes of the dotted paths of its layers. The longest matching suffix decides."""


def layer_roles(model: nn.Module, paths: Iterable[str]) -> dict[str, LayerRole]:
    """Find the linear layers below some paths: dotted path → role. Layers of no known role are left out."""
    prefixes = tuple(f"{path}." for path in paths)
    roles = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and name.startswith(prefixes):
            matches = [
                (len(suffix), role)
                for role, suffixes in ROLES.items()
                for suffix in suffixes
                if f".{name}".endswith(f".{suffix}")
            ]
            if matches:
                roles[name] = max(matches)[1]
    return roles
