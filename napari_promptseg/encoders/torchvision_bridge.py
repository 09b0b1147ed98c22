"""Import torchvision beside a torch that does not fit its compiled operators.

OpenCLIP, timm and transformers import torchvision for transforms only. Where torch and torchvision come from
different builds (a CPU torch beside a CUDA torchvision, say), the import stops at registering fake versions of
compiled operators that could not be loaded: ``RuntimeError: operator torchvision::nms does not exist``. None of
those operators is used here, so they are declared by name, without an implementation, and the import goes on;
calling one of them would still raise. Where torchvision imports normally this module does nothing.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from typing import Any

import torch

from napari_promptseg.errors import ModelError

_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_MOST_OPERATORS = 8

#: Declarations live as long as this list: a library that is collected takes its operators with it.
_declared: list[Any] = []


@cache
def ensure_torchvision() -> None:
    """Make ``import torchvision`` work, or say why it cannot.

    Raises
    ------
    ModelError
        If torchvision is broken in another way than missing operators, or is not installed.
    """
    for _ in range(_MOST_OPERATORS):
        try:
            import_module("torchvision")
        except RuntimeError as error:
            operator = _MISSING.search(str(error))
            if operator is None:
                raise ModelError(
                    f"The installed torchvision cannot be imported ({error}): reinstall torch and torchvision together."
                ) from error
            make: Any = torch.library.Library  # has no annotations
            library = make("torchvision", "FRAGMENT")
            library.define(operator.group(1) + _SCHEMA)
            _declared.append(library)
            for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
                del sys.modules[name]
        except ImportError as error:
            raise ModelError(
                f"torchvision is missing or incomplete ({error}): reinstall it with: pip install torchvision."
            ) from error
        else:
            return
    raise ModelError("torchvision misses too many operators: reinstall torch and torchvision together.")


def open_clip_module() -> Any:
    """The ``open_clip`` package, imported with torchvision made to load first."""
    ensure_torchvision()
    return import_module("open_clip")
