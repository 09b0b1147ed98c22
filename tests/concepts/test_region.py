"""The marked pixels, their parts, and what is no region."""

from __future__ import annotations

import numpy as np
import pytest
from regions import ellipse

from napari_promptseg.concepts.region import Region
from napari_promptseg.errors import InputError


def marked(*at, shape=(20, 30), dtype=bool):
    mask = np.zeros(shape, dtype)
    for rows, columns in at:
        mask[rows, columns] = 1
    return mask


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (marked(), "empty"),
        (marked((3, 4)), "only 1 pixel:"),
        (marked((3, slice(4, 7))), "only 3 pixels:"),
        (np.ones((20, 30), bool), "whole image"),
        (np.ones((20, 30, 3), bool), "one plane"),
        (marked((3, slice(4, 9)), shape=(20, 31)), r"\(20, 31\) but the image \(20, 30\)"),
        (marked((3, slice(4, 9))).astype(float), "bool or integers"),
    ],
)
def test_what_is_no_region_is_said_in_one_sentence(mask, words):
    with pytest.raises(InputError, match=words) as caught:
        Region.from_mask(mask, (20, 30))
    assert str(caught.value).count(".") == 1


def test_parts_touch_at_corners_and_specks_are_not_counted():
    mask = marked((slice(2, 5), slice(2, 5)), (slice(5, 8), slice(5, 8)), (slice(10, 18), slice(15, 25)), (1, 28))
    region = Region.from_mask(mask)
    assert region.areas.tolist() == [18, 80]
    assert region.n_pixels == 99
    assert region.corner == (1, 2)
    assert region.centroids == pytest.approx(np.array([[5.0, 5.0], [14.0, 20.0]]))


def test_labelled_parts_that_touch_are_counted_apart():
    labels = np.zeros((20, 20), np.int32)
    labels[4:8, 4:8], labels[4:8, 8:12] = 7, 3
    assert Region.from_mask(labels).n_parts == 2
    assert Region.from_mask(labels > 0).n_parts == 1


def test_only_the_exact_pixels_count_not_the_box():
    diagonal = np.eye(60, dtype=bool) | np.eye(60, k=1, dtype=bool)
    region = Region.from_mask(diagonal)
    assert region.n_pixels == 119
    assert region.outlines[0].aspect < 0.1


def test_outline_of_a_disc():
    (disc,) = Region.from_mask(ellipse(radii=(30, 30))).outlines
    assert disc.aspect == pytest.approx(1, abs=0.01)
    assert disc.solidity > 0.98
    assert disc.rectangularity == pytest.approx(np.pi / 4, abs=0.02)
    assert disc.roughness == pytest.approx(1, abs=0.03)
    assert disc.hole_share == 0


def test_a_hole_is_measured_and_the_rest_taken_as_filled():
    (ring,) = Region.from_mask(ellipse(radii=(30, 30)) & ~ellipse(radii=(15, 15))).outlines
    assert ring.hole_share == pytest.approx(0.25, abs=0.01)
    assert ring.solidity > 0.98


def test_a_large_part_is_measured_as_a_small_one():
    (large,) = Region.from_mask(ellipse((500, 520), (450, 250), 0.4, (1024, 1024))).outlines
    (small,) = Region.from_mask(ellipse((60, 60), (54, 30), 0.4)).outlines
    assert large.aspect == pytest.approx(small.aspect, abs=0.02)
    assert large.solidity == pytest.approx(small.solidity, abs=0.02)
