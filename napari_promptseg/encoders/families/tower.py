"""What every family of image towers offers, and how a tower is recognised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class TowerFeatures:
    """Features of a batch of resized pictures.

    Parameters
    ----------
    semantic : torch.Tensor
        ``(b, h, w, d)`` in the joint space, not normalised.
    detail : torch.Tensor
        ``(b, c, h', w')`` from earlier layers, on a grid at least as fine.
    pooled : torch.Tensor
        ``(b, d)``, what the library's own image tower returns for the same pixels.
    """

    semantic: torch.Tensor
    detail: torch.Tensor
    pooled: torch.Tensor


class ImageTower(ABC):
    """A frozen image tower of one family.

    Attributes
    ----------
    family : str
        Plain name for people.
    modes : tuple of str
        Dense modes it offers.
    default_mode : str
    stride : int
        Pixels per cell: inputs must be multiples of it.
    native_grid : tuple of int
        ``(h, w)`` cells at the size the tower was trained on.
    windowed : bool
        Whether the tower sees a limited field best at its own size, so that sliding windows help.
    """

    family: ClassVar[str]
    modes: ClassVar[tuple[str, ...]]
    default_mode: str
    stride: int
    native_grid: tuple[int, int]
    windowed: bool = True

    @abstractmethod
    def extract(self, pixels: torch.Tensor, mode: str) -> TowerFeatures:
        """Features of ``(b, 3, h * stride, w * stride)`` pixels, normalised as the model expects."""


def stack_levels(levels: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
    """Bring maps ``(b, c_i, h_i, w_i)`` onto one grid (averaged or interpolated) and join their channels."""
    resized = []
    for level in levels:
        if tuple(level.shape[-2:]) == grid:
            resized.append(level)
        elif level.shape[-2] >= grid[0] and level.shape[-1] >= grid[1]:
            resized.append(functional.adaptive_avg_pool2d(level, grid))
        else:
            resized.append(functional.interpolate(level, grid, mode="bilinear", align_corners=False))
    return torch.cat(resized, dim=1)


def as_pair(size: Any) -> tuple[int, int]:
    """``(height, width)`` of a size given as one number or two."""
    if isinstance(size, (tuple, list)):
        return int(size[0]), int(size[-1])
    return int(size), int(size)
