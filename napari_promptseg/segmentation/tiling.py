"""Planes too large for one pass: encoded tile by tile, blended into one grid of features, decided window by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.progress import Progress
from napari_promptseg.segmentation.sampling import bilinear_matrix, centres, resample


@dataclass(frozen=True)
class Tile:
    """A rectangle of a plane, in pixels, and its place in the layout."""

    top: int
    left: int
    height: int
    width: int
    row: int
    column: int

    @property
    def rows(self) -> slice:
        """Rows of the plane."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the plane."""
        return slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class Layout:
    """Overlapping tiles of one size that cover a plane.

    Parameters
    ----------
    shape : tuple of int
        ``(Y, X)`` of the plane.
    size, overlap : int
        Side of a tile and the least that neighbours share, in pixels. A side of the plane shorter than a
        tile is taken whole; the last tile of a row is moved back so that all are of one size.
    """

    shape: tuple[int, int]
    size: int
    overlap: int

    def starts(self, axis: int) -> list[int]:
        """Where tiles begin along an axis: one step apart, the last where the plane ends."""
        length, size = self.shape[axis], self.tile_shape[axis]
        if length <= size:
            return [0]
        # every tile but the last lies on one lattice, so that a part of a large plane has the tiles of the whole
        return [*range(0, length - size, size - self.overlap), length - size]

    @property
    def tile_shape(self) -> tuple[int, int]:
        """``(y, x)`` of every tile."""
        return min(self.size, self.shape[0]), min(self.size, self.shape[1])

    def __len__(self) -> int:
        return len(self.starts(0)) * len(self.starts(1))

    def __iter__(self) -> Iterator[Tile]:
        height, width = self.tile_shape
        for row, top in enumerate(self.starts(0)):
            for column, left in enumerate(self.starts(1)):
                yield Tile(top, left, height, width, row, column)


class FeatureMosaic:
    """Features of tiles blended into one grid over the whole plane.

    Parameters
    ----------
    layout : Layout
        Every tile must be given once, in any order.

    Notes
    -----
    Neighbours fade into one another over their overlap. Scores are linear in the features, so blending
    features is blending the score maps of all classes that will ever be asked for. The grid is kept as
    float16: about 40 MB for 8192 x 8192 pixels, 28 cells per 1024 and 384 numbers per cell. Finer features
    (`DenseFeatures.detail`) are brought to the same grid.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._fades = [_fades(layout, axis) for axis in (0, 1)]
        self._semantic: torch.Tensor | None = None
        self._detail: torch.Tensor | None = None
        self._pooled: torch.Tensor | None = None
        self._fingerprint = ""

    def add(self, tile: Tile, features: DenseFeatures) -> None:
        """Blend one tile in."""
        if self._semantic is None or self._detail is None or self._pooled is None:
            cells = features.semantic.shape
            grid = [
                max(1, round(n * c / t))
                for n, c, t in zip(self.layout.shape, cells[:2], self.layout.tile_shape, strict=True)
            ]
            device = features.semantic.device
            self._semantic = torch.zeros(*grid, cells[2], dtype=torch.float16, device=device)
            self._detail = torch.zeros(*grid, features.detail.shape[2], dtype=torch.float16, device=device)
            self._pooled = torch.zeros_like(features.pooled, dtype=torch.float32)
            self._fingerprint = features.fingerprint
        self._pooled += features.pooled / len(self.layout)
        for target, source in ((self._semantic, features.semantic), (self._detail, features.detail)):
            self._blend(target, source, tile)

    def _blend(self, target: torch.Tensor, source: torch.Tensor, tile: Tile) -> None:
        matrices, parts = [], []
        maps = source.permute(2, 0, 1).float()
        for axis, (start, length, order) in enumerate(
            ((tile.top, tile.height, tile.row), (tile.left, tile.width, tile.column))
        ):
            places = centres(target.shape[axis]) * self.layout.shape[axis]
            inside = torch.nonzero((places >= start) & (places < start + length))[:, 0]
            first, last = int(inside[0]), int(inside[-1]) + 1
            matrix = bilinear_matrix((places[first:last] - start) / length, maps.shape[1 + axis])
            fade = _fade_at(self._fades[axis], order, places[first:last] / self.layout.shape[axis])
            matrices.append(matrix * fade[:, None])
            parts.append(slice(first, last))
        target[parts[0], parts[1]] += resample(maps, *matrices).permute(1, 2, 0).to(target.dtype)

    def features(self) -> DenseFeatures:
        """The blended grid, once every tile is in."""
        if self._semantic is None or self._detail is None or self._pooled is None:
            raise ValueError("no tile was added")
        return DenseFeatures(
            self._semantic,
            self._detail,
            F.normalize(self._pooled, dim=-1),
            self.layout.shape,
            self._fingerprint,
        )


def slimmed(features: DenseFeatures) -> DenseFeatures:
    """The same in float16 with `detail` averaged to the grid of `semantic`: a tenth of the size, for tiles."""
    grid = (int(features.semantic.shape[0]), int(features.semantic.shape[1]))
    maps = features.detail.permute(2, 0, 1)[None].float()
    detail = F.adaptive_avg_pool2d(maps, grid)[0].permute(1, 2, 0).half().contiguous()
    return DenseFeatures(features.semantic.half(), detail, features.pooled, features.image_shape, features.fingerprint)


def _fades(layout: Layout, axis: int) -> torch.Tensor:
    """Weights of the tiles along an axis, at every pixel: ``(tiles, n)`` float32, columns add up to 1."""
    length, size = layout.shape[axis], layout.tile_shape[axis]
    starts = layout.starts(axis)
    places = torch.arange(length) + 0.5
    weights = torch.zeros(len(starts), length)
    for i, start in enumerate(starts):
        rise = (places - start) / max(1, layout.overlap) if i > 0 else torch.ones(length)
        fall = (start + size - places) / max(1, layout.overlap) if i < len(starts) - 1 else torch.ones(length)
        ramp = torch.minimum(rise, fall).clamp(1e-3, 1)
        weights[i] = ramp * ((places >= start) & (places < start + size))
    return weights / weights.sum(dim=0, keepdim=True)


def _fade_at(fades: torch.Tensor, tile: int, places: torch.Tensor) -> torch.Tensor:
    """The weights of one tile at shares of the axis."""
    length = fades.shape[1]
    return fades[tile, (places * length).long().clamp(max=length - 1)]


def windows(shape: tuple[int, int], size: int, margin: int) -> Iterator[tuple[Tile, Tile]]:
    """Rectangles that part a plane, each with a larger one around it to filter without seams.

    Yields
    ------
    inner, outer : Tile
        Inner rectangles do not overlap and cover the plane; outer ones reach `margin` pixels further.
    """
    for row, top in enumerate(range(0, shape[0], size)):
        for column, left in enumerate(range(0, shape[1], size)):
            height, width = min(size, shape[0] - top), min(size, shape[1] - left)
            outer_top, outer_left = max(0, top - margin), max(0, left - margin)
            bottom, right = min(shape[0], top + height + margin), min(shape[1], left + width + margin)
            inner = Tile(top, left, height, width, row, column)
            yield inner, Tile(outer_top, outer_left, bottom - outer_top, right - outer_left, row, column)


def steps_within(progress: Progress, done: int, total: int) -> Progress:
    """Pass steps within a tile on as the tile's own."""

    def step(_done: int, _total: int, description: str) -> None:
        progress(done, total, f"encoding tile {done + 1} of {total}")

    return step
