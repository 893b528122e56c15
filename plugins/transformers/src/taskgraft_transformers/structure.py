"""The blocks, parts, roles and cuts of a transformers model, found on the meta device: no weight is read."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PretrainedConfig
from transformers.pytorch_utils import Conv1D

from taskgraft.plugin import (
    Checkpoint,
    FeatureDescription,
    InvalidCheckpoint,
    LayerRole,
    Part,
    UnknownPart,
    translating_errors,
)

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
"""Each role and how transformers calls such layers: the end of a dotted path. The longest end that fits decides."""


@dataclass(frozen=True)
class Structure:
    """How a model is built.

    Attributes:
        model_class: what loads it.
        keywords: what its constructor is told, so that nothing is built that the features do not use.
        blocks: dotted path of the list of blocks; None when there is no single one.
        kept: how many blocks are kept.
        parts: from input to output; paths start at the model.
        cuts: those that passing blocks through can keep.
        after: modules that run after the last block of all.
        idle: modules outside the blocks that the features do not use, such as a head that comes with the bare model.
        causal: whether an element sees only those before it.
    """

    model_class: type[nn.Module]
    keywords: Mapping[str, Any]
    blocks: str | None
    kept: int
    parts: tuple[Part, ...]
    cuts: tuple[int, ...]
    after: tuple[str, ...]
    idle: tuple[str, ...]
    causal: bool

    @property
    def shortened(self) -> bool:
        """Whether blocks are left out, and with them what runs after the last."""
        return self.blocks is not None and self.kept < len(self.parts)

    def until(self, name: str | None) -> "Structure":
        """Keep the parts up to one, or all.

        Raises:
            UnknownPart: when there is no part of that name.
        """
        if name is None:
            return self
        names = tuple(part.name for part in self.parts)
        if name not in names:
            raise UnknownPart(name, names)
        return replace(self, kept=names.index(name) + 1)

    def kept_parts(self, prefix: str) -> tuple[Part, ...]:
        """Give the parts that are kept, as parts of a backbone that runs the model with a :class:`Runner`.

        Args:
            prefix: the attribute of the backbone that holds the model.
        """
        return tuple(
            replace(
                part,
                owns=tuple(f"{prefix}.{path}" for path in part.owns),
                roles=({prefix: LayerRole.MODEL} if number == 0 else {})
                | {f"{prefix}.{path}": role for path, role in part.roles.items()},
            )
            for number, part in enumerate(self.parts[: self.kept])
        )

    def kept_cuts(self) -> tuple[int, ...]:
        """Give the cuts before the parts that are kept."""
        return tuple(cut for cut in self.cuts if cut < self.kept)


def configuration(checkpoint: Checkpoint) -> PretrainedConfig:
    """Read the configuration of a checkpoint.

    Raises:
        CheckpointNotFound, InvalidCheckpoint: when there is none, or transformers does not know the kind of model.
    """
    folder = checkpoint.folder()
    if not (folder / "config.json").is_file():
        raise InvalidCheckpoint(checkpoint.name, "it has no config.json, so it is no checkpoint of transformers")
    with translating_errors(checkpoint.name, "its configuration"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=checkpoint.remote_code)


Shapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Name of an input → its shape."""

TEXT: Shapes = (("input_ids", (1, 4)),)
"""Four pieces of one text."""


def structure(
    config: PretrainedConfig, output: FeatureDescription, name: str, remote_code: bool = False, inputs: Shapes = TEXT
) -> Structure:
    """Find out how the model of a configuration is built. What was found is remembered for equal configurations.

    Args:
        output: what leaves every part.
        name: of the checkpoint, for messages.
        inputs: what the model is tried with.
    """
    key = (type(config), config.to_json_string(use_diff=False), output, remote_code, inputs)
    if key not in _FOUND:
        _FOUND[key] = _structure(config, output, name, remote_code, inputs)
    return _FOUND[key]


_FOUND: dict[tuple[Any, ...], Structure] = {}


def _structure(
    config: PretrainedConfig, output: FeatureDescription, name: str, remote_code: bool, inputs: Shapes
) -> Structure:
    keywords: dict[str, Any] = {}
    model = _skeleton(config, name, remote_code)
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        keywords["add_pooling_layer"] = False
        with torch.device("meta"):
            model = type(model)(config, add_pooling_layer=False)
    model.eval()
    blocks = _blocks(model, config)
    causal = any(getattr(module, "is_causal", False) is True for module in model.modules())
    if blocks is None:
        everything = tuple(_outside(model, "", None))
        part = Part("whole", everything, output, _roles(model, everything))
        return Structure(type(model), keywords, None, 1, (part,), (0,), (), (), causal)
    observed = _observe(model, blocks, inputs)
    parts = _parts(model, blocks, observed, output)
    cuts = tuple(range(len(parts))) if observed.passable else (0,)
    return Structure(type(model), keywords, blocks, len(parts), parts, cuts, observed.after, observed.idle, causal)


def _skeleton(config: PretrainedConfig, name: str, remote_code: bool) -> nn.Module:
    """Make the model without memory: the encoder alone where the family has a class for that (T5), else the bare model."""
    with translating_errors(name, "its configuration"), torch.device("meta"):
        try:
            model: nn.Module = AutoModelForTextEncoding.from_config(config, trust_remote_code=remote_code)
        except ValueError:  # the family has none
            model = AutoModel.from_config(config, trust_remote_code=remote_code)
    return model


def _blocks(model: nn.Module, config: PretrainedConfig) -> str | None:
    """Find the one list of modules that has as many entries as the configuration has layers."""
    count = getattr(config, "num_hidden_layers", None)
    lists = [
        (sum(parameter.numel() for parameter in module.parameters()), name)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == (count or -1)
    ]
    if not lists:
        return None
    size, name = max(lists)
    others = sum(other for other, path in lists if path != name and not path.startswith(f"{name}."))
    return None if others * 4 > size else name


@dataclass(frozen=True)
class _Observed:
    """What one forward pass on the meta device showed."""

    after: tuple[str, ...]
    idle: tuple[str, ...]
    passable: bool


def _observe(model: nn.Module, blocks: str, inputs: Shapes) -> _Observed:
    """See which modules outside the blocks run after the last one or not at all, and whether blocks can be passed through."""
    order: list[str] = []
    extra: list[object] = []
    handles = []
    for name, module in model.named_modules():
        outside = name and not name.startswith(f"{blocks}.") and not any(True for _ in module.children())
        if outside or name.rpartition(".")[0] == blocks:
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: order.append(name)))
    first = model.get_submodule(f"{blocks}.0")
    handles.append(first.register_forward_hook(lambda _, __, output: extra.extend(_tensors_beside(output))))
    output = _run(model, inputs)
    for handle in handles:
        handle.remove()
    places = [place for place, name in enumerate(order) if name.startswith(f"{blocks}.")]
    if output is None or not places:
        return _Observed(_named_like_a_last_norm(model, blocks), (), passable=False)
    between = {name for name in order[places[0] : places[-1]] if not name.startswith(f"{blocks}.")}
    before = set(order[: places[0]])
    after = tuple(dict.fromkeys(name for name in order[places[-1] + 1 :] if name not in before | between))
    idle = _idle(model, blocks, output)
    return _Observed(after, idle, passable=not between and (not extra or _shares_a_bias(model, blocks)))


def _tensors_beside(output: Any) -> list[Any]:
    return [] if isinstance(output, Tensor) else [entry for entry in output[1:] if isinstance(entry, Tensor)]


def _shares_a_bias(model: nn.Module, blocks: str) -> bool:
    """Say whether the first block alone has a table of relative positions, whose bias the others are handed (T5)."""
    ends = (".relative_attention_bias.weight",)
    owners = {name for name, _ in model.get_submodule(blocks).named_parameters() if name.endswith(ends)}
    return len(owners) == 1 and next(iter(owners)).startswith("0.")


def _idle(model: nn.Module, blocks: str, output: Any) -> tuple[str, ...]:
    """Find modules outside the blocks none of whose parameters the features depend on."""
    hidden = getattr(output, "last_hidden_state", None)
    if hidden is None:
        return ()
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(hidden.sum(), list(named.values()), allow_unused=True)
    reached = {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}
    return tuple(
        path
        for path in _outside(model, "", blocks)
        if path not in named
        and any(name.startswith(f"{path}.") for name in named)
        and not any(name.startswith(f"{path}.") for name in reached)
    )


def _run(model: nn.Module, inputs: Shapes) -> Any:
    """Try a forward pass in several ways: models differ in which they can do without looking at data. None if in none."""
    integers = torch.int64 if inputs == TEXT else torch.float32
    given = {name: torch.ones(shape, dtype=integers, device="meta") for name, shape in inputs}
    mask = torch.ones(next(iter(given.values())).shape[:2], dtype=torch.int64, device="meta")
    for more in ({}, {"use_cache": True}, {"attention_mask": mask}):
        try:
            return model(**given, **more)
        except Exception:  # noqa: S112, a stranger's model may stumble over anything that is not there
            continue
    return None


def _named_like_a_last_norm(model: nn.Module, blocks: str) -> tuple[str, ...]:
    names = {"norm", "final_norm", "ln_f", "final_layer_norm", "emb_layer_norm_after"}
    outside = (name for name, _ in model.named_modules() if not name.startswith(f"{blocks}."))
    return tuple(name for name in outside if name.rpartition(".")[2] in names)


def _parts(model: nn.Module, blocks: str, observed: _Observed, output: FeatureDescription) -> tuple[Part, ...]:
    count = len(list(model.get_submodule(blocks).children()))
    outside = [path for path in _outside(model, "", blocks) if path not in observed.idle]
    last = [path for path in outside if any(f"{after}.".startswith(f"{path}.") for after in observed.after)]
    owned = {index: [f"{blocks}.{index}"] for index in range(count)}
    owned[0] += [path for path in outside if path not in last]
    owned[count - 1] += last
    return tuple(
        Part(f"block.{index}", tuple(paths), output, _roles(model, (f"{blocks}.{index}",)))
        for index, paths in owned.items()
    )


def _outside(module: nn.Module, path: str, blocks: str | None) -> list[str]:
    """Find the largest modules, and the tensors beside them, that hold no block."""
    prefix = f"{path}." if path else ""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    found = [f"{prefix}{name}" for name, _ in own]
    for name, child in module.named_children():
        below = f"{prefix}{name}"
        if below == blocks:
            continue
        holds = blocks is not None and blocks.startswith(f"{below}.")
        found += _outside(child, below, blocks) if holds else [below]
    return found


def _roles(model: nn.Module, below: tuple[str, ...]) -> dict[str, LayerRole]:
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and any(name.startswith(f"{path}.") for path in below):
            ends = [
                (len(end), role) for role, names in ROLES.items() for end in names if f".{name}".endswith(f".{end}")
            ]
            if ends:
                found[name] = max(ends)[1]
    return found
