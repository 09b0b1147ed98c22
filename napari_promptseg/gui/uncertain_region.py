"""Where a correction would help most: the region whose label is least sure, and large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: Cells on the longer side of the grid that is searched.
SIDE = 256


@dataclass(frozen=True)
class Region:
    """A part of a plane, in pixels.

    Parameters
    ----------
    centre : tuple of float
        Row and column of its least sure place's neighbourhood.
    extent : tuple of float
        Rows and columns it spans.
    confidence : float
        Mean over it.
    """

    centre: tuple[float, float]
    extent: tuple[float, float]
    confidence: float


def uncertain_regions(confidence: npt.NDArray[Any], own: npt.NDArray[np.bool_] | None = None) -> list[Region]:
    """Regions of low confidence, those with most doubt in all first.

    Parameters
    ----------
    confidence : numpy.ndarray
        ``(Y, X)`` in ``[0, 1]``.
    own : numpy.ndarray, optional
        ``(Y, X)`` pixels the user has painted, which are beyond doubt.

    Returns
    -------
    list of Region
        Empty where everything is equally sure. Doubt is ``1 - confidence``; a region is where it is above the mean of
        its middle and highest value.
    """
    step = max(1, -(-max(confidence.shape) // SIDE))
    doubt = 1.0 - confidence[::step, ::step].astype(np.float32)
    if own is not None:
        doubt[own[::step, ::step]] = 0.0
    level = (float(np.median(doubt)) + float(doubt.max())) / 2
    if doubt.max() - doubt.min() < 1e-3:
        return []
    pieces, n = ndimage.label(doubt > level)
    sums = ndimage.sum_labels(doubt, pieces, range(1, n + 1))
    found = []
    for i, where in enumerate(ndimage.find_objects(pieces, n)):
        inside = pieces[where] == i + 1
        rows, columns = np.nonzero(inside)
        centre = ((rows.mean() + where[0].start + 0.5) * step, (columns.mean() + where[1].start + 0.5) * step)
        extent = (float(inside.shape[0] * step), float(inside.shape[1] * step))
        sure = 1.0 - float(doubt[where][inside].mean())
        found.append((float(sums[i]), Region((float(centre[0]), float(centre[1])), extent, sure)))
    return [region for _, region in sorted(found, key=lambda f: -f[0])]
