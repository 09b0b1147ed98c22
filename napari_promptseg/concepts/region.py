"""The pixels that someone marked, and the parts they consist of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.outline import Outline, measure_outline
from napari_promptseg.errors import InputError

Mask = npt.NDArray[np.bool_]

#: Fewer pixels are a slip of the hand and show nothing.
FEWEST_PIXELS = 4
#: Parts smaller than this share of the largest are specks of drawing or of image compression, and are not counted.
SPECK = 0.02
#: Outlines are measured on so many parts at most, evenly spread over their sizes.
_MOST_OUTLINES = 48

_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Region:
    """Marked pixels of one plane; only the box around them is kept, and nothing else is taken from the box.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` int32, the box: 0 outside, 1 to n the parts that count, n + 1 specks.
    areas : numpy.ndarray
        ``(n,)`` pixels of the parts that count.
    corner : tuple of int
        Row and column of the box in the plane.
    plane_shape : tuple of int
        ``(Y, X)``.
    """

    labels: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int64]
    corner: tuple[int, int]
    plane_shape: tuple[int, int]

    @classmethod
    def from_mask(cls, mask: npt.ArrayLike, plane_shape: tuple[int, int] | None = None) -> Region:
        """Take the marked pixels of a mask.

        Parameters
        ----------
        mask : array-like
            ``(Y, X)``. Of bool, parts are what hangs together, corners included. Of integers, every value but 0 is a
            part of its own, so that nuclei that touch are counted apart.
        plane_shape : tuple of int, optional
            That the mask must have.

        Raises
        ------
        InputError
            If the mask is of another shape, holds no numbers, or marks nothing, fewer than four pixels or everything.
        """
        given = np.asarray(mask)
        shape = tuple(int(n) for n in given.shape)
        if len(shape) != 2:
            raise InputError(f"The mask has shape {shape}; one plane (Y, X) is needed.")
        if plane_shape is not None and shape != tuple(plane_shape):
            raise InputError(
                f"The mask has shape {shape} but the image {tuple(plane_shape)}: draw the region on this image."
            )
        if given.dtype.kind not in "bui":
            raise InputError(f"The mask holds {given.dtype} values; bool or integers are needed.")
        marked = given != 0
        check_size(int(np.count_nonzero(marked)), marked.size)
        rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
        box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        labels, areas = _parts(given[box])
        return cls(labels, areas, (box[0].start, box[1].start), (shape[0], shape[1]))

    @property
    def mask(self) -> Mask:
        """``(y, x)`` of the box, specks included."""
        return self.labels > 0

    @property
    def n_parts(self) -> int:
        """Parts that count."""
        return len(self.areas)

    @cached_property
    def n_pixels(self) -> int:
        """Marked pixels, specks included."""
        return int(np.count_nonzero(self.labels))

    @property
    def typical_area(self) -> float:
        """Median area of the parts in pixels."""
        return float(np.median(self.areas))

    @property
    def diameter(self) -> float:
        """Of a disc with the typical area, in pixels."""
        return float(2.0 * np.sqrt(self.typical_area / np.pi))

    @cached_property
    def outlines(self) -> tuple[Outline, ...]:
        """Of the parts, or of an even choice of them where there are many."""
        order = np.argsort(self.areas, kind="stable")
        if len(order) > _MOST_OUTLINES:
            order = order[np.linspace(0, len(order) - 1, _MOST_OUTLINES).round().astype(int)]
        boxes = self._boxes
        return tuple(measure_outline(self.labels[boxes[i]] == i + 1, int(self.areas[i])) for i in order.tolist())

    @cached_property
    def centroids(self) -> npt.NDArray[np.float64]:
        """``(n, 2)`` rows and columns in the plane, pixel centres at whole numbers plus a half."""
        flat = self.labels.ravel()
        n = self.n_parts
        height, width = self.labels.shape
        rows = np.repeat(np.arange(height) + (self.corner[0] + 0.5), width)
        columns = np.tile(np.arange(width) + (self.corner[1] + 0.5), height)
        sums = [np.bincount(flat, weights=at, minlength=n + 2)[1 : n + 1] for at in (rows, columns)]
        centred: npt.NDArray[np.float64] = np.stack(sums, axis=1) / self.areas[:, None]
        return centred

    @cached_property
    def _boxes(self) -> list[Any]:
        from scipy import ndimage

        return list(ndimage.find_objects(self.labels, self.n_parts))


def check_size(count: int, size: int) -> None:
    """Refuse regions that show nothing.

    Parameters
    ----------
    count : int
        Marked pixels.
    size : int
        Pixels of the plane.

    Raises
    ------
    InputError
        If nothing, fewer than four pixels or everything is marked.
    """
    if count == 0:
        raise InputError("The region is empty: no pixel inside the image is marked; draw it on the image.")
    if count < FEWEST_PIXELS:
        raise InputError(f"The region has only {count} pixel{'s' if count > 1 else ''}: mark at least {FEWEST_PIXELS}.")
    if count == size:
        raise InputError("The region is the whole image: leave its surroundings out, so that there is a contrast.")


def _parts(box: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number the parts: those that count from 1, then one number for all specks."""
    from scipy import ndimage

    if box.dtype.kind == "b":
        found, n = ndimage.label(box, structure=_EIGHT)
    else:
        values, inverse = np.unique(box, return_inverse=True)
        found, n = inverse.reshape(box.shape), len(values) - 1
        if values[0] != 0:
            # no background inside the box
            found, n = found + 1, n + 1
    areas = np.bincount(found.ravel(), minlength=n + 1)[1:]
    counted = areas >= SPECK * areas.max()
    table = np.zeros(n + 1, np.int32)
    table[1:] = np.where(counted, np.cumsum(counted), np.count_nonzero(counted) + 1)
    return table[found], areas[counted].astype(np.int64)
