"""Settings of the data that hold for one prediction or evaluation in place of the recipe's."""

from collections.abc import Mapping
from typing import Any

from taskgraft.contract.config import ConfigError, parse_config
from taskgraft.errors import join_words
from taskgraft.recipe import DataConfig, Recipe

_OF_A_FIT = ("train", "validation", "split", "exclude")
"""Settings that have no meaning after the fit."""


def change_data_settings(recipe: Recipe, settings: Mapping[str, Any], action: str) -> Recipe:
    """Return a recipe with other settings of the data.

    Args:
        settings: as in the table ``data`` of a recipe. ``inputs`` names the columns of these data, in the order of those of the
            fit, or as input role (for a table, column of the fit) → column of these data.
        action: what the settings are for, for messages ("a prediction").

    Raises:
        ConfigError: for a setting that is unknown, invalid, or belongs to a fit.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError("data", (f"the settings are {settings!r:.60}, not a dict.",))
    if wrong := [name for name in _OF_A_FIT if name in settings]:
        raise ConfigError("data", (f"'{wrong[0]}' belongs to a fit, not to {action}.",))
    if not settings:
        return recipe
    data = parse_config(DataConfig, {**recipe.data.model_dump(mode="json"), **settings}, "data")
    if "inputs" in settings:
        data = data.model_copy(update={"inputs": _rename(recipe.data.columns, data.inputs)})
    if len(data.target) != len(recipe.data.target):
        count = len(recipe.data.target)
        raise ConfigError("data", (f"'target' names {len(data.target)} columns, but the model predicts {count}.",))
    return recipe.model_copy(update={"data": data})


def _rename(columns: Mapping[str, str], inputs: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    """Return input role → column of these data."""
    if isinstance(inputs, Mapping):
        if unknown := [role for role in inputs if role not in columns]:
            raise ConfigError(
                "data", (f"inputs: the model has no input '{unknown[0]}'. Inputs: {join_words(columns)}.",)
            )
        return {**columns, **inputs}
    if len(inputs) != len(columns):
        raise ConfigError("data", (f"inputs: {len(inputs)} columns for the inputs {join_words(columns)}.",))
    return dict(zip(columns, inputs, strict=True))
