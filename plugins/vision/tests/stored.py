"""Small models of timm with weights drawn by code, and the files that hold them."""

import timm
from drawing import opened
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

SIZE = 64
"""Pixels of a side that the small models read."""


def drawn(name="test_resnet", seed=0, **arguments):
    """A model of timm with its classifier, every tensor of which matters."""
    return opened(timm.create_model(name, **arguments), seed).eval()


def stored(model, path):
    """Save the tensors of a model, and give the path."""
    save_file(model.state_dict(), path)
    return path


def folder_of(model, path, **arguments):
    """Save a model in timm's own format, and give the folder."""
    save_for_hf(model, path, model_args=arguments, safe_serialization=True)
    return path


def change(path, edit):
    """Change the tensors of a file."""
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
