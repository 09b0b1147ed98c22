"""Where a correction would help most: the region whose label is least sure, and large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: Cells on the longer side of the grid that is searched.
SIDE = 256

#: A region may be so long, as a share of the picture's longer side; a longer one (all of an outline, say) is shown
#: in parts of half that length, the most doubtful first.
LONGEST = 0.5

#: Parts of one region that are worth a visit.
_PARTS = 12


@dataclass(frozen=True)
class Region:
    """A part of a plane, in pixels.

    Parameters
    ----------
    centre : tuple of float
        Row and column of the middle of its box.
    extent : tuple of float
        Rows and columns it spans.
    confidence : float
        Mean over it.
    doubt : float
        Sum of ``1 - confidence`` over its pixels: what regions are ordered by.
    """

    centre: tuple[float, float]
    extent: tuple[float, float]
    confidence: float
    doubt: float


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
    longest = max(1, round(LONGEST * max(doubt.shape)))
    found = []
    for number, where in enumerate(ndimage.find_objects(pieces, n), start=1):
        inside = pieces[where] == number
        here = np.where(inside, doubt[where], 0.0)
        parts = [inside] if max(inside.shape) <= longest else _parted(here, max(1, longest // 2))
        found += [_region(here, part, (where[0].start, where[1].start), step) for part in parts]
    return sorted(found, key=lambda r: -r.doubt)


def _parted(doubt: npt.NDArray[np.float32], side: int) -> list[npt.NDArray[np.bool_]]:
    """Cut a long region into windows of `side`, each where most of the doubt is that is left."""
    left, parts = doubt.copy(), []
    for _ in range(_PARTS):
        sums = ndimage.uniform_filter(left, size=side, mode="constant")
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        window = (
            slice(max(0, int(row) - side // 2), int(row) - side // 2 + side),
            slice(max(0, int(column) - side // 2), int(column) - side // 2 + side),
        )
        part = np.zeros(doubt.shape, dtype=bool)
        part[window] = left[window] > 0
        if not part.any():
            break
        parts.append(part)
        left[window] = 0
    return parts


def _region(
    doubt: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], corner: tuple[int, int], step: int
) -> Region:
    """A region from its cells, which are `step` pixels wide."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom, first, last = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    centre = ((corner[0] + (top + bottom) / 2) * step, (corner[1] + (first + last) / 2) * step)
    extent = (float((bottom - top) * step), float((last - first) * step))
    return Region(centre, extent, 1.0 - float(doubt[inside].mean()), float(doubt[inside].sum()) * step**2)
