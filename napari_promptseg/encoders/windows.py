"""How a picture of any size is brought onto a grid of cells, whole or in overlapping windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Window:
    """Cells ``[row, row + height)`` by ``[column, column + width)`` of a grid."""

    row: int
    column: int
    height: int
    width: int


def grid_by_area(image_shape: tuple[int, int], cells: float) -> tuple[int, int]:
    """Grid ``(h, w)`` of about `cells` cells with the picture's aspect; at least 1 each way."""
    y, x = image_shape
    h = math.sqrt(cells * y / x)
    return max(1, round(h)), max(1, round(h * x / y))


def grid_by_short_side(image_shape: tuple[int, int], short: int, most_cells: float) -> tuple[int, int]:
    """Grid ``(h, w)`` with `short` cells on the shorter side, or fewer where that would pass `most_cells`."""
    y, x = image_shape
    scale = short / min(y, x)
    if y * x * scale**2 > most_cells:
        return grid_by_area(image_shape, most_cells)
    return max(1, round(y * scale)), max(1, round(x * scale))


def windows(grid: tuple[int, int], size: tuple[int, int]) -> list[Window]:
    """Windows of `size` cells (or the grid's, where smaller), half a window apart, covering the grid exactly."""
    height, width = min(size[0], grid[0]), min(size[1], grid[1])
    return [
        Window(row, column, height, width) for row in _starts(grid[0], height) for column in _starts(grid[1], width)
    ]


def _starts(length: int, window: int) -> list[int]:
    step = max(1, window // 2)
    return sorted({*range(0, length - window + 1, step), length - window})


def resized(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bicubic, antialiased resize of ``(b, 3, Y, X)`` in ``[0, 1]``; the overshoot is clipped."""
    if tuple(pixels.shape[-2:]) == (height, width):
        return pixels
    result = functional.interpolate(pixels, (height, width), mode="bicubic", align_corners=False, antialias=True)
    return result.clamp(0, 1)
