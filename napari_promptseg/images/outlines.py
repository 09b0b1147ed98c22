"""Outlines drawn on a plane, and exactly the pixels inside them.

A pixel belongs to an outline if its centre does. Pixel ``(i, j)`` has its centre at the coordinates ``(i, j)``, so the
plane reaches from -0.5 to ``Y - 0.5`` and ``X - 0.5``. Of polygons a centre that lies on a side belongs to the region
below and to the right of that side, so that outlines that share a side share no pixel and leave none out.
(scikit-image's `draw.polygon` takes both sides in.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError

Vertices = npt.NDArray[np.float64]

#: Two vertices nearer than this are the same place, in pixels; float32, in which napari keeps them, is no finer.
_SAME = 1e-4


@dataclass(frozen=True, eq=False)
class MarkedPixels:
    """Pixels of a plane; only the box around them is kept.

    Parameters
    ----------
    corner : tuple of int
        Row and column of the box in the plane.
    crop : numpy.ndarray
        ``(y, x)`` bool, the box; its outermost rows and columns each hold a marked pixel.
    plane_shape : tuple of int
        ``(Y, X)``.
    """

    corner: tuple[int, int]
    crop: npt.NDArray[np.bool_]
    plane_shape: tuple[int, int]

    @classmethod
    def from_mask(cls, mask: npt.NDArray[np.bool_]) -> MarkedPixels:
        """Keep the box around the marked pixels of ``(Y, X)``.

        Raises
        ------
        InputError
            If none is marked.
        """
        return _boxed(mask, (0, 0), (int(mask.shape[0]), int(mask.shape[1])))

    @property
    def n_pixels(self) -> int:
        """Marked pixels."""
        return int(np.count_nonzero(self.crop))

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the box in the plane."""
        (row, column), (rows, columns) = self.corner, self.crop.shape
        return slice(row, row + rows), slice(column, column + columns)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``(Y, X)``, made at each call."""
        full = np.zeros(self.plane_shape, dtype=bool)
        full[self.box] = self.crop
        return full


def polygon_mask(vertices: npt.ArrayLike, plane_shape: tuple[int, int]) -> MarkedPixels:
    """Pixels inside a polygon, by the even-odd rule: what a line crosses twice is outside again.

    Parameters
    ----------
    vertices : array-like
        ``(n, 2)`` rows and columns, three or more; the last is joined to the first. It may cross itself and reach
        beyond the plane, where it is cut off.
    plane_shape : tuple of int
        ``(Y, X)``.

    Raises
    ------
    InputError
        If the outline has no area, lies outside the plane, or holds no pixel's centre.
    """
    corners = _checked(vertices, plane_shape)
    top, left, bottom, right = _box(corners, plane_shape)
    height, width = bottom - top, right - left
    start, end = corners, np.roll(corners, -1, axis=0)
    upward = start[:, 0] > end[:, 0]
    # each side from its upper to its lower end, so that two outlines that share it find the same crossings
    upper, lower = np.where(upward[:, None], end, start), np.where(upward[:, None], start, end)
    # rows whose centres are at or below the upper end and above the lower one
    first = np.clip(np.ceil(upper[:, 0]), top, bottom).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 0]), top, bottom).astype(np.int64)
    number = last - first
    side = np.repeat(np.arange(len(corners)), number)
    row = np.arange(len(side)) - np.repeat(np.cumsum(number) - number, number) + first[side]
    a, b = upper[side], lower[side]
    column = a[:, 1] + (row - a[:, 0]) * (b[:, 1] - a[:, 1]) / (b[:, 0] - a[:, 0])
    # every crossing turns over the pixels from the first centre at or after it to the row's end
    at = np.clip(np.ceil(column), left, right).astype(np.int64) - left
    places, turns = np.unique((row - top) * (width + 1) + at, return_counts=True)
    inside = np.zeros(height * (width + 1), dtype=bool)
    inside[places[turns % 2 == 1]] = True
    inside = np.logical_xor.accumulate(inside.reshape(height, width + 1), axis=1)[:, :width]
    return _boxed(inside, (top, left), plane_shape)


def ellipse_mask(corners: npt.ArrayLike, plane_shape: tuple[int, int]) -> MarkedPixels:
    """Pixels inside the ellipse that touches the four sides of a parallelogram in their middle.

    Parameters
    ----------
    corners : array-like
        ``(4, 2)`` rows and columns of the parallelogram, one after the other around it, as napari keeps ellipses. A
        turned or sheared one is as exact as an upright one.
    plane_shape : tuple of int
        ``(Y, X)``.

    Raises
    ------
    InputError
        If there are not four corners, the ellipse has no area, lies outside the plane, or holds no pixel's centre.
    """
    around = _checked(corners, plane_shape)
    if len(around) != 4:
        raise InputError(f"The ellipse has {len(around)} corners; the four of the frame around it are needed.")
    centre = around.mean(axis=0)
    # half of two neighbouring sides
    axes = np.stack([around[1] - around[0], around[2] - around[1]], axis=1) / 2
    reach = np.sqrt((axes**2).sum(axis=1))
    top, left, bottom, right = _box(np.stack([centre - reach, centre + reach]), plane_shape)
    inverse = np.linalg.inv(axes)
    rows = np.arange(top, bottom)[:, None] - centre[0]
    columns = np.arange(left, right)[None, :] - centre[1]
    inside = (inverse[0, 0] * rows + inverse[0, 1] * columns) ** 2
    inside += (inverse[1, 0] * rows + inverse[1, 1] * columns) ** 2
    return _boxed(inside < 1, (top, left), plane_shape)


def _checked(vertices: npt.ArrayLike, plane_shape: tuple[int, int]) -> Vertices:
    """Vertices that enclose an area, at least partly in the plane."""
    corners = np.asarray(vertices, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2:
        raise InputError(f"The outline has shape {corners.shape}; rows and columns (n, 2) are needed.")
    if not np.isfinite(corners).all():
        raise InputError("The outline has corners that are no finite numbers: draw it again.")
    if len(corners) < 3 or _thickness(corners) < _SAME:
        raise InputError("The region has no area: draw around the thing, not a point or a line.")
    _box(corners, plane_shape)
    return corners


def _thickness(corners: Vertices) -> float:
    """Extent of the vertices across the line that fits them best; 0 if all lie on one."""
    centred = corners - corners.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return float(np.ptp(centred @ axes[-1]))


def _box(corners: Vertices, plane_shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """``(top, left, bottom, right)`` of the pixels whose centres may be inside; the ends are past the last one."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (high <= -0.5).any() or (low >= np.asarray(plane_shape) - 0.5).any():
        raise InputError("The region lies outside the image: draw it on the image.")
    # a huge outline must not become a huge integer
    top, left = np.clip(np.ceil(low), 0, plane_shape).astype(np.int64).tolist()
    bottom, right = np.clip(np.floor(high) + 1, 0, plane_shape).astype(np.int64).tolist()
    return top, left, max(top, bottom), max(left, right)


def _boxed(inside: npt.NDArray[np.bool_], corner: tuple[int, int], plane_shape: tuple[int, int]) -> MarkedPixels:
    """The marked pixels of a box, in the smallest box."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        raise InputError("The region holds no pixel's centre: draw it larger, or on the image.")
    crop = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return MarkedPixels(
        (corner[0] + int(rows[0]), corner[1] + int(columns[0])), np.ascontiguousarray(crop), plane_shape
    )
