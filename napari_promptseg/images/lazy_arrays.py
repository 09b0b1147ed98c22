"""Arrays that stay on the disk, with their axes sorted into planes, rows, columns and channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_promptseg.errors import InputError

#: Rows and columns that are read together at least, so that small chunks do not make a graph of a million tasks.
_SIDE = 512

#: Names of axes that hold channels: a microscope's, and samples of a pixel.
CHANNELS = ("c", "s")


class _Stored:
    """An array on the disk; what cannot be read of it later is told in a sentence, whoever looks at it then."""

    def __init__(self, array: Any, name: str) -> None:
        self._array, self._name = array, name
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = array.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, at: Any) -> Any:
        try:
            return self._array[at]
        except MemoryError:
            raise
        # a codec raises whatever a damaged chunk makes it stumble over
        except Exception as error:
            raise InputError(
                f"A part of {self._name!r} cannot be read: it is damaged or no longer there; copy it again."
            ) from error


def lazy(array: Any, axes: Sequence[str], name: str) -> Any:
    """A dask array over a zarr array or a memory map, read in blocks of whole chunks.

    Parameters
    ----------
    array : array-like
        With ``shape`` and ``dtype``; ``chunks`` where it is stored in chunks.
    axes : sequence of str
        Name of each axis.
    name : str
        Of the file, for the `InputError` that reading a damaged part raises.
    """
    import dask.array as da

    stored = getattr(array, "chunks", None) or [_SIDE if a in ("y", "x") else 1 for a in axes]
    blocks = []
    for axis, size, chunk in zip(axes, array.shape, stored, strict=True):
        own = max(1, int(chunk))
        if axis in ("y", "x"):
            own *= -(-_SIDE // own)
        elif axis in CHANNELS:
            own = max(1, int(size))
        blocks.append(min(own, max(1, int(size))))
    nothing = np.empty((0,) * len(array.shape), array.dtype)
    found = da.from_array(_Stored(array, name), chunks=tuple(blocks), name=False, meta=nothing)
    native = found.dtype.newbyteorder("=")
    return found if found.dtype.isnative else found.astype(native)


def sorted_axes(pixels: Any, axes: Sequence[str], keep: Sequence[str] = ()) -> tuple[Any, tuple[str, ...]]:
    """Bring to ``([planes,] y, x[, channels])``.

    Parameters
    ----------
    pixels : array-like
        NumPy or dask.
    axes : sequence of str
        Name of each axis; ``"c"`` and ``"s"`` are channels, and what is neither these nor ``"y"`` nor ``"x"`` and
        longer than 1 becomes planes, all in one axis, the first running slowest.
    keep : sequence of str
        Axes that become planes though they are no longer than 1, as a pyramid's finest level has them.

    Returns
    -------
    pixels : array-like
        Of the kind that came; nothing is read.
    planes : tuple of str
        The axes that became planes.

    Raises
    ------
    InputError
        If there are no rows and columns.
    """
    if list(axes).count("y") != 1 or list(axes).count("x") != 1:
        raise InputError(f"its axes are {' '.join(axes) or 'none'}; one of rows (y) and one of columns (x) are needed.")
    ends = ("y", "x", *CHANNELS)
    others = [i for i, a in enumerate(axes) if a not in ends]
    planes = [i for i in others if pixels.shape[i] != 1 or axes[i] in keep]
    single = [i for i in others if i not in planes]
    last = [i for i, a in enumerate(axes) if a in CHANNELS]
    turned = pixels.transpose([*single, *planes, list(axes).index("y"), list(axes).index("x"), *last])
    turned = turned[(0,) * len(single)]
    for _ in range(len(planes) - 1):
        turned = _joined(turned)
    front = turned.shape[: turned.ndim - len(last)]
    channels = int(np.prod(turned.shape[len(front) :], dtype=int))
    shape = (*front, channels) if channels > 1 else front
    return turned.reshape(shape), tuple(axes[i] for i in planes)


def _joined(pixels: Any) -> Any:
    """The first two axes as one."""
    if isinstance(pixels, np.ndarray):
        return pixels.reshape((-1, *pixels.shape[2:]))
    import dask.array as da

    # not reshape, which puts chunks together
    return da.concatenate([pixels[i] for i in range(pixels.shape[0])])
