"""The errors of this plugin."""

from taskgraft.plugin import TaskgraftError


class VisionError(TaskgraftError):
    """A model, a setting or a file that this plugin cannot use. The message says which, and what to change."""


def unreadable_size(model: str, size: tuple[int, int], own: tuple[int, int], error: Exception) -> VisionError:
    """Say that a model cannot read images of a size, and how to change it.

    Args:
        size, own: height and width in pixels: those of the settings, and those of the model.
    """
    return VisionError(
        f"The model '{model}' cannot read images of {size[0]} × {size[1]} pixels: {reason(error)}.\n"
        f"Change 'image_size' in the backbone's settings; the model's own size is {own[0]} × {own[1]}."
    )


def not_colour(channels: int) -> str:
    """Say that a model reads another number of channels than three."""
    return f"it reads {channels} channels, not red, green and blue; choose a model of colour images"


def reason(error: Exception) -> str:
    """Return the first line of an error of a library."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200].rstrip(".")
