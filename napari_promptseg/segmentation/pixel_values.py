"""What single pixels and their neighbourhoods measure: brightness, edges and texture at several widths.

The values that pixel classifiers of microscopy are taught on (ilastik: Berg et al., Nature Methods 2019): a Gaussian's
mean, the length of its gradient and both eigenvalues of its Hessian, each in units of the Gaussian's width
(Lindeberg 1998). From a width of four pixels on they are taken on a coarser grid, which costs next to nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

#: Standard deviations of the Gaussians, in pixels.
WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)

#: Values of a pixel: its brightness, and four of each width.
N_VALUES = 1 + 4 * len(WIDTHS)

#: A picture is made coarser while the Gaussian is wider than so many of its cells.
_FINE_ENOUGH = 2.0
_LEAST_SIDE = 8
_TINY = 1e-12


def pixel_values(picture: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Values of every pixel.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8; its brightness counts.

    Returns
    -------
    torch.Tensor
        ``(N_VALUES, Y, X)`` float32 on the processor.
    """
    grey = torch.from_numpy(picture.mean(axis=-1, dtype=np.float32) / 255)[None, None]
    height, width = grey.shape[-2:]
    found = [grey[0]]
    smooth, wide, step = grey, 0.0, 1
    for sigma in WIDTHS:
        if sigma / step > _FINE_ENOUGH and min(smooth.shape[-2:]) >= _LEAST_SIDE:
            even = (0, smooth.shape[3] % 2, 0, smooth.shape[2] % 2)
            smooth = F.avg_pool2d(F.pad(smooth, even, mode="replicate"), 2)
            # a pair's mean is a little blur of its own
            wide = (wide**2 + step**2 / 4) ** 0.5
            step *= 2
        smooth = _blurred(smooth, (sigma**2 - wide**2) ** 0.5 / step)
        wide = sigma
        level = _measures(smooth, sigma / step)
        if step > 1:
            level = F.interpolate(level, scale_factor=step, mode="bilinear", align_corners=False)
        found.append(level[0, :, :height, :width])
    return torch.cat(found)


def _measures(smooth: torch.Tensor, sigma: float) -> torch.Tensor:
    """``(1, 4, h, w)``: mean, gradient, and both eigenvalues of the Hessian, for cells that sigma is measured in."""
    p = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
    left, right, above, below = p[..., 1:-1, :-2], p[..., 1:-1, 2:], p[..., :-2, 1:-1], p[..., 2:, 1:-1]
    gradient = ((right - left).square() + (below - above).square() + _TINY).sqrt() * (sigma / 2)
    xx, yy = right + left - 2 * smooth, below + above - 2 * smooth
    xy = (p[..., 2:, 2:] + p[..., :-2, :-2] - p[..., 2:, :-2] - p[..., :-2, 2:]) / 4
    middle, reach = (xx + yy) / 2, (((xx - yy) / 2).square() + xy.square() + _TINY).sqrt()
    return torch.cat([smooth, gradient, (middle + reach) * sigma**2, (middle - reach) * sigma**2], dim=1)


def _blurred(maps: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian of ``(1, 1, h, w)``, mirrored at the borders."""
    radius = max(1, int(3 * sigma + 0.5))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    kernel = kernel / kernel.sum()
    for axis in (2, 3):
        length = maps.shape[axis]
        places = torch.arange(-radius, length + radius) % (2 * length)
        places = torch.where(places >= length, 2 * length - 1 - places, places)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        maps = F.conv2d(maps.index_select(axis, places), kernel.view(shape))
    return maps
