"""A second fit on a backbone object: it starts without inserted modules, and is undone if it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from taskgraft.adaptation.fitted_task import FittedTask
from taskgraft.adaptation.insertion import current_path, put_back_modules, remove_modules
from taskgraft.contract.backbone import named_tensors


@contextmanager
def undone_on_failure(fitted: FittedTask | None) -> Iterator[None]:
    """Remove the inserted modules of a fitted task. If the block fails, put them back, with all tensors as they were.

    For a block that trains the same backbone object again, whose tensors are copied to main memory meanwhile; None for any
    other block, which nothing is done for.
    """
    if fitted is None:
        yield
        return
    backbone, device = fitted.task.backbone, fitted.task.device
    before = {name: tensor.detach().to("cpu", copy=True) for name, tensor in named_tensors(backbone).items()}
    paths = [current_path(one, fitted.inserted[index + 1 :]) for index, one in enumerate(fitted.inserted)]
    around = [backbone.get_submodule(path) for path in paths]
    remove_modules(backbone, fitted.inserted)
    try:
        yield
    except BaseException:
        put_back_modules(backbone, fitted.inserted, around)
        fitted.task.to(device).eval()
        present = named_tensors(backbone)
        with torch.no_grad():
            for name, tensor in before.items():
                present[name].copy_(tensor)
        raise
