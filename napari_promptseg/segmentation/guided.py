"""Guided upsampling: probability maps follow the picture's edges at the cost of a few small box filters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.sampling import grid_within, resample


class GuidedFilter:
    """Fast guided filter (He, Sun & Tang 2013; He & Sun 2015) with the picture's brightness as guide.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    side : int
        Cells on the longer side of the grid of coefficients.
    radius : int
        Half the window, in those cells.
    strength : float
        Epsilon, for brightness in ``[0, 1]``.
    working_side : int
        See :class:`~napari_promptseg.segmentation.settings.SegmentationSettings`.

    Notes
    -----
    What depends on the picture alone is computed once. The filter is linear in the maps and keeps constants,
    so probabilities that add up to 1 still do.
    """

    def __init__(
        self,
        picture: npt.NDArray[np.uint8],
        *,
        side: int = 96,
        radius: int = 2,
        strength: float = 3e-4,
        working_side: int = 320,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = (int(picture.shape[0]), int(picture.shape[1]))
        self.working_shape = grid_within(self.shape, working_side)
        self.side, self.radius, self.strength = side, radius, strength
        brightness = brightness_of(picture, device)
        self.guide = brightness.round().to(torch.uint8)
        self._working_guide = shrunk(brightness / 255, self.working_shape)
        self._moments: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, probabilities: torch.Tensor) -> PixelMaps:
        """Filter ``(K, h, w)`` maps that cover the picture exactly."""
        height, width = int(probabilities.shape[-2]), int(probabilities.shape[-1])
        grid = grid_within(self.shape, max(self.side, height, width))
        guide, mean_guide, variance = self._moments_on(grid)
        maps = F.interpolate(probabilities[None], size=grid, mode="bilinear", align_corners=False)[0]
        n_maps = maps.shape[0]
        mean = box_mean(maps, self.radius)
        slope = (box_mean(maps * guide, self.radius) - mean * mean_guide) / (variance + self.strength)
        smooth = box_mean(torch.cat([mean - slope * mean_guide, slope]), self.radius)
        return PixelMaps(
            smooth[:n_maps], self.shape, self.working_shape, smooth[n_maps:], self.guide, self._working_guide
        )

    def _moments_on(self, grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Guide, its local mean and its local variance on a grid; kept for the next call."""
        if grid not in self._moments:
            guide = shrunk(self._working_guide, grid)
            mean, square = box_mean(torch.stack([guide, guide * guide]), self.radius)
            self._moments[grid] = (guide, mean, (square - mean * mean).clamp_min(0))
        return self._moments[grid]


def brightness_of(picture: npt.NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Rec. 601 luma of a ``(Y, X, 3)`` uint8 picture: ``(Y, X)`` float32, 0 to 255."""
    pixels = torch.as_tensor(np.ascontiguousarray(picture)).to(device)
    return pixels.float() @ torch.tensor([0.299, 0.587, 0.114], device=device)


def shrunk(plane: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Cell means of a ``(y, x)`` plane on a grid: halving as long as it goes, then one bilinear step.

    Much faster than ``interpolate(mode="area")`` and as good as it for a guide.
    """
    halvings = max(0, min(int(np.log2(a / b)) for a, b in zip(plane.shape, shape, strict=True)))
    larger = (shape[0] << halvings, shape[1] << halvings)
    out = plane[None, None]
    if tuple(plane.shape) != larger:
        out = F.interpolate(out, size=larger, mode="bilinear", align_corners=False)
    for _ in range(halvings):
        out = F.avg_pool2d(out, 2)
    return out[0, 0]


def box_mean(maps: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a square window of ``2 * radius + 1`` cells, fewer at the border; ``(K, h, w)`` to the same.

    As two products with small band matrices: on grids of this size a third of the time of average pooling.
    """
    return resample(maps, band(maps.shape[-2], radius), band(maps.shape[-1], radius))


def band(n: int, radius: int) -> torch.Tensor:
    """``(n, n)`` float32: row i averages the cells within `radius` of i."""
    index = torch.arange(n)
    near = ((index[:, None] - index).abs() <= radius).float()
    return near / near.sum(dim=1, keepdim=True)
