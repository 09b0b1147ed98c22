"""Corrected planes carried across a volume by the shape of what they show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.segmentation.volumes.planes import PLANE_AXES, PlaneAxis
from napari_promptseg.segmentation.volumes.prior import ByPlace, CorrectedPlane, PlaceSettings, signed_distance

SHAPE = (21, 24, 26)


def cone() -> np.ndarray:
    """A cone of class 1 whose radius grows along z, ``SHAPE``."""
    z, y, x = np.ogrid[:21, :24, :26]
    return ((y - 12) ** 2 + (x - 13) ** 2 <= (2 + 0.35 * z) ** 2).astype(np.uint8) * np.uint8(1)


def planes_of(labels: np.ndarray, axis: PlaneAxis, *places: int) -> list[CorrectedPlane]:
    return [CorrectedPlane(axis, p, np.take(labels, p, PLANE_AXES.index(axis))) for p in places]


def found(prior: ByPlace, axis: PlaneAxis, plane: int) -> np.ndarray:
    return prior.logits(axis, plane).argmax(axis=0)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_outlines_pass_from_plane_to_plane():
    labels = cone()
    prior = ByPlace(SHAPE, (1, 1, 1), (0, 1), planes_of(labels, "axial", 2, 18))
    for plane in (2, 6, 10, 14, 18):
        assert dice(found(prior, "axial", plane) == 1, labels[plane] == 1) > 0.9
    # the same volume, seen across
    for axis, number in (("coronal", 1), ("sagittal", 2)):
        for plane in (8, 12, 15):
            across = np.stack([found(prior, "axial", z) for z in range(21)])
            assert np.array_equal(found(prior, axis, plane), np.take(across, plane, number))


def test_planes_of_other_axes_count_where_they_cross():
    labels = cone()
    one = planes_of(labels, "axial", 10)
    prior = ByPlace(SHAPE, (1, 1, 1), (0, 1), [*one, *planes_of(labels, "coronal", 12)])
    alone = ByPlace(SHAPE, (1, 1, 1), (0, 1), one)
    assert dice(found(prior, "coronal", 12) == 1, labels[:, 12] == 1) > 0.98
    assert dice(found(prior, "coronal", 12) == 1, labels[:, 12] == 1) > dice(
        found(alone, "coronal", 12) == 1, labels[:, 12] == 1
    )
    # the crossing plane's word on the line where it crosses another one
    assert np.array_equal(found(prior, "axial", 3)[12] == 1, labels[3, 12] == 1)


def test_far_from_corrected_planes_looks_decide_and_near_them_place():
    labels = cone()
    prior = ByPlace(SHAPE, (1, 1, 1), (0, 1), planes_of(labels, "axial", 4))
    wrong = torch.tensor([0.002, 0.998])[:, None, None].expand(2, 24, 26)
    near, far = prior.adjusted("axial", 4, wrong), prior.adjusted("axial", 20, wrong)
    outside = labels[4] == 0
    assert (near.argmax(0).numpy()[outside] == 0).mean() > 0.85
    assert (far.argmax(0).numpy()[outside] == 1).mean() > 2 * (near.argmax(0).numpy()[outside] == 1).mean()
    assert torch.allclose(near.sum(0), torch.ones(24, 26), atol=1e-5)
    strength = [float(np.abs(prior.logits("axial", z)).mean()) for z in range(4, 21)]
    assert all(a >= b for a, b in pairwise(strength))


def test_a_plane_without_the_structure_ends_it_halfway():
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:9, 8:17, 8:17] = 1
    prior = ByPlace(SHAPE, (1, 1, 1), (0, 1), planes_of(labels, "axial", 6, 14))
    assert (found(prior, "axial", 8) == 1).sum() > 0
    assert (found(prior, "axial", 12) == 1).sum() == 0
    empty = ByPlace(SHAPE, (1, 1, 1), (0, 1), planes_of(labels, "axial", 14))
    assert (found(empty, "axial", 13) == 1).sum() == 0
    assert np.isfinite(empty.logits("axial", 0)).all()


@given(st.sampled_from(PLANE_AXES), st.sampled_from(PLANE_AXES), st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_corrected_planes_stand_as_they_are_in_every_view(own, seen, place, plane):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, SHAPE).astype(np.uint8)
    prior = ByPlace(SHAPE, (1, 1, 1), (0, 1, 2), planes_of(labels, own, place))
    guess = np.full_like(np.take(labels, plane, PLANE_AXES.index(seen)), 7)
    out = prior.imposed(seen, plane, guess)
    whole = np.zeros(SHAPE, bool)
    np.moveaxis(whole, PLANE_AXES.index(own), 0)[place] = True
    settled = np.take(whole, plane, PLANE_AXES.index(seen))
    assert np.array_equal(out[settled], np.take(labels, plane, PLANE_AXES.index(seen))[settled])
    assert (out[~settled] == 7).all()
    assert (guess == 7).all()


def test_lengths_are_in_steps_and_thick_slices_are_far_apart():
    labels = cone()
    thin = ByPlace(SHAPE, (1, 1, 1), (0, 1), planes_of(labels, "axial", 4, 16))
    small = ByPlace(SHAPE, (1e-3, 1e-3, 1e-3), (0, 1), planes_of(labels, "axial", 4, 16))
    assert np.allclose(thin.logits("axial", 9), small.logits("axial", 9), atol=1e-4)
    thick = ByPlace(SHAPE, (10, 1, 1), (0, 1), planes_of(labels, "axial", 4, 16))
    assert np.abs(thick.logits("axial", 9)).mean() < np.abs(thin.logits("axial", 9)).mean()


def test_signed_distances():
    mask = np.zeros((5, 9), bool)
    mask[:, 3:6] = True
    assert signed_distance(mask, (1, 1))[2].tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5, 0.5, -0.5, -1.5, -2.5]
    assert signed_distance(np.zeros((3, 4), bool), (1, 1)).max() == -5
    assert signed_distance(np.ones((3, 4), bool), (1, 1)).min() == 5


def test_planes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="coronal plane 24 does not exist"):
        ByPlace(SHAPE, (1, 1, 1), (0, 1), [CorrectedPlane("coronal", 24, np.zeros((21, 26)))])
    with pytest.raises(InputError, match="shape"):
        ByPlace(SHAPE, (1, 1, 1), (0, 1), [CorrectedPlane("axial", 2, np.zeros((21, 26)))])
    with pytest.raises(InputError, match="negative"):
        PlaceSettings(growth=-1)
    nothing = ByPlace(SHAPE, (1, 1, 1), (0, 1), [])
    chances = torch.rand(2, 24, 26)
    assert nothing.adjusted("axial", 3, chances) is chances
