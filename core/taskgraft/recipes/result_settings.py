"""The settings of a recipe that decide the result of a fit."""

from typing import Any

from taskgraft.recipe import Recipe

_FREE_TRAINING_SETTINGS = ("workers", "memory", "checkpoint_every", "trackers")
"""May change when a run is resumed: they do not change its weights."""

_DATA_LOCATIONS = ("train", "validation")
"""Where the rows come from may change as well; the rows may not."""


def result_settings(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain JSON, without the settings that may change when a run is resumed."""
    settings = recipe.model_dump(mode="json")
    for name, free in (("training", _FREE_TRAINING_SETTINGS), ("data", _DATA_LOCATIONS)):
        settings[name] = {key: value for key, value in settings[name].items() if key not in free}
    return settings
