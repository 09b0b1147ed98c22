"""What judges when concepts are learned from regions: other regions where there are several, other parts of the one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from napari_promptseg.learning.regions.drawn import DrawnRegion

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parts:
    """Which part each pixel of each plane belongs to; parts judge in turn.

    Parameters
    ----------
    number : int
    maps : dict of int to numpy.ndarray
        By the identity of the plane's features, ``(Y, X)`` int64 from 0 to ``number - 1``.
    held_out : {"images", "regions", "parts"}
        What one part is.
    """

    number: int
    maps: dict[int, Ints]
    held_out: str


def parts_of(regions: Sequence[DrawnRegion], most: int) -> Parts:
    """Divide planes into parts, each of which shows some of a region.

    Parameters
    ----------
    regions : sequence of DrawnRegion
    most : int
        Parts, at most.

    Notes
    -----
    Planes as a whole where several have positive regions. On one plane pixels go with the nearest region; of a single
    region each half, across its long axis, has its own side of the plane.
    """
    planes = list(dict.fromkeys(id(r.features) for r in regions if r.positive))
    shapes = {id(r.features): r.mask.shape for r in regions}
    if len(planes) > 1:
        number = min(most, len(planes))
        turn = {p: i % number for i, p in enumerate(planes)}
        # a plane that shows only what the class is not teaches always, and judges in one part
        return Parts(number, {p: np.full(s, turn.get(p, 0), np.int64) for p, s in shapes.items()}, "images")
    own = [r for r in regions if r.positive]
    maps = {p: np.zeros(s, np.int64) for p, s in shapes.items()}
    if len(own) > 1:
        number = min(most, len(own))
        near = np.stack([distance_transform_edt(~r.mask) for r in own])
        maps[planes[0]] = near.argmin(axis=0) % number
        return Parts(number, maps, "regions")
    maps[planes[0]] = _halves(own[0].mask)
    return Parts(2, maps, "parts")


def _halves(mask: npt.NDArray[np.bool_]) -> Ints:
    """0 and 1 on either side of the line across a region's long axis that leaves as many of its pixels on each."""
    rows, columns = np.nonzero(mask)
    places = np.stack([rows, columns], axis=1).astype(np.float64)
    centred = places - places.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along = centred @ axes[:, -1]
    y, x = np.indices(mask.shape)
    everywhere = (y - places[:, 0].mean()) * axes[0, -1] + (x - places[:, 1].mean()) * axes[1, -1]
    sides: Ints = (everywhere > np.median(along)).astype(np.int64)
    return sides
