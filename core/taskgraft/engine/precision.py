"""Numerical precision: autocast, and oneDNN kernels for frozen linear layers on CPUs where MKL is slow."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

_CHUNK = 512
"""Positions that one call multiplies. Larger chunks gain nothing, and large temporaries cost page faults."""

_AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

_MIN_MULTIPLICATIONS = 1 << 24
"""Below this, copying into oneDNN's tensors costs more than its kernels save."""


def resolve_precision(precision: str, device: torch.device) -> str:
    """Replace ``auto`` by bf16, else fp16, on a CUDA device, and by fp32 everywhere else."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Multiply in a precision; the weights keep their dtype."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, _AUTOCAST_DTYPES[precision])


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds no infinity and no NaN.

    A sum over one of these is not finite either, and takes a third of the time. So is one that overflows: look again.
    """
    if not tensor.is_floating_point() or tensor.is_meta:
        return True
    wide = tensor.float() if tensor.element_size() == 1 else tensor
    return bool(torch.isfinite(wide.sum())) or bool(torch.isfinite(wide).all())


class OneDnnLinear(TorchFunctionMode):
    """Compute linear layers with oneDNN where torch would use MKL on a CPU that MKL serves badly.

    A context for forward passes without gradients. MKL keeps its fastest kernels to Intel's CPUs; on AMD's, oneDNN, which ships
    with torch, takes half the time in the same fp32. Everything else is computed as usual.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func is linear and not kwargs and uses_onednn(*args):
            return _onednn_linear(*args)
        return func(*args, **(kwargs or {}))


def uses_onednn(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Return whether :class:`OneDnnLinear` computes a linear layer with oneDNN."""
    return (
        _cpu_gains()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and value.numel() * weight.shape[0] >= _MIN_MULTIPLICATIONS
        and all(_is_dense_cpu_fp32(tensor) for tensor in (value, weight, bias) if tensor is not None)
    )


def _onednn_linear(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``value · weightᵀ + bias``; ``value``: ``(…, features in)``."""
    parameters = weight.to_mkldnn(), None if bias is None else bias.to_mkldnn()
    flat = value.reshape(-1, value.shape[-1])
    result = flat.new_empty(len(flat), weight.shape[0])
    for chunk, out in zip(flat.split(_CHUNK), result.split(_CHUNK), strict=True):
        out.copy_(linear(chunk.to_mkldnn(), *parameters).to_dense())
    return result.reshape(*value.shape[:-1], weight.shape[0])


def _is_dense_cpu_fp32(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.layout == torch.strided


@cache
def _cpu_gains() -> bool:
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
