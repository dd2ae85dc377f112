"""Where a model runs and in which type, and what it is when there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dicom_io.errors import EngineError, OutOfDeviceMemory

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(name: str) -> torch.device:
    """Return the device of a setting; "auto" takes CUDA where there is one.

    Raises
    ------
    EngineError
        torch knows no such device, or this machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"torch knows no device {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"device {name!r} was asked for, and torch sees no such GPU here")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a setting; "auto" is bfloat16 on CUDA and float32 elsewhere.

    Raises
    ------
    EngineError
        It is no type that models run in.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise EngineError(f"dtype must be auto or one of {', '.join(DTYPES)}, got {name!r}")
    return DTYPES[name]


def has_bfloat16_units() -> bool:
    """Tell whether this processor multiplies bfloat16 itself (AVX512-BF16 or AMX)."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def device_memory(device: torch.device) -> Iterator[None]:
    """Tell a device that is full in words of our own."""
    try:
        yield
    except RuntimeError as error:
        on_cpu = "DefaultCPUAllocator" in str(error)  # a plain RuntimeError there
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        raise OutOfDeviceMemory(f"{device} has not enough free memory for this model") from error
