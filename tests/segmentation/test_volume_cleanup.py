"""Clean-up in three dimensions: what must change, and what must never."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_promptseg.errors import InputError
from napari_promptseg.segmentation.volumes.cleanup import Cleanup, cleaned, connected_with, filled, parts_kept, smoothed

VOLUMES = hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.sampled_from([0, 0, 1, 1, 2, 9]))
FIRM = st.builds(
    Cleanup, keep_largest=st.booleans(), fill_holes=st.booleans(), smallest=st.sampled_from([0.0, 2.0, 9.5])
)
ANY = st.builds(
    Cleanup,
    smooth=st.sampled_from([0.0, 0.7, 2.0]),
    keep_largest=st.booleans(),
    fill_holes=st.booleans(),
    smallest=st.sampled_from([0.0, 3.0]),
)


@given(VOLUMES, FIRM)
@settings(max_examples=120, deadline=None)
def test_a_second_clean_up_changes_nothing_more(labels, rule):
    once = cleaned(labels, rule)
    assert np.array_equal(cleaned(once, rule), once)
    assert set(np.unique(once)) <= {0, *np.unique(labels)}


@given(VOLUMES, ANY, st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_what_the_user_painted_is_never_touched(labels, rule, seed):
    keep = np.random.default_rng(seed).random(labels.shape) < 0.3
    before = labels.copy()
    out = cleaned(labels, rule, spacing=(2.0, 1.0, 0.5), keep=keep)
    assert np.array_equal(out[keep], before[keep])
    assert np.array_equal(labels, before)
    assert out.dtype == labels.dtype


@given(VOLUMES)
@settings(max_examples=60, deadline=None)
def test_only_the_classes_that_are_named_change(labels):
    out = cleaned(labels, {1: Cleanup(keep_largest=True, smallest=2.0)})
    assert np.array_equal(out == 2, labels == 2)
    assert np.array_equal(out == 9, labels == 9)
    assert not ((out == 1) & (labels != 1)).any()


def test_the_largest_part_stays_and_a_painted_one_with_it():
    labels = np.zeros((4, 9, 9), np.uint8)
    labels[:, 1:4, 1:4] = 1
    labels[1, 6, 6] = labels[3, 7, 1] = 1
    out = cleaned(labels, Cleanup(keep_largest=True))
    assert out.sum() == 36
    painted = np.zeros(labels.shape, bool)
    painted[1, 6, 6] = True
    assert cleaned(labels, Cleanup(keep_largest=True), keep=painted).sum() == 37


def test_sizes_are_volumes_and_not_voxels():
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, 1:3, 1:3] = 1  # 4 voxels
    rule = Cleanup(smallest=30.0)
    assert not cleaned(labels, rule, spacing=(5.0, 1.0, 1.0)).any()
    assert cleaned(labels, rule, spacing=(10.0, 1.0, 1.0)).sum() == 4
    assert not cleaned(labels, rule, spacing=(10.0, 1.0, 1.0), voxel_volume=7.0).any()


def test_holes_are_filled_in_three_dimensions_only_and_other_classes_stay():
    labels = np.zeros((5, 7, 7), np.uint8)
    labels[1:4, 1:6, 1:6] = 1
    labels[2, 3, 3:5] = (0, 2)
    out = cleaned(labels, Cleanup(fill_holes=True))
    assert out[2, 3, 3] == 1
    assert out[2, 3, 4] == 2
    tunnel = labels.copy()
    tunnel[:, 3, 3] = 0
    assert np.array_equal(cleaned(tunnel, Cleanup(fill_holes=True)), tunnel)
    ring = np.ones((1, 3, 3), bool)
    ring[0, 1, 1] = False
    assert filled(ring).all()


def test_a_plane_that_differs_from_its_neighbours_follows_them():
    labels = np.zeros((9, 6, 6), np.uint8)
    labels[2:7, 1:5, 1:5] = 3
    labels[4] = 0
    out = cleaned(labels, Cleanup(smooth=1.0))
    assert (out[4, 1:5, 1:5] == 3).all()
    assert not out[0].any()
    # in millimetres: the same with planes ten times as far apart does nothing
    assert np.array_equal(cleaned(labels, Cleanup(smooth=1.0), spacing=(10.0, 1.0, 1.0)), labels)
    turned = np.moveaxis(labels, 0, 2)
    assert np.array_equal(cleaned(turned, Cleanup(smooth=1.0), axis=2), np.moveaxis(out, 0, 2))


@given(VOLUMES)
@settings(max_examples=40, deadline=None)
def test_smoothing_leaves_what_is_the_same_in_all_planes(labels):
    same = np.repeat(labels[:1], 5, axis=0)
    assert np.array_equal(smoothed(same, {1: 1.5, 2: 0.5, 9: 1.0}), same)


def test_what_was_drawn_is_one_object():
    mask = np.zeros((4, 5, 12), bool)
    mask[:, 1:4, 1:4] = mask[:, 1:4, 8:10] = True
    seed = np.zeros(mask.shape, bool)
    seed[1, 2, 2] = True
    found = connected_with(mask, seed)
    assert found[:, :, :6].sum() == 36
    assert not found[:, :, 6:].any()
    assert not connected_with(mask, np.zeros_like(seed)).any()
    assert parts_kept(mask, fewest=30)[:, :, 8:].sum() == 0


def test_only_parts_with_a_mark_stay_where_a_class_has_one():
    labels = np.zeros((4, 6, 12), np.uint8)
    labels[:, 1:4, 1:4] = labels[:, 1:4, 8:10] = 1
    labels[0, 5, 0] = labels[3, 5, 11] = 2
    marks = np.zeros_like(labels)
    marks[1, 2, 2] = marks[2, 2, 9] = 1
    marks[0, 0, 0] = 2  # touches no part of its class
    marks[2, 2, 9] = 2  # another class than what stands there
    rule = Cleanup(keep_marked=True)
    assert not rule.changes_nothing
    out = cleaned(labels, rule, marks=marks)
    assert (out[:, 1:4, 1:4] == 1).all()
    assert not out[:, :, 8:10].any()
    assert np.count_nonzero(out == 2) == 2, "no mark lies on it: none of its parts is chosen"
    assert np.array_equal(cleaned(labels, rule), labels), "nothing is marked"
    keep = np.zeros(labels.shape, bool)
    keep[0, 1, 8] = True
    assert cleaned(labels, rule, marks=marks, keep=keep)[0, 1, 8] == 1
    with pytest.raises(InputError, match="marked"):
        cleaned(labels, rule, marks=marks[:1])


def test_planes_are_cleaned_up_too_and_wrong_shapes_refused():
    plane = np.zeros((6, 6), np.uint16)
    plane[1:3, 1:3], plane[5, 5] = 300, 300
    assert np.count_nonzero(cleaned(plane, Cleanup(keep_largest=True, smooth=1.0))) == 4
    with pytest.raises(InputError, match="painted"):
        cleaned(plane, Cleanup(), keep=np.zeros((2, 2), bool))
    with pytest.raises(InputError, match="negative"):
        Cleanup(smooth=-1)
