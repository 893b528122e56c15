"""How numbers are computed: in which precision, and by which of torch's kernels where nothing learns."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

ROWS = 512
"""Positions that one call multiplies. More at once gains nothing, and large temporaries cost page faults."""

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Types of 16 bits, by the name of the precision that multiplies in them."""

WORTH = 1 << 24
"""Multiplications below which the copies into oneDNN's tensors cost more than its kernels save."""


def resolve_precision(precision: str, device: torch.device) -> str:
    """Choose for ``auto``: bf16 or else fp16 on a CUDA device, fp32 everywhere else."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Multiply in a precision; the weights stay what they are."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, HALVES[precision])


class OneDnnLinear(TorchFunctionMode):
    """Compute linear layers by oneDNN where torch would take MKL on a processor that MKL does not serve well.

    A context for passes without gradients. MKL keeps its fastest kernels to Intel's processors; on AMD's, oneDNN, which
    the same torch carries, takes half the time in the same fp32. Everything else is computed as it always is.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is linear and not kwargs and applies(*args):
            return _linear(*args)
        return func(*args, **(kwargs or {}))


def applies(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Say whether a linear layer is computed by oneDNN."""
    return (
        _processor_gains()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and value.numel() * weight.shape[0] >= WORTH
        and all(_plain(tensor) for tensor in (value, weight, bias) if tensor is not None)
    )


def _linear(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``value · weightᵀ + bias``; ``value``: ``(…, features in)``."""
    kept = weight.to_mkldnn(), None if bias is None else bias.to_mkldnn()
    flat = value.reshape(-1, value.shape[-1])
    found = flat.new_empty(len(flat), weight.shape[0])
    for some, out in zip(flat.split(ROWS), found.split(ROWS), strict=True):
        out.copy_(linear(some.to_mkldnn(), *kept).to_dense())
    return found.reshape(*value.shape[:-1], weight.shape[0])


def _plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.layout == torch.strided


@cache
def _processor_gains() -> bool:
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
