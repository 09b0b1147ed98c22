"""Learned position embeddings on a grid other than the one they were trained on."""

from __future__ import annotations

import torch
from torch.nn import functional


def resample_positions(
    embedding: torch.Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int], prefix: int
) -> torch.Tensor:
    """Interpolate a learned position embedding bicubically.

    Parameters
    ----------
    embedding : torch.Tensor
        ``(prefix + old_h * old_w, c)``; the first `prefix` rows belong to class tokens and stay as they are.
    old_grid, new_grid : tuple of int
        ``(h, w)`` in patches.
    prefix : int

    Returns
    -------
    torch.Tensor
        ``(prefix + new_h * new_w, c)``; the same object where the grid does not change.

    Notes
    -----
    Antialiased, as OpenCLIP resizes them on loading, so that smaller grids than the trained one are averaged.
    """
    if tuple(old_grid) == tuple(new_grid):
        return embedding
    planes = embedding[prefix:].T.reshape(1, -1, *old_grid)
    planes = functional.interpolate(planes.float(), new_grid, mode="bicubic", align_corners=False, antialias=True)
    patches = planes.to(embedding.dtype).reshape(embedding.shape[1], -1).T
    return torch.cat([embedding[:prefix], patches]) if prefix else patches
