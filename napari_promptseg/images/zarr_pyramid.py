"""The smaller levels of a label pyramid, made from the level above block by block."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.progress import Progress, silent

#: Rows or columns at which a pyramid ends: a level that fits a screen needs no smaller one.
_SMALLEST = 512

#: Values that may be held at once while a level is made, whatever the chunks: 64 Mi.
_AT_ONCE = 2**26


def level_factors(shape: Sequence[int], spacing: Sequence[float]) -> list[tuple[int, ...]]:
    """By how much each level of a pyramid is smaller than the first, along every axis.

    Rows and columns are halved until a plane fits a screen; the axis before them only while its steps are not longer
    than a pixel's, so that thin stacks of thick slices keep their planes.

    Parameters
    ----------
    shape : sequence of int
        Of the first level; the last two axes are rows and columns.
    spacing : sequence of float
        Length of a step along each axis; 0 for an axis that is no place and is never halved.
    """
    factors = [(1,) * len(shape)]
    while True:
        last = factors[-1]
        size = [math.ceil(n / f) for n, f in zip(shape, last, strict=True)]
        if max(size[-2:]) <= _SMALLEST:
            return factors
        steps = [s * f for s, f in zip(spacing, last, strict=True)]
        pixel = min(steps[-2:])
        halve = [
            n > 1 and (axis >= len(shape) - 2 or 0 < step <= 1.5 * pixel)
            for axis, (n, step) in enumerate(zip(size, steps, strict=True))
        ]
        factors.append(tuple(f * (2 if h else 1) for f, h in zip(last, halve, strict=True)))


def fill_level(below: Any, above: Any, *, progress: Progress = silent, name: str = "") -> None:
    """Fill the array `below` with the labels of `above`, seen smaller.

    An axis that is halved takes the label most voxels have, the first of them where none has more; by any other
    factor the voxel in the middle is taken. Blocks of `below`'s own chunks are written, so that memory stays bounded
    and each file is written once.

    Parameters
    ----------
    below, above : zarr.Array
        Of the same number of axes.
    progress : Progress
    name : str
        What `progress` is told.
    """
    blocks = list(_blocks(below.shape, below.chunks, above.shape))
    for done, block in enumerate(blocks):
        progress(done, len(blocks), name)
        below[block] = _smaller(above, above.shape, below.shape, block)


def _blocks(shape: Sequence[int], chunks: Sequence[int], above: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Blocks of whole chunks; several at once along the last axes where that is cheap."""
    ratio = math.prod(a / b for a, b in zip(above, shape, strict=True))
    sides = [min(c, n) for c, n in zip(chunks, shape, strict=True)]
    for axis in range(len(shape) - 1, -1, -1):
        times = int(_AT_ONCE // max(1, math.prod(sides) * ratio))
        sides[axis] = min(shape[axis], sides[axis] * max(1, times))
    for start in itertools.product(*[range(0, n, s) for n, s in zip(shape, sides, strict=True)]):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(start, sides, shape, strict=True))


def _smaller(
    above: Any, large: Sequence[int], small: Sequence[int], block: tuple[slice, ...]
) -> npt.NDArray[np.integer[Any]]:
    halved = [n > m and m in (n // 2, math.ceil(n / 2)) for n, m in zip(large, small, strict=True)]
    index: list[slice] = []
    picks: list[npt.NDArray[np.intp]] = []
    for n, m, half, part in zip(large, small, halved, block, strict=True):
        if half:
            low, high = 2 * part.start, min(2 * part.stop, n)
            # an odd last row stands for itself
            at = np.minimum(np.arange(2 * part.start, 2 * part.stop), n - 1) - low
        else:
            nearest = np.floor((np.arange(part.start, part.stop) + 0.5) * n / m).astype(np.intp)
            low, high = int(nearest[0]), int(nearest[-1]) + 1
            at = nearest - low
        index.append(slice(low, high))
        picks.append(at)
    values = np.asarray(above[tuple(index)])
    if not values.any():  # most of a large picture is background
        return np.zeros([part.stop - part.start for part in block], values.dtype)
    for axis, at in enumerate(picks):
        if not np.array_equal(at, np.arange(values.shape[axis])):
            values = values.take(at, axis=axis)
    axes = [axis for axis, half in enumerate(halved) if half]
    corners = [
        values[tuple(slice(start[axes.index(a)], None, 2) if a in axes else slice(None) for a in range(values.ndim))]
        for start in itertools.product((0, 1), repeat=len(axes))
    ]
    return most_frequent(corners)


def most_frequent(candidates: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """At each place the value most of the candidates have; the first of them where none has more."""
    best = candidates[0].copy()
    if len(candidates) == 1 or all(np.array_equal(best, other) for other in candidates[1:]):
        return best
    votes = np.zeros(best.shape, np.uint8)
    for candidate in candidates:
        count = np.zeros(best.shape, np.uint8)
        for other in candidates:
            count += other == candidate
        more = count > votes
        best[more] = candidate[more]
        votes[more] = count[more]
    return best
