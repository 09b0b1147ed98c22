"""One volume on another's grid, by where both lie in the patient; done when the user asks for it, never by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.progress import Progress, silent

#: Voxels that are computed at a time: their coordinates take 24 bytes each.
_AT_A_TIME = 1_000_000

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
        Linear between the voxels, or the nearest one.
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
    if not source.lies_like(wanted):
        covered = _covered(source, wanted)
        if not covered:
            raise InputError(
                f"{stack.source!r} and the grid it is to be resampled onto have no part of the patient in common: "
                "choose series of the same region."
            )
        notes.append(
            f"Resampled from {_steps(source)} to {_steps(wanted)} mm, "
            f"{'to the nearest voxel' if order == 0 else 'linearly'}"
            + ("." if covered > 0.99 else f"; it covers {covered:.0%} of the new grid, the rest is empty.")
        )
        if isinstance(target, ImageStack):
            notes += _about_frames(stack, target)
    modalities = tuple(
        replace(m, pixels=resampled(m.pixels, source, wanted, order=order, progress=progress), levels=())
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
    source: Geometry,
    target: Geometry,
    *,
    order: Order = 1,
    fill: float | None = None,
    progress: Progress = silent,
) -> npt.NDArray[Any]:
    """Values of an upright array at the voxels of another grid.

    Parameters
    ----------
    values : array-like
        ``(z, y, x)`` or ``(z, y, x, C)`` in the source's geometry.
    source, target : Geometry
        Where `values` lie, and where values are wanted.
    order : {1, 0}
        Linear, or nearest as labels need it.
    fill : float, optional
        Where the source does not reach, that is more than half a voxel beyond its outermost centres; its lowest
        value where not given. Labels want 0.
    progress : Progress
        Told of each part.

    Returns
    -------
    numpy.ndarray
        ``(z, y, x[, C])`` of the target, of the same type; whole numbers are rounded, not cut off.

    Raises
    ------
    InputError
        If `values` are of another shape than the source.
    """
    from scipy import ndimage

    array = np.asarray(values)
    if array.shape[:3] != source.shape:
        raise InputError(f"The array of shape {array.shape[:3]} does not lie on the grid of shape {source.shape}.")
    if source.lies_like(target):
        return array
    channels: list[npt.NDArray[Any]] = [array] if array.ndim == 3 else list(np.moveaxis(array, -1, 0))
    lowest = (0 if array.dtype == bool else np.nanmin(array)) if fill is None else fill
    out = np.full((len(channels), *target.shape), lowest, array.dtype)
    matrix = _index_matrix(source, target)
    z, y, x = target.shape
    planes = max(1, _AT_A_TIME // (y * x))
    rows = np.arange(y, dtype=float)[:, None]
    columns = np.arange(x, dtype=float)
    for first in range(0, z, planes):
        progress(first, z, "Resampling")
        part = np.arange(first, min(z, first + planes), dtype=float)[:, None, None]
        at = np.stack([m[0] * part + m[1] * rows + m[2] * columns + m[3] for m in matrix[:3]])
        inside = np.ones(at.shape[1:], bool)
        for axis, n in enumerate(source.shape):
            inside &= (at[axis] >= -0.5 - 1e-6) & (at[axis] <= n - 0.5 + 1e-6)
        if not inside.any():
            continue
        for channel, kept in zip(channels, out, strict=True):
            readable = channel.astype(np.uint8) if channel.dtype == bool else channel
            found = ndimage.map_coordinates(
                readable, at[:, inside], output=np.float64, order=order, mode="nearest", prefilter=False
            )
            kept[first : first + planes][inside] = found if array.dtype.kind == "f" else np.rint(found)
    return out[0] if array.ndim == 3 else np.moveaxis(out, 0, -1)


def _geometry_of(stack: ImageStack) -> Geometry:
    if stack.geometry is None:
        raise InputError(
            f"{stack.source or stack.modalities[0].name!r} does not say where in the patient it lies, so it cannot be "
            "resampled: give volumes with an orientation and a spacing."
        )
    return stack.geometry


def _index_matrix(source: Geometry, target: Geometry) -> npt.NDArray[np.float64]:
    """``(4, 4)``: from the target's upright index to the source's."""
    matrix = np.asarray(np.linalg.solve(source.affine, target.affine), np.float64)
    # whole steps stay whole, so that a grid that is only shifted or mirrored gives the very same values
    whole = np.rint(matrix)
    near = np.abs(matrix - whole) < 1e-9
    matrix[near] = whole[near]
    return matrix


def _covered(source: Geometry, target: Geometry) -> float:
    """Share of the target's voxels that the source reaches, from a sample of them."""
    places = [np.unique(np.linspace(0, n - 1, min(n, 32)).round()) for n in target.shape]
    index = np.stack([*np.meshgrid(*places, indexing="ij"), np.ones([len(p) for p in places])]).reshape(4, -1)
    at = (_index_matrix(source, target) @ index)[:3]
    size = np.asarray(source.shape)[:, None]
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
