"""Small timm models with random weights, and files of them."""

import timm
from safetensors.torch import load_file, save_file
from sample_images import randomize_weights
from timm.models import save_for_hf

SIZE = 64
"""Input size of the small models, in pixels."""


def random_model(name="test_resnet", seed=0, **arguments):
    """A timm model with its classifier, whose every tensor affects the output."""
    return randomize_weights(timm.create_model(name, **arguments), seed).eval()


def save_weights(model, path):
    """Save the tensors of a model, and return the path."""
    save_file(model.state_dict(), path)
    return path


def save_folder(model, path, **arguments):
    """Save a model in timm's own format, and return the folder."""
    save_for_hf(model, path, model_args=arguments, safe_serialization=True)
    return path


def edit_tensors(path, edit):
    """Edit the tensors of a file."""
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
