"""How a large picture is cut: blocks that each write whole chunks, with the context they are read with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from napari_promptseg.errors import InputError
from napari_promptseg.segmentation.settings import SegmentationSettings

#: Blocks side by side in a strip: going down a strip, most tiles of the row before are still in memory (`bench`). In
#: wider ones they are not, and of narrower ones more tiles lie in two strips.
_STRIP = 3

#: A chunk of the labels has no side longer than this, in pixels.
_LONGEST_CHUNK = 1024


@dataclass(frozen=True)
class Block:
    """A part of a plane that is decided and written by itself.

    Parameters
    ----------
    plane : int
    rows, columns : slice
        What is written, in pixels of the plane; blocks share none.
    outer_rows, outer_columns : slice
        What is read for it.
    """

    plane: int
    rows: slice
    columns: slice
    outer_rows: slice
    outer_columns: slice

    @property
    def part(self) -> tuple[slice, slice]:
        """Where the written part lies in the one that is read."""
        return _within(self.rows, self.outer_rows), _within(self.columns, self.outer_columns)

    @property
    def n_pixels(self) -> int:
        """Pixels that are written."""
        return int(self.rows.stop - self.rows.start) * int(self.columns.stop - self.columns.start)


@dataclass(frozen=True)
class BlockPlan:
    """The blocks of a picture, in the order in which they are worked on.

    Encoder tiles lie on one lattice over the whole picture, a step (tile less overlap) apart. A block begins where a
    tile begins and is read with one tile before it and the overlap after it, so its tiles are the very tiles the
    whole picture has there, and blend at its borders as they do inside.

    Parameters
    ----------
    grid : tuple of int
        ``(Y, X)`` or ``(Z, Y, X)`` of the picture.
    tile, overlap : int
        Of the encoder's tiles, in pixels.
    side : int
        Of a block, in pixels: a whole number of steps.

    Raises
    ------
    InputError
        If the side is no whole number of steps.
    """

    grid: tuple[int, ...]
    tile: int
    overlap: int
    side: int

    def __post_init__(self) -> None:
        if self.side < self.step or self.side % self.step:
            raise InputError(f"Blocks of {self.side} pixels do not fit: use a multiple of {self.step}.")

    @classmethod
    def fitting(cls, grid: tuple[int, ...], settings: SegmentationSettings, side: int) -> BlockPlan:
        """A plan with blocks of about the side wished for, never larger unless a single step is."""
        step = settings.tile_size - settings.tile_overlap
        return cls(grid, settings.tile_size, settings.tile_overlap, step * max(1, side // step))

    @property
    def step(self) -> int:
        """From the beginning of a tile to that of the next."""
        return self.tile - self.overlap

    @property
    def chunk(self) -> int:
        """Side of the labels' chunks: the largest whole part of a step that is not too long."""
        parts = range(-(-self.step // _LONGEST_CHUNK), self.step + 1)
        return next(self.step // n for n in parts if self.step % n == 0)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Of the labels, along every axis of the grid."""
        return (*[1] * (len(self.grid) - 2), self.chunk, self.chunk)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Planes, and blocks along rows and columns."""
        planes = self.grid[0] if len(self.grid) == 3 else 1
        return planes, math.ceil(self.grid[-2] / self.side), math.ceil(self.grid[-1] / self.side)

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Block]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, number: int) -> Block:
        """The block of a number, which never changes."""
        _, n_rows, n_columns = self.counts
        if not 0 <= number < len(self):
            raise IndexError(number)
        plane, within = divmod(number, n_rows * n_columns)
        # strips of whole columns of blocks, each from top to bottom
        strip, rest = divmod(within, n_rows * _STRIP)
        width = min(_STRIP, n_columns - strip * _STRIP)
        row, column = divmod(rest, width)
        rows, outer_rows = self._along(row, self.grid[-2])
        columns, outer_columns = self._along(strip * _STRIP + column, self.grid[-1])
        return Block(plane, rows, columns, outer_rows, outer_columns)

    def _along(self, place: int, length: int) -> tuple[slice, slice]:
        start, stop = place * self.side, min(length, (place + 1) * self.side)
        if length - self.tile <= start - self.step:
            # the last tile begins before the one that comes before this block
            before = max(0, length - self.tile - (length - self.tile) % self.step)
        else:
            before = max(0, start - self.step)
        # the last tile, moved back to end where the plane ends, may reach into this block
        after = length if length - self.tile < stop else min(length, stop + self.overlap)
        return slice(start, stop), slice(before, after)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the journal."""
        return asdict(self) | {"grid": list(self.grid)}


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
