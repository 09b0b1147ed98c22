"""One array on another's grid, by the matrix between their indices; done when the user asks for it, never by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.progress import Progress, silent

#: Voxels that are computed or read at a time: their coordinates take 24 bytes each.
_AT_A_TIME = 2**21

#: Bytes of a result from which on its blocks are computed when they are looked at.
_LARGE = 2**30

#: Standard deviations to which smoothing reaches.
_REACH = 3.0

#: How values between voxels are found: that of the nearest one (labels), or in proportion to the distances.
Order = Literal[0, 1]


def onto_grid(
    stack: ImageStack, target: ImageStack | Geometry, *, order: Order = 1, progress: Progress = silent
) -> ImageStack:
    """Resample a volume onto another volume's grid, both where they lie in the patient.

    Parameters
    ----------
    stack : ImageStack
        A volume with a geometry; all its modalities are resampled.
    target : ImageStack or Geometry
        The grid wanted.
    order : {1, 0}
        Linear between the voxels, smoothed first along axes that become coarser; or the nearest one.
    progress : Progress
        Told of each part.

    Returns
    -------
    ImageStack
        On the target's grid, values of their own types, the lowest value where the volume does not reach. Its
        ``metadata["notes"]`` say what was done, and whether the two frames of reference differ, in which case only
        the patient's position in the two scans decides how well they fit. What `metadata` says of the volume's own
        file is left out: labels on the new grid belong to the target's.

    Raises
    ------
    InputError
        If one has no geometry, or the volumes have no part of the patient in common.
    """
    source = _geometry_of(stack)
    wanted = _geometry_of(target) if isinstance(target, ImageStack) else target
    notes = [*stack.metadata.get("notes", ())]
    modalities = tuple(stack.modalities)
    if not source.lies_like(wanted):
        matrix = _tidy(np.linalg.solve(source.affine, wanted.affine))
        covered = _covered(matrix, source.shape, wanted.shape)
        if not covered:
            raise InputError(
                f"{stack.source!r} and the grid it is to be resampled onto have no part of the patient in common: "
                "choose series of the same region."
            )
        how = "to the nearest voxel" if order == 0 else "linearly"
        if order == 1 and _widths(matrix).any():
            how += ", smoothed where steps become longer"
        notes.append(
            f"Resampled from {_steps(source)} to {_steps(wanted)} mm, {how}"
            + ("." if covered > 0.99 else f"; it covers {covered:.0%} of the new grid, the rest is empty.")
        )
        if isinstance(target, ImageStack):
            notes += _about_frames(stack, target)
        modalities = tuple(
            m
            if m.is_absent
            else replace(m, pixels=resampled(m.pixels, matrix, wanted.shape, order=order, progress=progress), levels=())
            for m in stack.modalities
        )
    return replace(
        stack,
        modalities=modalities,
        spacing=wanted.spacing,
        metadata={"format": "resampled", "notes": notes},
        geometry=wanted,
    )


def resampled(
    values: Any,
    matrix: npt.ArrayLike,
    shape: tuple[int, ...],
    *,
    order: Order = 1,
    fill: float | None = None,
    progress: Progress = silent,
) -> Any:
    """Values of an array at the places of another grid.

    Parameters
    ----------
    values : array-like
        ``([z,] y, x)``, or with axes of channels behind them; read in parts where it lies on the disk.
    matrix : array-like
        ``(n + 1, n + 1)``: from an index of the new grid, with a 1 behind it, to the index in `values`.
    shape : tuple of int
        Of the new grid, n numbers, without channels.
    order : {1, 0}
        Linear, smoothed beforehand along axes that become coarser; or nearest as labels need it.
    fill : float, optional
        Where `values` do not reach, that is more than half a voxel beyond their outermost centres; their lowest
        value where not given. Labels want 0.
    progress : Progress
        Told of each part.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        Of `shape` (and channels) and of the same type; whole numbers are rounded, not cut off. What takes more than
        1 GiB is a dask array, whose blocks are computed when they are looked at.

    Raises
    ------
    InputError
        If `values` have fewer axes than the matrix.

    Notes
    -----
    Voxels that are no finite numbers count as missing: what lies between them and others is made of the others.
    Smoothing is as wide as the step grows, so that finer structures than the new grid can hold do not turn into
    false ones: Cardoso et al., Scale factor point spread function matching: beyond aliasing in image resampling,
    MICCAI 2015, with Gaussians along the axes of `values`.
    """
    n = len(shape)
    if len(values.shape) < n:
        raise InputError(f"An array of shape {tuple(values.shape)} does not lie on a grid of {n} axes.")
    lowest = _lowest(values) if fill is None else fill
    job = _Resampling(values, _tidy(np.asarray(matrix, float)), order, lowest)
    # as cubic as the grid allows, so that a turned block still reads a small part
    budget = _AT_A_TIME / max(1.0, abs(float(np.linalg.det(job.matrix[:n, :n]))))
    sides = _sides(shape, budget)
    channels = tuple(int(c) for c in values.shape[n:])
    if math.prod((*shape, *channels)) * np.dtype(values.dtype).itemsize > _LARGE:
        return _on_demand(job, shape, channels, sides)
    out = np.empty((*shape, *channels), values.dtype)
    blocks = list(_blocks(shape, sides))
    for done, block in enumerate(blocks):
        progress(done, len(blocks), "Resampling")
        out[block] = job.block(block)
    return out


@dataclass(frozen=True, eq=False)
class _Resampling:
    """What is read how: any block of the result can be made by itself."""

    values: Any
    matrix: npt.NDArray[np.float64]
    order: Order
    fill: float

    @cached_property
    def widths(self) -> npt.NDArray[np.float64]:
        """Standard deviation of the smoothing along each axis, in voxels."""
        return _widths(self.matrix) if self.order else np.zeros(len(self.matrix) - 1)

    def block(self, block: tuple[slice, ...]) -> npt.NDArray[Any]:
        """The part of the result at `block`, with all channels."""
        n = len(block)
        size = tuple(part.stop - part.start for part in block)
        linear, offset = self.matrix[:n, :n], self.matrix[:n, n]
        steps = [
            np.arange(part.start, part.stop, dtype=float).reshape([-1 if a == axis else 1 for a in range(n)])
            for axis, part in enumerate(block)
        ]
        at = np.stack([sum((m * s for m, s in zip(row, steps, strict=True)), np.zeros(size)) for row in linear])
        at += offset.reshape(-1, *[1] * n)
        grid = self.values.shape[:n]
        inside = np.ones(size, bool)
        for axis, length in enumerate(grid):
            inside &= (at[axis] >= -0.5 - 1e-6) & (at[axis] <= length - 0.5 + 1e-6)
        out = np.full((*size, *self.values.shape[n:]), self.fill, self.values.dtype)
        if not inside.any():
            return out
        wanted = at[:, inside]
        margins = np.ceil(_REACH * self.widths).astype(int) + 1
        first = [max(0, int(np.floor(c.min())) - m) for c, m in zip(np.clip(wanted, 0, None), margins, strict=True)]
        stop = [min(length, int(np.ceil(c.max())) + m + 1) for c, m, length in zip(wanted, margins, grid, strict=True)]
        part = np.asarray(self.values[tuple(slice(a, b) for a, b in zip(first, stop, strict=True))])
        wanted = wanted - np.array(first, float)[:, None]
        for channel in np.ndindex(*part.shape[n:]):
            found = self._read(part[(..., *channel)], wanted)
            out[(inside, *channel)] = found if out.dtype.kind == "f" else np.rint(found)
        return out

    def _read(self, part: npt.NDArray[Any], at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        from scipy import ndimage

        def read(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            if self.widths.any():
                values = ndimage.gaussian_filter(
                    values, self.widths, mode="nearest", truncate=_REACH, output=np.result_type(values, np.float32)
                )
            found: npt.NDArray[np.float64] = ndimage.map_coordinates(
                values, at, output=np.float64, order=self.order, mode="nearest", prefilter=False
            )
            return found

        values = part.astype(np.uint8) if part.dtype == bool else part
        known = np.isfinite(values) if values.dtype.kind == "f" and self.order else None
        if known is None or known.all():
            return read(values)
        share = read(known.astype(np.float32))
        found = read(np.where(known, values, 0)) / np.maximum(share, 1e-6)
        return np.where(share >= 0.5, found, np.nan)


def _on_demand(job: _Resampling, shape: tuple[int, ...], channels: tuple[int, ...], sides: tuple[int, ...]) -> Any:
    """The result as a dask array."""
    import dask.array as da

    def block(block_info: Any = None) -> npt.NDArray[Any]:
        place = block_info[None]["array-location"][: len(shape)]
        return job.block(tuple(slice(*ends) for ends in place))

    chunks = da.core.normalize_chunks((*sides, *channels), (*shape, *channels), dtype=job.values.dtype)
    nothing = np.empty((0,) * len(chunks), job.values.dtype)
    return da.map_blocks(block, chunks=chunks, dtype=job.values.dtype, meta=nothing)


def _tidy(matrix: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Whole steps and quarters stay so, that a grid that is only shifted or mirrored gives the very same values."""
    simple = np.rint(matrix * 4) / 4
    return np.where(np.abs(matrix - simple) < 1e-9, simple, matrix)


def _widths(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard deviation, in voxels along each old axis, of what a voxel of the new grid covers beyond an old one."""
    steps: npt.NDArray[np.float64] = np.linalg.norm(matrix[:-1, :-1], axis=1)
    # a step's length is the width at half height
    width = np.sqrt(np.maximum(0, steps**2 - 1)) / math.sqrt(8 * math.log(2))
    return np.where(steps > 1.01, width, 0.0)


def _sides(shape: tuple[int, ...], budget: float) -> tuple[int, ...]:
    """Sides of blocks of at most `budget` voxels, as equal as the grid allows."""
    sides = {}
    for left, axis in enumerate(sorted(range(len(shape)), key=lambda a: shape[a])):
        side = max(1, min(shape[axis], int(budget ** (1 / (len(shape) - left)))))
        sides[axis] = side
        budget = max(1.0, budget / side)
    return tuple(sides[axis] for axis in range(len(shape)))


def _blocks(shape: tuple[int, ...], sides: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    starts = [range(0, n, side) for n, side in zip(shape, sides, strict=True)]
    for start in itertools.product(*starts):
        yield tuple(slice(a, min(a + side, n)) for a, side, n in zip(start, sides, shape, strict=True))


def _lowest(values: Any) -> float:
    """The lowest finite value; 0 of masks, and where there is none. What lies on the disk is read part by part."""
    if values.dtype == bool:
        return 0.0
    found = []
    sides = (*_sides(tuple(values.shape[:3]), _AT_A_TIME), *values.shape[3:])
    for block in _blocks(tuple(values.shape), sides):
        part = np.asarray(values[block])
        part = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if part.size:
            found.append(part.min())
    return min(found) if found else 0.0


def _geometry_of(stack: ImageStack) -> Geometry:
    if stack.geometry is None:
        raise InputError(
            f"{stack.source or stack.modalities[0].name!r} does not say where in the patient it lies, so it cannot be "
            "resampled: give volumes with an orientation and a spacing."
        )
    return stack.geometry


def _covered(matrix: npt.NDArray[np.float64], source: tuple[int, ...], target: tuple[int, ...]) -> float:
    """Share of the target's voxels that the source reaches, from a sample of them."""
    places = [np.unique(np.linspace(0, n - 1, min(n, 32)).round()) for n in target]
    index = np.stack([*np.meshgrid(*places, indexing="ij"), np.ones([len(p) for p in places])]).reshape(4, -1)
    at = (matrix @ index)[:3]
    size = np.asarray(source)[:, None]
    return float(((at >= -0.5) & (at <= size - 0.5)).all(axis=0).mean())


def _steps(geometry: Geometry) -> str:
    return " × ".join(f"{step:.3g}" for step in geometry.spacing)


def _about_frames(stack: ImageStack, target: ImageStack) -> list[str]:
    frames = [s.metadata.get("dicom", {}).get("frame_of_reference", "") for s in (stack, target)]
    if not all(frames) or frames[0] == frames[1]:
        return []
    return [
        f"{stack.modalities[0].name!r} and {target.modalities[0].name!r} state different frames of reference: they lie "
        "on each other only as well as the patient lay in the same place; check it on a structure that both show."
    ]
