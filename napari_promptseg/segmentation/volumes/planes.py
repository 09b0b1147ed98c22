"""Planes of a volume along any of its axes as people look at them, and the way back to its voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack

#: The axis that planes follow each other along: the first, second or third of an upright stack ``(z, y, x)``.
PlaneAxis = Literal["axial", "coronal", "sagittal"]
PLANE_AXES: tuple[PlaneAxis, PlaneAxis, PlaneAxis] = ("axial", "coronal", "sagittal")

#: What the same axes are called where nothing is known of a patient.
GENERIC_NAMES = ("z", "y", "x")

#: Pixels whose sides differ by less count as square.
_SQUARE = 1.01


def axis_of(name: str) -> PlaneAxis:
    """The axis of an anatomical name or of a letter, in any case.

    Raises
    ------
    InputError
        For any other name.
    """
    wanted = name.strip().casefold()
    for axis, letter in zip(PLANE_AXES, GENERIC_NAMES, strict=True):
        if wanted in (axis, letter):
            return axis
    raise InputError(f"{name!r} is no plane axis: use axial, coronal or sagittal (or z, y, x).")


def axis_titles(stack: ImageStack) -> tuple[str, str, str]:
    """What to call the three axes to the user: anatomical planes in a patient, z, y and x elsewhere."""
    return GENERIC_NAMES if stack.geometry is None else PLANE_AXES


@dataclass(frozen=True)
class PlaneGrid:
    """How planes along one axis lie in a volume ``(z, y, x)``.

    Parameters
    ----------
    axis : PlaneAxis
    shape : tuple of int
        Of the volume; ``(1, Y, X)`` for a picture.
    size : tuple of int
        ``(Y, X)`` of a plane as it is shown: with square pixels, so that the coarser side is enlarged.
    head_up : bool
        Rows run against the volume's first axis.
    step : float
        Side of a pixel, in the stack's units.
    """

    axis: PlaneAxis
    shape: tuple[int, int, int]
    size: tuple[int, int]
    head_up: bool
    step: float

    @classmethod
    def of(cls, stack: ImageStack, axis: PlaneAxis = "axial") -> PlaneGrid:
        """Planes of a stack along an axis.

        Raises
        ------
        InputError
            If the stack is a single plane and another axis than its own is asked for.
        """
        if axis not in PLANE_AXES:
            raise InputError(f"{axis!r} is no plane axis: use {', '.join(PLANE_AXES)}.")
        if len(stack.grid) == 2 and axis != "axial":
            raise InputError(f"A single plane has no {axis} planes: open a volume or a stack.")
        z, y, x = (1, *stack.grid)[-3:]
        spacing = [abs(float(s)) or 1.0 for s in (1.0, *stack.spacing)[-3:]]
        across = _across(axis)
        rows, columns = ((z, y, x)[a] for a in across)
        steps = [spacing[a] for a in across]
        step = min(steps)
        size = (rows, columns)
        # a picture with oblong pixels is seen as it is, as before there were volumes
        if len(stack.grid) == 3 and max(steps) / step > _SQUARE:
            size = (max(1, round(rows * steps[0] / step)), max(1, round(columns * steps[1] / step)))
        return cls(axis, (z, y, x), size, stack.geometry is not None and axis != "axial", step)

    @property
    def array_axis(self) -> int:
        """Number of the axis in ``(z, y, x)``."""
        return PLANE_AXES.index(self.axis)

    @property
    def across(self) -> tuple[int, int]:
        """Numbers of the axes that rows and columns run along."""
        return _across(self.axis)

    @property
    def n_planes(self) -> int:
        """Planes there are."""
        return self.shape[self.array_axis]

    @property
    def own_size(self) -> tuple[int, int]:
        """``(rows, columns)`` of a plane in voxels."""
        return self.shape[self.across[0]], self.shape[self.across[1]]

    @property
    def is_plain(self) -> bool:
        """Whether pixels of a plane are voxels, in their order."""
        return self.size == self.own_size and not self.head_up

    def place(self, plane: int) -> tuple[Any, ...]:
        """Index of a plane in an array ``(z, y, x)``."""
        at: list[Any] = [slice(None)] * 3
        at[self.array_axis] = plane
        return tuple(at)

    def labels_shown(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels of a plane in voxels, ``own_size``, at the pixels of the plane as it is shown: the nearest ones."""
        return self._turned(_nearest(_nearest(labels, 0, self.size[0]), 1, self.size[1]))

    def labels_back(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels ``size`` of a plane as it is shown, at its voxels ``own_size``.

        What `labels_shown` gave comes back as it was.
        """
        return _nearest(_nearest(self._turned(labels), 0, self.own_size[0]), 1, self.own_size[1])

    def in_voxel_order(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps ``(K, h, w)`` of a plane as it is shown, on any grid, with rows in the order of its voxels."""
        return maps.flip(-2) if self.head_up else maps

    def chances_back(self, maps: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(K, *size)`` at the voxels: ``(K, *own_size)``, averaged over each one's pixels."""
        maps = self.in_voxel_order(maps)
        if self.size == self.own_size:
            return maps
        return F.interpolate(maps[None], self.own_size, mode="bilinear", antialias=True, align_corners=False)[0]

    def _turned(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return plane[::-1] if self.head_up else plane


class ReslicedPixels:
    """An array ``(plane, row, column[, channel])`` that is cut from another ``(z, y, x[, channel])`` where it is read.

    Parameters
    ----------
    pixels : array-like
        NumPy, dask or zarr; only the plane that is asked for is read.
    grid : PlaneGrid
    """

    def __init__(self, pixels: Any, grid: PlaneGrid) -> None:
        self._pixels = pixels
        self._grid = grid
        # a picture is a volume of one plane
        self._missing = len(pixels.shape) < 3
        tail = tuple(int(n) for n in pixels.shape[3:])
        self.shape = (grid.n_planes, *grid.size, *tail)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(pixels.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[plane] for plane in range(len(self)))

    def __getitem__(self, at: Any) -> npt.NDArray[Any]:
        """A plane or a part of it, by a number and slices; planes by a slice are put one upon the other."""
        plane, *rest = at if isinstance(at, tuple) else (at,)
        if isinstance(plane, slice):
            return np.stack([self[(z, *rest)] for z in range(*plane.indices(len(self)))])
        rest += [slice(None)] * (2 - len(rest))
        rows, columns, *tail = rest
        values = self._plane(int(plane), _places(rows, self.shape[1]), _places(columns, self.shape[2]))
        return values[(slice(None), slice(None), *tail)] if tail else values

    def _plane(self, plane: int, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        grid = self._grid
        if grid.head_up:
            rows = grid.size[0] - 1 - rows
        sides = [
            _Taps.of(wanted, shown, own)
            for wanted, shown, own in zip((rows, columns), grid.size, grid.own_size, strict=True)
        ]
        at: list[Any] = [slice(None)] * 3
        at[grid.array_axis] = plane
        for axis, taps in zip(grid.across, sides, strict=True):
            at[axis] = slice(taps.first, taps.last + 1)
        values = np.asarray(self._pixels[tuple(at)])
        for axis, taps in enumerate(sides):
            values = taps.read(values, axis)
        return values


@dataclass(frozen=True, eq=False)
class _Taps:
    """Linear interpolation along one axis at chosen places of its enlarged form."""

    first: int
    last: int
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]

    @classmethod
    def of(cls, places: npt.NDArray[Any], shown: int, own: int) -> _Taps:
        at = np.clip((places + 0.5) * own / shown - 0.5, 0, own - 1)
        low = np.floor(at).astype(np.int64)
        weight = (at - low).astype(np.float32)
        high = np.where(weight > 0, np.minimum(low + 1, own - 1), low)
        first, last = (int(low.min()), int(high.max())) if low.size else (0, 0)
        return cls(first, last, low - first, high - first, weight)

    def read(self, values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        low: npt.NDArray[Any] = np.take(values, self.low, axis)
        if not self.weight.any():
            return low
        shape = [1] * values.ndim
        shape[axis] = -1
        weight = self.weight.reshape(shape)
        real = low.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
        with np.errstate(invalid="ignore"):  # between two infinities there is no number
            mixed = real + (np.take(values, self.high, axis).astype(real.dtype) - real) * weight
        made: npt.NDArray[Any] = (mixed if values.dtype.kind == "f" else np.rint(mixed)).astype(values.dtype)
        return made


def resliced(stack: ImageStack, axis: PlaneAxis = "axial") -> ImageStack:
    """The planes of a volume along an axis, as a stack of their own.

    Parameters
    ----------
    stack : ImageStack
        Upright, ``(z, y, x)``. Of a medical volume coronal and sagittal planes have the head up; of other stacks rows
        and columns run as the axes do.
    axis : PlaneAxis

    Returns
    -------
    ImageStack
        ``(planes, rows, columns)`` with square pixels: where steps differ the coarser side is enlarged, values in
        between interpolated. Lazy, and of the same greys; the stack itself where nothing has to be turned. The way
        back to voxels is `PlaneGrid.of(stack, axis)`.

    Raises
    ------
    InputError
        See `PlaneGrid.of`.
    """
    grid = PlaneGrid.of(stack, axis)
    if axis == "axial" and grid.is_plain:
        return stack
    views = tuple(
        view
        if view.pixels is None
        else replace(view, pixels=ReslicedPixels(view.pixels, grid), limits=stack.limits(number))
        for number, view in enumerate(stack.modalities)
    )
    depth = float(stack.spacing[grid.array_axis])
    names = [stack.axis_names[a] for a in (grid.array_axis, *grid.across)]
    return ImageStack(
        views,
        spacing=(depth, grid.step, grid.step),
        units=stack.units,
        axis_names=tuple(names),
        source=stack.source,
        metadata={**stack.metadata, "plane_axis": axis},
    )


def _across(axis: PlaneAxis) -> tuple[int, int]:
    rows, columns = (a for a in range(3) if a != PLANE_AXES.index(axis))
    return rows, columns


def _places(part: Any, length: int) -> npt.NDArray[Any]:
    """Numbers of rows or columns that a slice stands for."""
    places: npt.NDArray[Any] = np.arange(length)[part]
    return places


def _nearest(plane: npt.NDArray[Any], axis: int, length: int) -> npt.NDArray[Any]:
    """The plane with `length` cells along an axis, each as the cell its centre lies in."""
    have = plane.shape[axis]
    if have == length:
        return plane
    cells: npt.NDArray[Any] = np.take(plane, ((np.arange(length) + 0.5) * have / length).astype(np.int64), axis)
    return cells
