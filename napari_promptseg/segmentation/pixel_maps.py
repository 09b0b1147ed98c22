"""Probability maps that can be read at any pixel without ever being stored at full resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from napari_promptseg.segmentation.sampling import centres, on_grid, taps


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """``base + slope * guide``, with base and slope on a coarse grid and the guide at pixels.

    Parameters
    ----------
    base : torch.Tensor
        ``(K, h, w)`` float32; interpolated bilinearly.
    shape : tuple of int
        ``(Y, X)`` of the plane or tile, in pixels.
    working_shape : tuple of int
        Grid on which labels are decided first.
    slope : torch.Tensor, optional
        ``(K, h, w)`` float32: how much each map changes with the guide, as a guided filter gives it.
    guide : torch.Tensor, optional
        ``(Y, X)`` uint8, 0 to 255 standing for 0 to 1.
    working_guide : torch.Tensor, optional
        ``working_shape`` float32 in ``[0, 1]``: the guide's mean in each working cell.
    """

    base: torch.Tensor
    shape: tuple[int, int]
    working_shape: tuple[int, int]
    slope: torch.Tensor | None = None
    guide: torch.Tensor | None = None
    working_guide: torch.Tensor | None = None

    def on_working_grid(self) -> torch.Tensor:
        """``(K, *working_shape)`` float32."""
        values = on_grid(self.base, self.working_shape)
        if self.slope is not None and self.working_guide is not None:
            values = torch.addcmul(values, on_grid(self.slope, self.working_shape), self.working_guide)
        return values

    def full(self, index: int) -> torch.Tensor:
        """One map at every pixel: ``(Y, X)`` float32."""
        values = on_grid(self.base[index : index + 1], self.shape)[0]
        if self.slope is not None and self.guide is not None:
            values = values + on_grid(self.slope[index : index + 1], self.shape)[0] * (self.guide.float() / 255)
        return values

    def at(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Values at single pixels: ``(K, n)`` float32 for ``(n,)`` integer rows and columns."""
        if self.slope is None or self.guide is None:
            return _gathered(self.base, rows, columns, self.shape)
        n_maps = self.base.shape[0]
        both = _gathered(torch.cat([self.base, self.slope]), rows, columns, self.shape)
        return both[:n_maps] + both[n_maps:] * (self.guide[rows, columns].float() / 255)


def _gathered(maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The same interpolation at single pixels. Maps lie last in the table, so that a pixel is one short copy."""
    n_maps, height, width = maps.shape
    table = maps.permute(1, 2, 0).reshape(height * width, n_maps).contiguous()
    low_y, high_y, weight_y = (t.to(maps.device) for t in taps(centres(shape[0]), height))
    low_x, high_x, weight_x = (t.to(maps.device) for t in taps(centres(shape[1]), width))
    top, bottom, down = (low_y * width)[rows], (high_y * width)[rows], weight_y[rows]
    left, right, along = low_x[columns], high_x[columns], weight_x[columns]
    corners = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=1)
    lower = down * along
    weights = torch.stack([1 - down - along + lower, along - lower, down - lower, lower], dim=1)
    # a weighted sum of table rows per pixel, in one pass over memory
    return F.embedding_bag(corners, table, mode="sum", per_sample_weights=weights).T
