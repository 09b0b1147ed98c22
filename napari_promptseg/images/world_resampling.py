"""One array onto another's grid, where both lie in one world and each has a matrix that says how."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def resampled(
    pixels: Any, matrix: npt.NDArray[Any], shape: tuple[int, ...], *, channels: bool = False
) -> npt.NDArray[Any]:
    """Read an array at the places of another grid.

    Parameters
    ----------
    pixels : array-like
        ``([z,] y, x)``, or with a last axis of channels.
    matrix : numpy.ndarray
        ``(n + 1, n + 1)``: from an index of the new grid, with a 1 behind it, to the index in `pixels`.
    shape : tuple of int
        Of the new grid, without channels.
    channels : bool
        Whether the last axis is channels.

    Returns
    -------
    numpy.ndarray
        Of `shape` (and channels), of the dtype of `pixels`: linear interpolation, smoothed beforehand along axes that
        become coarser; the lowest value where `pixels` do not reach.
    """
    from scipy import ndimage

    values = np.asarray(pixels)
    if channels:
        parts = [resampled(values[..., c], matrix, shape) for c in range(values.shape[-1])]
        return np.stack(parts, axis=-1)
    n = values.ndim
    linear, offset = np.asarray(matrix, float)[:n, :n], np.asarray(matrix, float)[:n, n]
    real = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    # steps of the old grid per step of the new one, along each old axis
    steps = np.abs(linear).max(axis=1)
    if (steps > 1).any():
        real = ndimage.gaussian_filter(real, np.maximum(0, (steps - 1) / 2), mode="nearest")
    floor = float(real.min()) if real.size else 0.0
    # half a pixel beyond the outermost centres still belongs to the picture
    inside = np.pad(real, 1, mode="edge")
    found = ndimage.affine_transform(
        inside, linear, offset + 1, output_shape=shape, order=1, mode="constant", cval=floor
    )
    if values.dtype.kind in "iub":
        found = np.round(found)
    out: npt.NDArray[Any] = found.astype(values.dtype)
    return out
