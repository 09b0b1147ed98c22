"""Where a model runs: the choice of device, and what counts as its memory being full."""

from __future__ import annotations

import gc

import torch

from napari_promptseg.errors import InputError

#: Names a user may give.
DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """Device of that name; ``"auto"`` takes the first of CUDA, MPS and CPU that is there.

    Raises
    ------
    InputError
        If the name is unknown or the device is not on this machine.
    """
    kind, _, number = name.strip().lower().partition(":")
    if kind not in DEVICES or (number and not number.isdigit()):
        raise InputError(f"There is no device {name!r}: choose one of {', '.join(DEVICES)}.")
    if kind == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise InputError("This machine has no CUDA device that torch can use: choose cpu or auto.")
        if number and int(number) >= torch.cuda.device_count():
            raise InputError(f"There is no device {name!r}: torch sees {torch.cuda.device_count()} CUDA device(s).")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("This machine has no MPS device that torch can use: choose cpu or auto.")
    return torch.device(f"{kind}:{number}" if number and kind == "cuda" else kind)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's memory is full (CUDA has a class for it, MPS only a message)."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def free_memory() -> None:
    """Give memory of the device that nothing holds any more back to others."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
