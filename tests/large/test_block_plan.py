"""Blocks part a picture, write whole chunks, and are read with the tiles that the whole picture has there."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.large.bench import _FEATURES_MB
from napari_promptseg.large.blocks import BlockPlan
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.tiling import Layout

SETTINGS = SegmentationSettings(tile_size=64, tile_overlap=16, whole_up_to=64)


@given(st.integers(1, 700), st.integers(1, 700), st.integers(48, 400), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_blocks_part_the_picture_on_the_borders_of_chunks(height, width, side, planes):
    plan = BlockPlan.fitting((planes, height, width), SETTINGS, side)
    times = np.zeros(plan.grid, np.uint8)
    for block in plan:
        times[block.plane, block.rows, block.columns] += 1
        assert block.rows.start % plan.chunk == 0
        assert block.columns.start % plan.chunk == 0
        assert block.rows.stop % plan.chunk == 0 or block.rows.stop == height
        assert block.outer_rows.start <= block.rows.start
        assert block.rows.stop <= block.outer_rows.stop <= height
    assert (times == 1).all()
    assert plan.side <= max(side, plan.step)


@given(st.integers(1, 900), st.integers(48, 300))
@settings(max_examples=80, deadline=None)
def test_the_tiles_of_a_block_are_those_of_the_whole_picture(width, side):
    plan = BlockPlan.fitting((100, width), SETTINGS, side)
    whole = set(Layout((100, width), 64, 16).starts(1))
    for block in plan:
        outer = block.outer_columns
        own = [outer.start + s for s in Layout((100, outer.stop - outer.start), 64, 16).starts(1)]
        assert set(own) <= whole
        # whatever tile touches the written part is there, but for one that only begins to fade in after it
        touching = {s for s in whole if s < block.columns.stop and s + 64 > block.columns.start}
        assert touching <= set(own)


def test_going_down_a_strip_comes_before_the_next_strip():
    plan = BlockPlan.fitting((480, 960), SETTINGS, 48)
    assert plan.counts == (1, 10, 20)
    columns = [plan[i].columns.start // 48 for i in range(len(plan))]
    assert all(c < 3 for c in columns[:30])
    assert all(3 <= c < 6 for c in columns[30:60])
    assert all(c >= 18 for c in columns[180:])
    rows = [plan[i].rows.start for i in range(30)]
    assert all(a <= b for a, b in pairwise(rows))


def test_most_tiles_are_encoded_once_with_what_is_kept_of_them():
    plan = BlockPlan((30000, 30000), 1024, 128, 3584)
    room = int(_FEATURES_MB * 2**20 / (56 * 56 * 385 * 4))  # of the embedded model's tiles
    kept, seen, n_encoded = OrderedDict(), set(), 0
    for block in plan:
        outer = block.outer_rows, block.outer_columns
        layout = Layout(tuple(o.stop - o.start for o in outer), 1024, 128)
        starts = [[o.start + s for s in layout.starts(axis)] for axis, o in enumerate(outer)]
        for tile in product(*starts):
            n_encoded += tile not in kept
            seen.add(tile)
            kept[tile] = True
            kept.move_to_end(tile)
            if len(kept) > room:
                kept.popitem(last=False)
    assert len(seen) == 34**2
    assert n_encoded < 1.1 * len(seen)


def test_chunks_are_whole_parts_of_a_step():
    assert BlockPlan((9000, 9000), 1024, 128, 3584).chunk == 896
    assert BlockPlan((9000, 9000), 2048, 128, 3840).chunk == 960
    with pytest.raises(InputError, match="multiple of 896"):
        BlockPlan((9000, 9000), 1024, 128, 1000)
    with pytest.raises(IndexError):
        BlockPlan((9000, 9000), 1024, 128, 3584)[9]
