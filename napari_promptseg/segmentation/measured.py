"""What the pixels of a scene measure, beside what a network makes of them: brightness, hue, texture, and differences.

Features are standardised per picture, so that how bright a thing is in itself is lost on the way; of a satellite's band
or a contrast of magnetic resonance that is half of what is known. Between modalities, normalised differences are what
remote sensing calls indices: of near infrared and red, the vegetation index.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.prompts.modality_notes import ModalityNote

Picture = npt.NDArray[np.uint8]

#: Cells over which values are averaged (Gaussian); 0 is the cell itself.
_SCALES = (0.0, 1.0, 3.0)
_TEXTURE = 1.5
_TEXTURE_GAIN = 5.0
_FLOOR = 0.05
#: Values lie around here, and are brought to twice the spread of standardised features: they are few beside hundreds,
#: under one penalty with them, and what a single labelled picture can teach (docs/modalities.md).
_CENTRE, _GAIN = 0.3, 4.0


def measured(
    pictures: Sequence[Picture], notes: Sequence[ModalityNote], grid: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """Measured values of one or several modalities of a plane.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        ``(Y, X, 3)`` uint8 each, of one shape or covering the same plane.
    notes : sequence of ModalityNote
        What they show: three channels of ``"rgb"`` count, else one.
    grid : tuple of int
        ``(h, w)`` of the result.
    device : torch.device

    Returns
    -------
    torch.Tensor
        ``(h, w, k)`` float32: per channel its value and square at three scales and its spread; per pair of channels,
        of one modality or of two, the normalised difference at three scales.
    """
    found: list[torch.Tensor] = []
    scaled: list[list[torch.Tensor]] = []
    for picture, note in zip(pictures, notes, strict=True):
        values = torch.tensor(picture).to(device).float().permute(2, 0, 1) / 255
        values = values if note.kind == "rgb" else values.mean(dim=0, keepdim=True)
        cells, squares = _on(values, grid), _on(values.square(), grid)
        levels = [_blurred(cells, sigma) for sigma in _SCALES]
        spread = _blurred(squares, _TEXTURE) - _blurred(cells, _TEXTURE).square()
        found.append(_TEXTURE_GAIN * spread.clamp_min(0).sqrt())
        for level in levels:
            found += [level, level.square(), *(_difference(a, b) for a, b in combinations(_each(level), 2))]
        scaled.append(levels)
    for one, other in combinations(scaled, 2):
        for a, b in zip(one, other, strict=True):
            found += [_difference(x, y) for x in _each(a) for y in _each(b)]
    return (_GAIN * (torch.cat(found) - _CENTRE)).permute(1, 2, 0).contiguous()


def _each(values: torch.Tensor) -> list[torch.Tensor]:
    """Channels ``(1, h, w)`` of ``(c, h, w)``."""
    return [values[i : i + 1] for i in range(values.shape[0])]


def _difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (b - a) / (a + b + _FLOOR)


def _on(values: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """``(c, y, x)`` on a grid: means of cells where it is coarser, interpolated where it is finer."""
    if values.shape[-2] >= grid[0] and values.shape[-1] >= grid[1]:
        return F.adaptive_avg_pool2d(values, grid)
    return F.interpolate(values[None], grid, mode="bilinear", align_corners=False)[0]


def _blurred(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """``(c, h, w)`` averaged with a Gaussian of `sigma` cells, edges repeated."""
    if not sigma:
        return values
    reach = int(3 * sigma + 0.5)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32, device=values.device)
    kernel = torch.exp(-at.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(values.shape[0], 1, -1)
    padded = F.pad(values[None], (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel[:, :, :, None], groups=values.shape[0])
    return F.conv2d(rows, kernel[:, :, None, :], groups=values.shape[0])[0]
