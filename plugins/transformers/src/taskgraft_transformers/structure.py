"""The blocks, parts, layer roles and cuts of a transformers model, found on the meta device without reading weights."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PretrainedConfig

from taskgraft.plugin import (
    Checkpoint,
    FeatureDescription,
    InvalidCheckpoint,
    LayerRole,
    Part,
    UnknownPart,
    limit_new_tensors,
    translate_errors,
)
from taskgraft_transformers.block_trace import TEXT_INPUT, BlockTrace, InputShapes, modules_outside, trace_blocks
from taskgraft_transformers.foreign_code import check_files, ignore_implementations
from taskgraft_transformers.layer_roles import layer_roles
from taskgraft_transformers.sizes import check_sizes


@dataclass(frozen=True)
class Structure:
    """How a model is built. Paths are dotted and start at the model.

    Attributes:
        model_class: the class that loads it.
        init_kwargs: arguments of its constructor that leave out modules which the features do not use.
        blocks: path of the list of blocks; None if there is no single one.
        kept: number of blocks, from the first, that are kept.
        parts: from input to output, all of them.
        cuts: the cuts at which a forward pass can be resumed.
        after: modules that run after the last block.
        unused: modules outside the blocks that the features do not use, such as a head that the bare model has.
        causal: whether each token sees only the tokens before it.
        embeddings: the number of tokens that it has an embedding for; None if it embeds in another way.
        positions: the number of tokens that it has positions for; None if it has no table of positions.
    """

    model_class: type[nn.Module]
    init_kwargs: Mapping[str, Any]
    blocks: str | None
    kept: int
    parts: tuple[Part, ...]
    cuts: tuple[int, ...]
    after: tuple[str, ...]
    unused: tuple[str, ...]
    causal: bool
    embeddings: int | None
    positions: int | None

    @property
    def truncated(self) -> bool:
        """Whether the last blocks are left out, and with them the modules that run after the last block."""
        return self.blocks is not None and self.kept < len(self.parts)

    def truncate(self, last: str | None) -> "Structure":
        """Keep the parts up to and including the one of this name; None keeps all.

        Raises:
            UnknownPart: if there is no part of that name.
        """
        if last is None:
            return self
        names = tuple(part.name for part in self.parts)
        if last not in names:
            raise UnknownPart(last, names)
        return replace(self, kept=names.index(last) + 1)

    def kept_parts(self, prefix: str) -> tuple[Part, ...]:
        """Describe the kept parts for a backbone that runs the model with :class:`taskgraft_transformers.runner.Runner`.

        Args:
            prefix: the attribute of the backbone that holds the model.
        """
        return tuple(
            replace(
                part,
                owns=tuple(f"{prefix}.{path}" for path in part.owns),
                roles=({prefix: LayerRole.MODEL} if index == 0 else {})
                | {f"{prefix}.{path}": role for path, role in part.roles.items()},
            )
            for index, part in enumerate(self.parts[: self.kept])
        )

    def kept_cuts(self) -> tuple[int, ...]:
        """The cuts before the kept parts."""
        return tuple(cut for cut in self.cuts if cut < self.kept)


def read_config(checkpoint: Checkpoint) -> PretrainedConfig:
    """Read the configuration of a checkpoint.

    Raises:
        CheckpointNotFound: if it is neither local nor on the hub.
        InvalidCheckpoint: if it has no configuration, transformers does not know its model type, or something else than the
            checkpoint would be read or run.
    """
    folder = checkpoint.folder()
    if not (folder / "config.json").is_file():
        raise InvalidCheckpoint(checkpoint.name, "it has no config.json, so it is not a transformers checkpoint")
    check_files(folder, checkpoint)
    check_sizes(folder, checkpoint.name)
    with translate_errors(checkpoint.name, "its configuration"):
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=checkpoint.remote_code)
    ignore_implementations(config, checkpoint.name)
    return config


def find_structure(
    config: PretrainedConfig,
    output: FeatureDescription,
    name: str,
    remote_code: bool = False,
    inputs: InputShapes = TEXT_INPUT,
) -> Structure:
    """Build the model of a configuration on the meta device and find its structure. Results are cached.

    Args:
        output: the output of every part.
        name: of the checkpoint, for error messages.
        inputs: the inputs of the trial forward pass.
    """
    key = (type(config), config.to_json_string(use_diff=False), output, remote_code, inputs)
    if key not in _CACHE:
        _CACHE[key] = _structure(config, output, name, remote_code, inputs)
    return _CACHE[key]


_CACHE: dict[tuple[Any, ...], Structure] = {}


def _structure(
    config: PretrainedConfig, output: FeatureDescription, name: str, remote_code: bool, inputs: InputShapes
) -> Structure:
    init_kwargs: dict[str, Any] = {}
    model = _meta_model(config, name, remote_code)
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        init_kwargs["add_pooling_layer"] = False
        with torch.device("meta"):
            model = type(model)(config, add_pooling_layer=False)
    model.eval()
    blocks = _find_blocks(model, config)
    causal = any(getattr(module, "is_causal", False) is True for module in model.modules())
    sizes = _embedded_tokens(model), max_positions(model)
    if blocks is None:
        paths = tuple(modules_outside(model, None))
        part = Part("whole", paths, output, layer_roles(model, paths))
        return Structure(type(model), init_kwargs, None, 1, (part,), (0,), (), (), causal, *sizes)
    trace = trace_blocks(model, blocks, inputs)
    parts = _parts(model, blocks, trace, output)
    cuts = tuple(range(len(parts))) if trace.skippable else (0,)
    return Structure(
        type(model), init_kwargs, blocks, len(parts), parts, cuts, trace.after, trace.unused, causal, *sizes
    )


def max_positions(model: nn.Module) -> int | None:
    """Count the tokens that a model has positions for; None if it has no table of positions."""
    counts = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
    ]
    return min(counts, default=None)


def _embedded_tokens(model: Any) -> int | None:
    """Count the tokens that a model has an embedding for; None if its embedding is not a table."""
    try:
        table = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):  # how transformers says that there is none
        return None
    return table.num_embeddings if isinstance(table, nn.Embedding) else None


def _meta_model(config: PretrainedConfig, name: str, remote_code: bool) -> nn.Module:
    """Build the bare model, or only the encoder if the family has a class for it (T5)."""
    limited = limit_new_tensors(f"The model of '{name}'")
    with translate_errors(name, "its configuration"), torch.device("meta"), limited:
        try:
            model: nn.Module = AutoModelForTextEncoding.from_config(config, trust_remote_code=remote_code)
        except ValueError:  # no such class
            model = AutoModel.from_config(config, trust_remote_code=remote_code)
    return model


def _find_blocks(model: nn.Module, config: PretrainedConfig) -> str | None:
    """Find the one module list with as many entries as the configuration has layers."""
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


def _parts(model: nn.Module, blocks: str, trace: BlockTrace, output: FeatureDescription) -> tuple[Part, ...]:
    """Make one part per block. The first also owns what runs before the blocks, the last what runs after them."""
    count = len(list(model.get_submodule(blocks).children()))
    outside = [path for path in modules_outside(model, blocks) if path not in trace.unused]
    last = [path for path in outside if any(f"{after}.".startswith(f"{path}.") for after in trace.after)]
    owned = {index: [f"{blocks}.{index}"] for index in range(count)}
    owned[0] += [path for path in outside if path not in last]
    owned[count - 1] += last
    return tuple(
        Part(f"block.{index}", tuple(paths), output, layer_roles(model, (f"{blocks}.{index}",)))
        for index, paths in owned.items()
    )
