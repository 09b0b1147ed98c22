"""Planes of a volume along any of its axes: how each is named, numbered and cut out of the array.

A plane's place in an array of labels is a tuple of its leading axes' indices, as in ``data[place]``. A volume
``(z, y, x)`` is also cut across its other axes: ``None`` then stands for an axis that is whole, so that ``(12,)`` is
the axial plane 12, ``(None, 12)`` the coronal and ``(None, None, 12)`` the sagittal one. Rows of the last two run
against z, from the head to the feet; a plane's pixels ``(row, column)`` are always those of the plane as it is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Place = tuple[int | None, ...]


def cut_of(place: Place) -> int:
    """Axis that a plane of a volume lies across: 0 axial, 1 coronal, 2 sagittal."""
    return sum(i is None for i in place)


def across(cut: int, at: int) -> Place:
    """The place of a volume's plane `at` across the axis `cut`."""
    return (*(None,) * cut, at)


def indexer(place: Place) -> tuple[Any, ...]:
    """What numpy takes to give, or to write, the plane ``(rows, columns)``."""
    cut = cut_of(place)
    if not cut:
        return place
    return (slice(None, None, -1), *(slice(None),) * (cut - 1), place[-1])


def shape_at(shape: tuple[int, ...], place: Place) -> tuple[int, int]:
    """Rows and columns of a plane in an array of that shape."""
    cut = cut_of(place)
    rows, columns = (shape[axis] for axis in range(3) if axis != cut) if cut else shape[-2:]
    return int(rows), int(columns)


def voxels_at(shape: tuple[int, ...], place: Place, rows: Any, columns: Any) -> tuple[Any, ...]:
    """Index in the whole array of a plane's pixels; `rows` and `columns` may be arrays or single numbers."""
    cut = cut_of(place)
    if not cut:
        return (*place, rows, columns)
    inside = [shape[0] - 1 - rows, columns]
    inside.insert(cut, place[-1] if np.isscalar(rows) else np.full(np.shape(rows), place[-1]))
    return tuple(inside)


def pixel_at(shape: tuple[int, ...], place: Place, voxel: Any) -> tuple[Any, Any]:
    """Row and column in a plane of an index in the whole array, whose own place across the plane is not looked at."""
    cut = cut_of(place)
    if not cut:
        return voxel[-2], voxel[-1]
    rows, columns = (voxel[axis] for axis in range(3) if axis != cut)
    return shape[0] - 1 - rows, columns


def lifted(values: npt.NDArray[Any], place: Place, ndim: int) -> npt.NDArray[Any]:
    """A plane ``(rows, columns)`` as an array of `ndim` axes that is one step thick."""
    cut = cut_of(place)
    if not cut:
        return values[(np.newaxis,) * (ndim - 2)]
    return np.expand_dims(values[::-1], cut)


def n_planes(shape: tuple[int, ...], cut: int = 0) -> int:
    """How many planes an array has across an axis."""
    return int(shape[cut]) if cut else int(np.prod(shape[:-2], dtype=np.int64))


def number_of(shape: tuple[int, ...], place: Place) -> int:
    """One number for a plane: first the axial planes in order, then the coronal, then the sagittal ones."""
    cut = cut_of(place)
    if cut:
        return sum(n_planes(shape, c) for c in range(cut)) + int(place[-1] or 0)
    return int(np.ravel_multi_index([int(i or 0) for i in place], shape[:-2])) if place else 0


def place_of(shape: tuple[int, ...], number: int) -> Place:
    """The plane of a number.

    Raises
    ------
    ValueError
        If there is none.
    """
    first = n_planes(shape)
    if number < first:
        return tuple(int(i) for i in np.unravel_index(number, shape[:-2])) if len(shape) > 2 else ()
    for cut in (1, 2) if len(shape) == 3 else ():
        if number < first + n_planes(shape, cut):
            return across(cut, number - first)
        first += n_planes(shape, cut)
    raise ValueError(f"An array of shape {shape} has no plane {number}.")


def n_numbers(shape: tuple[int, ...]) -> int:
    """How many numbers of planes there are."""
    return n_planes(shape) + (n_planes(shape, 1) + n_planes(shape, 2) if len(shape) == 3 else 0)


def title_of(place: Place) -> str:
    """A few characters for lists, counted from 1 as everywhere in the dock: ``"13"``, ``"y 13"``."""
    cut = cut_of(place)
    counted = [i + 1 for i in place if i is not None]
    return f"{'zyx'[cut]} {counted[-1]}" if cut else ", ".join(map(str, counted))
