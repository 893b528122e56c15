"""Write a trained model as a plain transformers checkpoint, with everything that its base checkpoint holds."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from taskgraft.plugin import Checkpoint, ExportNotSupported, check_regular_file, translate_errors
from taskgraft_transformers.structure import Structure, read_config
from taskgraft_transformers.weights import quiet


def export_checkpoint(
    model: nn.Module,
    structure: Structure,
    checkpoint: Checkpoint,
    weights: bool,
    folder: Path,
    files: Iterable[str],
) -> None:
    """Write a trained model, with the modules of its base checkpoint that the features do not use, such as a pooler.

    ``AutoModel.from_pretrained`` then initializes at random only what it would initialize at random for the base checkpoint.

    Args:
        model: from :func:`taskgraft_transformers.weights.load_model` or ``random_model``, trained since.
        weights: whether training started from the weights of the checkpoint.
        files: of the processor; copied if the checkpoint has them.

    Raises:
        ExportNotSupported: for a model that ends at an inner block, or whose code comes from its checkpoint.
    """
    if checkpoint.remote_code:
        raise ExportNotSupported(
            checkpoint.name, "its code comes from the checkpoint, so transformers alone cannot load it"
        )
    base = checkpoint.folder(weights=weights)
    config = read_config(checkpoint)
    dtype = next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    full, absent = _full_model(structure, base if weights else None, config, checkpoint.name, dtype)
    write_checkpoint(model, full, absent, structure, checkpoint.name, folder)
    for name in files:
        if (base / name).exists():
            check_regular_file(base / name)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, folder / name)


def write_checkpoint(
    model: nn.Module, full: Any, absent: frozenset[str], structure: Structure, name: str, folder: Path
) -> None:
    """Write a trained model, completed by the full model of its class.

    Args:
        full: the weights of ``model`` are copied into it.
        absent: tensors of the full model that were initialized at random; left out unless ``model`` has them.
        name: for error messages.

    Raises:
        ExportNotSupported: for a model that ends at an inner block.
    """
    if structure.truncated:
        last = structure.parts[structure.kept - 1].name
        raise ExportNotSupported(name, f"it ends at {last} (until), and transformers would run all blocks")
    trained = {path: tensor.detach().cpu().contiguous() for path, tensor in model.state_dict().items()}
    if unexpected := full.load_state_dict(trained, strict=False).unexpected_keys:
        raise ExportNotSupported(name, f"its tensor {unexpected[0]} does not exist in {type(full).__name__}")
    tensors: dict[str, Tensor] = {
        path: tensor for path, tensor in full.state_dict().items() if path in trained or path not in absent
    }
    with quiet():
        full.save_pretrained(folder, state_dict=tensors)


def _full_model(
    structure: Structure, base: Path | None, config: PretrainedConfig, name: str, dtype: torch.dtype
) -> tuple[Any, frozenset[str]]:
    """Build the model as transformers does, including what the features do not use.

    Returns:
        the model, and the names of its tensors that were initialized at random.
    """
    model_class: Any = structure.model_class
    if base is None:
        full = model_class(config).to(dtype)
        return full, frozenset(full.state_dict())
    with translate_errors(name, "its weights"), quiet():
        full, info = model_class.from_pretrained(base, config=config, dtype=dtype, output_loading_info=True)
    return full, frozenset(info["missing_keys"])
