"""A trained model as a plain checkpoint of transformers: nothing the checkpoint below held is lost."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from taskgraft.plugin import Checkpoint, ExportNotSupported, translate_errors
from taskgraft_transformers.weights import quiet
from taskgraft_transformers.structure import Structure, read_config


def export_checkpoint(
    model: nn.Module,
    structure: Structure,
    checkpoint: Checkpoint,
    weights: bool,
    folder: Path,
    files: Iterable[str],
) -> None:
    """Write a model with what its checkpoint holds beside it: poolers, and other modules that no feature needs.

    ``AutoModel.from_pretrained`` then draws at random what it would draw at random from the checkpoint below, and no more.

    Args:
        model: as :func:`taskgraft_transformers.weights.load_model` made it, trained since.
        weights: whether it began with the weights of the checkpoint, and not at random.
        files: those of the processor, copied as far as the checkpoint has them.

    Raises:
        ExportNotSupported: for a model that ends at an inner block, or whose code comes from its checkpoint.
    """
    if checkpoint.remote_code:
        raise ExportNotSupported(
            checkpoint.name, "its code comes from the checkpoint, so transformers alone cannot load it"
        )
    base = checkpoint.folder(weights=weights)
    config = read_config(checkpoint)
    whole, absent = _full_model(structure, base if weights else None, config, checkpoint.name, _dtype(model))
    write_checkpoint(model, whole, absent, structure, checkpoint.name, folder)
    for name in files:
        if (base / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, folder / name)


def write_checkpoint(model: nn.Module, whole: Any, absent: frozenset[str], structure: Structure, name: str, folder: Path) -> None:
    """Write a model that has trained, completed by a whole one of its kind.

    Args:
        whole: is given the weights of the model.
        absent: tensors of the whole one that were drawn at random; they are left out.
        name: for messages.

    Raises:
        ExportNotSupported: for a model that ends at an inner block.
    """
    if structure.shortened:
        problem = (
            f"it ends at {structure.parts[structure.kept - 1].name} (until), and transformers would run all blocks"
        )
        raise ExportNotSupported(name, problem)
    trained = {path: tensor.detach().cpu().contiguous() for path, tensor in model.state_dict().items()}
    if strange := whole.load_state_dict(trained, strict=False).unexpected_keys:
        raise ExportNotSupported(name, f"its tensor {strange[0]} is not one of {type(whole).__name__}")
    kept: dict[str, Tensor] = {
        path: tensor for path, tensor in whole.state_dict().items() if path in trained or path not in absent
    }
    with quiet():
        whole.save_pretrained(folder, state_dict=kept)


def _full_model(
    structure: Structure, base: Path | None, config: PretrainedConfig, name: str, dtype: torch.dtype
) -> tuple[Any, frozenset[str]]:
    """Make the whole model, as transformers makes it: also what the features do not need.

    Returns:
        the model, and the names of the tensors that were drawn at random.
    """
    make: Any = structure.model_class
    if base is None:
        whole = make(config).to(dtype)
        return whole, frozenset(whole.state_dict())
    with translate_errors(name, "its weights"), quiet():
        whole, told = make.from_pretrained(base, config=config, dtype=dtype, output_loading_info=True)
    return whole, frozenset(told["missing_keys"])


def _dtype(model: nn.Module) -> torch.dtype:
    return next(one.dtype for one in model.parameters() if one.is_floating_point())
