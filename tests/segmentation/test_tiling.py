"""Planes too large for one pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.segmentation.sampling import bilinear_matrix, centres, grid_within
from napari_promptseg.segmentation.tiling import FeatureMosaic, Layout, slimmed, windows

SHAPES = st.tuples(st.integers(1, 900), st.integers(1, 900))


@given(SHAPES, st.integers(64, 256), st.integers(0, 32))
@settings(max_examples=60, deadline=None)
def test_tiles_cover_the_plane_and_share_at_least_the_overlap(shape, size, overlap):
    layout = Layout(shape, size, overlap)
    covered = np.zeros(shape, bool)
    tiles = list(layout)
    for tile in tiles:
        assert (tile.height, tile.width) == layout.tile_shape
        assert tile.top >= 0
        assert tile.top + tile.height <= shape[0]
        assert tile.left + tile.width <= shape[1]
        covered[tile.rows, tile.columns] = True
    assert covered.all()
    assert len(tiles) == len(layout)
    for axis in (0, 1):
        starts = layout.starts(axis)
        assert all(a + layout.tile_shape[axis] - b >= overlap for a, b in pairwise(starts))


@given(SHAPES, st.integers(20, 400), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_windows_part_the_plane(shape, size, margin):
    times = np.zeros(shape, int)
    for inner, outer in windows(shape, size, margin):
        times[inner.rows, inner.columns] += 1
        assert outer.top <= inner.top
        assert outer.left <= inner.left
        assert outer.top + outer.height <= shape[0]
        assert inner.left + inner.width <= outer.left + outer.width
    assert (times == 1).all()


def tile_of(whole: torch.Tensor, tile, cell: int) -> DenseFeatures:
    part = whole[
        tile.top // cell : (tile.top + tile.height) // cell, tile.left // cell : (tile.left + tile.width) // cell
    ]
    return DenseFeatures(part, part, part.mean((0, 1)), (tile.height, tile.width), "f")


def test_a_mosaic_of_cut_features_is_the_whole():
    cell, layout = 8, Layout((320, 448), 128, 32)
    whole = torch.rand(40, 56, 5, generator=torch.Generator().manual_seed(0))
    mosaic = FeatureMosaic(layout)
    for tile in layout:
        # the layout may start between cells; this one does not
        assert tile.top % cell == 0
        assert tile.left % cell == 0
        mosaic.add(tile, tile_of(whole, tile, cell))
    found = mosaic.features()
    assert found.image_shape == (320, 448)
    torch.testing.assert_close(found.semantic.float(), whole, atol=3e-3, rtol=0)


@given(SHAPES, st.integers(64, 200), st.integers(0, 32))
@settings(max_examples=25, deadline=None)
def test_constant_features_stay_constant_for_any_layout(shape, size, overlap):
    layout = Layout(shape, size, overlap)
    mosaic = FeatureMosaic(layout)
    grid = torch.full((5, 6, 3), 0.7)
    for tile in layout:
        mosaic.add(tile, DenseFeatures(grid, grid, grid[0, 0], (tile.height, tile.width), "f"))
    torch.testing.assert_close(
        mosaic.features().semantic.float(), torch.full_like(mosaic.features().semantic.float(), 0.7), atol=3e-3, rtol=0
    )


def test_an_empty_mosaic_says_so():
    with pytest.raises(ValueError, match="no tile"):
        FeatureMosaic(Layout((10, 10), 64, 0)).features()


def test_slimmed_tiles_keep_semantic_and_average_detail():
    detail = torch.rand(8, 12, 3)
    slim = slimmed(DenseFeatures(torch.rand(4, 6, 2), detail, torch.rand(2), (40, 60), "f"))
    assert slim.detail.shape == (4, 6, 3)
    assert slim.semantic.dtype == torch.float16
    torch.testing.assert_close(slim.detail[0, 0].float(), detail[:2, :2].mean((0, 1)), atol=2e-3, rtol=0)


@given(st.integers(1, 50), st.integers(1, 50))
def test_interpolation_matrices_are_interpolate(n_out, n_in):
    values = torch.rand(n_in)
    expected = torch.nn.functional.interpolate(values[None, None], size=n_out, mode="linear", align_corners=False)
    torch.testing.assert_close(bilinear_matrix(centres(n_out), n_in) @ values, expected[0, 0], atol=1e-5, rtol=0)


def test_a_grid_keeps_proportions_and_is_never_finer_than_the_picture():
    assert grid_within((1000, 500), 100) == (100, 50)
    assert grid_within((8, 8), 100) == (8, 8)
    assert grid_within((4000, 1), 100) == (100, 1)
