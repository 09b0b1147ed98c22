"""A model's identity: configuration, weights and settings in one short digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch


def fingerprint(weights: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> str:
    """Hex digest (32 characters) of all weights and settings.

    Parameters
    ----------
    weights : mapping of str to torch.Tensor
        A state dict; every byte counts, the order does not.
    settings : mapping
        Plain JSON values, such as configuration and dense mode.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
