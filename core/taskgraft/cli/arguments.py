"""An artifact on the device that a command names."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskgraft.contract.config import ConfigError
from taskgraft.recipes.strict_yaml import YamlProblem, read_yaml

if TYPE_CHECKING:
    from taskgraft.model import TaskModel


def loaded(artifact: Path, device: str) -> "TaskModel":
    """Load an artifact.

    Args:
        device: as torch names it; ``auto`` is the accelerator if there is one.

    Raises:
        InvalidArtifact, InvalidDevice: as :func:`taskgraft.load` does.
    """
    from taskgraft.model import load

    return load(artifact, device=found_device(device))


def found_device(device: str) -> str:
    """Choose the accelerator, if there is one, for ``auto``."""
    import torch

    if device != "auto":
        return device

    kind = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if kind is None else kind.type


def names(text: str) -> tuple[str, ...]:
    """Split a list of names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def reference(text: str, axis: str) -> Any:
    """Read a name, or a name with settings, written in one line of YAML or JSON: ``{name: full, learning_rate: 1e-4}``.

    Raises:
        ConfigError: for what is meant as that and is none.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        return read_yaml(text)
    except YamlProblem as fault:
        raise ConfigError(axis, (f"{text!r:.60} cannot be read: {fault.problem}",)) from None


def references(text: str) -> tuple[Any, ...]:
    """Split a list of names with commas between, or read one name with settings, written as JSON.

    Raises:
        ConfigError: for what is meant as JSON and is none.
    """
    if not text.lstrip().startswith("{"):
        return names(text)
    try:
        return (json.loads(text),)
    except ValueError as error:
        raise ConfigError("metric", (f"{text!r:.60} is no JSON: {error}.",)) from None
