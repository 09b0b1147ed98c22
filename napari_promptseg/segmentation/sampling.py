"""Between grids: where cell centres lie and how values are interpolated, the one convention used everywhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def centres(n: int, start: float = 0.0, stop: float = 1.0) -> torch.Tensor:
    """Centres of `n` equal cells over ``[start, stop)``, as shares of an axis: ``(n,)`` float64."""
    return start + (torch.arange(n, dtype=torch.float64) + 0.5) / n * (stop - start)


def taps(places: torch.Tensor, n_cells: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two cells, and the weight of the second, that interpolate an axis at some places.

    Parameters
    ----------
    places : torch.Tensor
        ``(n,)`` shares of the axis, 0 at its first edge and 1 at its last.
    n_cells : int
        Cells of the axis; centres at ``(i + 0.5) / n_cells``.

    Returns
    -------
    low, high : torch.Tensor
        ``(n,)`` int64.
    weight : torch.Tensor
        ``(n,)`` float32 in ``[0, 1]``. Beyond the outermost centres the border value holds, as
        ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` does.
    """
    at = (places.double() * n_cells - 0.5).clamp(0, n_cells - 1)
    low = at.floor().long()
    return low, (low + 1).clamp(max=n_cells - 1), (at - low).float()


def bilinear_matrix(places: torch.Tensor, n_cells: int) -> torch.Tensor:
    """The same as a matrix: ``(n, n_cells)`` float32, each row adds up to 1."""
    low, high, weight = taps(places, n_cells)
    matrix = torch.zeros(places.shape[0], n_cells)
    rows = torch.arange(places.shape[0])
    matrix[rows, low] += 1 - weight
    matrix[rows, high] += weight
    return matrix


def resample(maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Apply two interpolation matrices: ``(..., h, w)`` to ``(..., h2, w2)``."""
    return rows.to(maps) @ maps @ columns.to(maps).T


def on_grid(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """``(K, h, w)`` maps on another grid that covers the same plane, bilinear; themselves where it is theirs."""
    if tuple(maps.shape[-2:]) == grid:
        return maps
    return F.interpolate(maps[None], size=grid, mode="bilinear", align_corners=False)[0]


def grid_within(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """A grid with the proportions of `shape` and no side over `longest`; never finer than `shape`."""
    scale = min(1.0, longest / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
