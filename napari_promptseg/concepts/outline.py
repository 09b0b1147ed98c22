"""Numbers that say what a part's outline is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: A part is measured on a grid of at most so many pixels a side; its outline does not change by more.
_LARGEST_SIDE = 384
#: The outline is smoothed over this share of the diameter, so that the same shape is as rough at every size.
_SMOOTHED = 0.04


@dataclass(frozen=True)
class Outline:
    """Of one part; independent of its size, place and direction.

    Parameters
    ----------
    area : int
        Pixels.
    aspect : float
        Shorter over longer axis, in ``(0, 1]``: the geometric mean of what the ellipse with the same second moments
        says and of the narrowest over the widest diameter between parallel lines (calipers). Both are the ratio of
        the axes for an ellipse; elsewhere the first hardly sees a corner and the second sees little else.
    solidity : float
        Area with holes filled over that of the convex hull, in ``(0, 1]``.
    roughness : float
        Outer perimeter over that of the convex hull; 1 for a convex outline.
    rectangularity : float
        Filled area over that of the smallest rectangle around it, in ``(0, 1]``; a disc has 0.785.
    largest_notch : float
        Share of the hull's part outside the outline that lies in one piece, in ``[0, 1]``.
    hole_share : float
        Share of the filled area that is holes, in ``[0, 1)``; 0 where the Euler number finds no hole.
    """

    area: int
    aspect: float
    solidity: float
    roughness: float
    rectangularity: float
    largest_notch: float
    hole_share: float

    @property
    def diameter(self) -> float:
        """Of a disc with that area, in pixels."""
        return float(2.0 * np.sqrt(self.area / np.pi))


def measure_outline(part: npt.NDArray[np.bool_], area: int) -> Outline:
    """Measure a part in its own box.

    Parameters
    ----------
    part : numpy.ndarray
        ``(y, x)`` bool, at least one pixel.
    area : int
        Its pixels.
    """
    from scipy import ndimage
    from scipy.spatial import ConvexHull
    from skimage.measure import regionprops

    step = -(-max(part.shape) // _LARGEST_SIDE)
    seen = part[::step, ::step] if step > 1 else part
    if np.count_nonzero(seen) < 4:
        # so thin that the coarse grid passes it by
        seen = part
    properties = regionprops(seen.astype(np.uint8))[0]
    holes, filled = 0.0, seen
    if properties.euler_number < 1:
        filled = ndimage.binary_fill_holes(seen)
        whole = np.count_nonzero(filled)
        holes = 1.0 - np.count_nonzero(seen) / whole
        properties = regionprops(filled.astype(np.uint8))[0]
    corners = _polygon(filled)
    hull = ConvexHull(corners)
    total = _enclosed(corners)
    major, minor = float(properties.axis_major_length), float(properties.axis_minor_length)
    perimeter = float(np.linalg.norm(np.diff(corners, axis=0, append=corners[:1]), axis=1).sum())
    # a pixel is a square, not a point: its own second moment keeps a line one pixel wide from having no width
    by_moments = float(np.sqrt((minor**2 + 4 / 3) / (major**2 + 4 / 3)))
    return Outline(
        area=area,
        aspect=float(np.sqrt(by_moments * _by_calipers(corners[hull.vertices]))),
        solidity=min(1.0, total / float(hull.volume)),
        roughness=max(1.0, perimeter / float(hull.area)),
        rectangularity=min(1.0, total / _smallest_rectangle(corners[hull.vertices])),
        largest_notch=_largest_notch(corners, np.sort(hull.vertices)),
        hole_share=float(holes),
    )


def _polygon(part: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Corners of the smoothed outer outline, in order: ``(n, 2)``, the first not repeated."""
    from scipy import ndimage
    from skimage.measure import find_contours

    sigma = _SMOOTHED * 2.0 * np.sqrt(np.count_nonzero(part) / np.pi)
    reach = int(np.ceil(3 * sigma)) + 1
    wide = np.pad(part.astype(np.float32), reach)
    # the second is for parts thinner than the smoothing
    for field in (ndimage.gaussian_filter(wide, sigma, truncate=3.0), wide):
        found = find_contours(field, 0.5)
        if found:
            longest = max(found, key=len)[:-1]
            if _enclosed(longest) >= 0.8 * np.count_nonzero(part):
                break
    outline: npt.NDArray[np.float64] = longest
    return outline


def _largest_notch(corners: npt.NDArray[np.float64], on_hull: npt.NDArray[np.int_]) -> float:
    """Of the pieces between a polygon and its hull, the largest's share of them all."""
    ends = np.append(on_hull[1:], on_hull[0] + len(corners))
    pieces = [
        _enclosed(corners.take(np.arange(start, end + 1), axis=0, mode="wrap"))
        for start, end in zip(on_hull.tolist(), ends.tolist(), strict=True)
        if end - start > 1
    ]
    total = sum(pieces)
    return max(pieces) / total if total > 0 else 0.0


def _enclosed(corners: npt.NDArray[np.float64]) -> float:
    """Area of a polygon, by the shoelace formula."""
    y, x = corners.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def _by_calipers(corners: npt.NDArray[np.float64]) -> float:
    """Narrowest over widest diameter of a convex polygon (Feret), by turning in steps of a degree."""
    turns = np.deg2rad(np.arange(180))
    widths = np.ptp(corners @ np.stack([np.cos(turns), np.sin(turns)]), axis=0)
    return float(widths.min() / widths.max())


def _smallest_rectangle(corners: npt.NDArray[np.float64]) -> float:
    """Area of the smallest rectangle around a convex polygon: one of its sides lies on one of the polygon's."""
    sides = np.roll(corners, -1, axis=0) - corners
    along = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    widths = np.ptp(corners @ along.T, axis=0)
    heights = np.ptp(corners @ np.stack([-along[:, 1], along[:, 0]]), axis=0)
    return float((widths * heights).min())
