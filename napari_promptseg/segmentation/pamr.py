"""Pixel-adaptive mask refinement: maps flow between neighbours of like colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.sampling import grid_within
from napari_promptseg.segmentation.superpixels import shrunk_picture

#: Eight neighbours at each of these distances, in working cells.
_DISTANCES = (1, 2, 4, 8, 12, 24)


class PixelAdaptiveRefinement:
    """PAMR (Araslanov & Roth 2020), as SCLIP and NACLIP apply it to score maps.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    iterations : int
        Rounds of ``m <- sum_j w_ij m_j``.

    Notes
    -----
    ``w_ij = softmax_j(mean over channels of -|x_i - x_j| / (0.1 s_i))`` with ``s_i`` the standard deviation of
    the colours in the neighbourhood. Weights are computed once per picture: 48 planes of the working grid.
    """

    def __init__(
        self,
        picture: npt.NDArray[np.uint8],
        *,
        iterations: int = 10,
        working_side: int = 320,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = (int(picture.shape[0]), int(picture.shape[1]))
        self.working_shape = grid_within(self.shape, working_side)
        self.iterations = iterations
        self._steps = _steps(self.working_shape)
        colours = torch.as_tensor(shrunk_picture(picture, self.working_shape)).permute(2, 0, 1).to(device)
        self._weights = _affinity(colours, self._steps)

    def __call__(self, probabilities: torch.Tensor) -> PixelMaps:
        """Refine ``(K, h, w)`` maps that cover the picture exactly."""
        maps = F.interpolate(probabilities[None], size=self.working_shape, mode="bilinear", align_corners=False)[0]
        for _ in range(self.iterations):
            out = torch.zeros_like(maps)
            for weight, neighbour in zip(self._weights, _neighbours(maps, self._steps), strict=True):
                out.addcmul_(weight.expand_as(maps), neighbour)
            maps = out
        return PixelMaps(maps, self.shape, self.working_shape)


def _steps(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Offsets of the neighbours; distances beyond the picture are left out, but never all."""
    near = [d for d in _DISTANCES if d < max(shape)] or [1]
    return [(y * d, x * d) for d in near for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def _neighbours(maps: torch.Tensor, steps: list[tuple[int, int]]) -> list[torch.Tensor]:
    """Views of ``(K, h, w)`` maps moved by each step, the border repeated."""
    reach = max(abs(y) for y, _ in steps)
    height, width = maps.shape[-2:]
    padded = F.pad(maps[None], (reach,) * 4, mode="replicate")[0]
    return [padded[:, reach + y : reach + y + height, reach + x : reach + x + width] for y, x in steps]


def _affinity(colours: torch.Tensor, steps: list[tuple[int, int]]) -> torch.Tensor:
    """``(steps, h, w)`` weights that add up to 1 at each cell."""
    moved = _neighbours(colours, steps)
    total, squares = torch.zeros_like(colours), torch.zeros_like(colours)
    for view in moved:
        total += view
        squares += view * view
    mean = total / len(steps)
    spread = (squares / len(steps) - mean * mean).clamp_min(0).sqrt()
    closeness = torch.stack([(-(colours - view).abs() / (0.1 * spread + 1e-3)).mean(dim=0) for view in moved])
    return torch.softmax(closeness, dim=0)
